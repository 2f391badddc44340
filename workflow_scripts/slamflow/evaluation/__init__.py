"""Benchmarks of minimal pairs: their items, the scores of models and of trivial baselines, the summary."""
