"""Tiny sizes, for a rehearsal of a recipe's whole workflow."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from slamflow.recipe.base import Settings


class Rehearsal(Settings):
    """The sizes of a rehearsal. They lower what the recipe says, and never raise it."""

    shards: Annotated[int, Field(ge=1)] = 2
    """Shards of each split."""
    stories: Annotated[int, Field(ge=4)] = 8
    """Stories of each split."""
    pairs: Annotated[int, Field(ge=8, multiple_of=2)] = 40
    """Minimal pairs of each split."""
    recordings: Annotated[int, Field(ge=1)] = 8
    """Recordings of each shard."""
    clusters: Annotated[int, Field(ge=2)] = 50
    """Units of a codebook that is fitted; a given one is taken as it is."""
    archive_bytes: Annotated[int, Field(ge=1 << 20)] = 50_000_000
    """How much of a downloaded tar archive of recordings is fetched; a longer one breaks off there."""
    steps: Annotated[int, Field(ge=1)] = 6
    """Optimizer steps of each model and of each vocoder."""
    batch_rows: Annotated[int, Field(ge=1)] = 2
    """Rows, or preference pairs, in a step."""
    hours: Annotated[float, Field(gt=0)] = 0.003
    """Time budget of a model that has one."""
    prompts: Annotated[int, Field(ge=2)] = 3
    """Prompts that are continued, and utterances that a vocoder is evaluated on."""
    new_tokens: Annotated[int, Field(ge=1)] = 40
    """Tokens of a continuation."""
