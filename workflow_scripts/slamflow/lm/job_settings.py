"""Settings of the job that trains a model."""

from __future__ import annotations

from typing import Annotated

from slamflow.lm.objectives import OBJECTIVES, ModelSettings
from slamflow.recipe.base import Settings
from slamflow.tokenizers import TOKENIZERS, TokenizerSettings


class TrainModel(Settings):
    """Settings of one train or calibrate job."""

    recipe: str
    name: str
    """The model's name in the recipe."""
    model: Annotated[ModelSettings, OBJECTIVES]
    encoder: str | None = None
    """The encoder whose units the model is trained on; null for text, and for a model that is aligned."""
    tokenizer: Annotated[TokenizerSettings, TOKENIZERS] | None = None
    """The settings of that encoder."""
