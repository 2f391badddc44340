"""Preference pairs: right and wrong endings of spoken prompts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slamflow.settings.base import Settings

WrongEnding = Literal["detail", "other_story"]


class Preferences(Settings):
    """Pairs of a right and a wrong ending, from the preference split of a story corpus."""

    corpus: str
    """The story corpus; its preference split is used for nothing else."""
    encoder: str
    """The encoder whose units the endings are told in."""
    wrong: Annotated[list[WrongEnding], Field(min_length=1)] = ["detail"]
    """Wrong endings: `detail`, the right one with one detail that contradicts the story; `other_story`, the right
    one of another story in the same voice. Each kind gives a pair for every story."""
    max_auto_bleu: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Stories whose text, prompt and right ending, repeats more of its bigrams than this are left out."""
    seed: int = 0
    """Seed of the pairing with other stories."""


class BuildPreferences(Settings):
    """Settings of one build_preferences job."""

    wrong: list[WrongEnding]
    max_auto_bleu: float
    seed: int
