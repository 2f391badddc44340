"""slamflow: what the workflow's commands share. Import the submodule you need; nothing is loaded here."""
