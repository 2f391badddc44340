"""Settings of the jobs that train, convert and evaluate vocoders."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from slamflow.recipe.base import Settings
from slamflow.vocoders import VOCODERS, VocoderSettings


class TrainVocoder(Settings):
    """Settings of one train_vocoder job."""

    vocoder: Annotated[VocoderSettings, VOCODERS]
    units: Annotated[int, Field(ge=2)]
    """How many units the encoder has."""
    frame_rate_hz: Annotated[float, Field(gt=0)]
    """Ticks of the units' durations per second."""


class ConvertVocoder(Settings):
    """Settings of one convert_vocoder job."""

    vocoder: Annotated[VocoderSettings, VOCODERS]


class ScoreVocoder(Settings):
    """Settings of one score_vocoder job."""

    encoder: str
    """The encoder's name in the recipe."""
    utterances: Annotated[int, Field(ge=2)]
    """How many, in the order of a hash of the ids."""
    tick_hz: Annotated[float, Field(gt=0)]
    """Ticks of the units' durations per second."""
