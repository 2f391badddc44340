"""Spoken continuations: prompts, sampling, and figures of what was said."""
