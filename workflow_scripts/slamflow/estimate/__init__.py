"""What a recipe takes, before it runs: time, memory, disk, downloads, energy, money."""
