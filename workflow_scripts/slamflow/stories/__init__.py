"""Stories: written by a grammar, or read from a file."""
