"""Files that stages hand to each other: one schema, writer and reader for each kind."""
