"""Recorded speech, from wherever it lies into speech shards."""
