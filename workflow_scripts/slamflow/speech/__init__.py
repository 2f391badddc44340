"""Speech: synthesised, and the shards it is stored in."""
