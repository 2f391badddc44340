"""A recipe: its sections and checks, how it is loaded and rehearsed; and the settings of each stage's jobs."""
