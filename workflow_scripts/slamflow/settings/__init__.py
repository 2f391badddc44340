"""Typed settings, one module per stage, so that an edit to one stage's settings concerns that stage only."""
