"""Files from outside: fetching them, knowing them for the right ones, turning them into transformers folders."""
