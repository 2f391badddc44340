"""Settings of the jobs that fit codebooks and extract units."""

from __future__ import annotations

from typing import Annotated

from slamflow.recipe.base import Settings
from slamflow.tokenizers import TOKENIZERS, TokenizerSettings


class FitUnits(Settings):
    """Settings of one fit_units job."""

    name: str
    """The encoder's name in the recipe."""
    encoder: Annotated[TokenizerSettings, TOKENIZERS]


class ExtractUnits(Settings):
    """Settings of one extract_units job."""

    name: str
    """The encoder's name in the recipe."""
    encoder: Annotated[TokenizerSettings, TOKENIZERS]
    corpus: str
    split: str
