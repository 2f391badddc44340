"""Vocoders: units back to speech."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from slamflow.settings.base import Settings
from slamflow.settings.textless import VOCODERS, named


class VocoderTraining(Settings):
    """How a vocoder is trained."""

    speaker: str | None = None
    """The voice it speaks with; null takes the one with most speech."""
    hours: Annotated[float, Field(gt=0)] = 2.0
    """How much of that voice's speech, taken in the order of a hash of the ids."""
    steps: Annotated[int, Field(ge=1)] = 1000
    """Optimiser steps."""
    batch_seconds: Annotated[float, Field(gt=0)] = 40.0
    """Seconds of speech in a step."""
    width: Annotated[int, Field(ge=8, le=4096)] = 256
    """Channels of the network."""
    blocks: Annotated[int, Field(ge=1, le=64)] = 5
    """Blocks over units, and again as many over frames."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    """Peak learning rate; it rises over the first 5 % of the steps and falls to 0 by a cosine."""
    seed: int = 0
    """Seed of the weights and of the order of the speech."""


class Vocoder(Settings):
    """A vocoder for the units of one encoder, trained here."""

    kind: Literal["trained"] = "trained"
    """It is trained on speech and its units; the kind need not be said."""
    corpora: Annotated[list[str], Field(min_length=1)]
    """What it is trained on, as corpus/split."""
    held_out: Annotated[list[str], Field(min_length=1)]
    """What it is judged on, as corpus/split."""
    training: VocoderTraining = VocoderTraining()
    """How it is trained."""
    judged: Annotated[int, Field(ge=2)] = 40
    """Held-out utterances on which recognisers compare resynthesis and original."""
    recognizer: str = "whisper_tiny_en"
    """The CTranslate2 Whisper that hears the words: an asset."""

    def speech(self) -> list[str]:
        """The corpora that it hears, as corpus/split."""
        return [*self.corpora, *self.held_out]


class HifiGanVocoder(Settings):
    """A published unit HiFi-GAN with duration prediction, for the units of the encoder that it was made for."""

    kind: Literal["hifigan"]
    """It is downloaded."""
    model: str
    """An asset with its two files, the generator (.pt) and the configuration (.json), or a folder with such files.
    `textless:NAME` is the one that textlesslib has under that name."""
    engine: Literal["slamflow", "textless"] = "slamflow"
    """What computes it: this project's code, or textlesslib itself (docs/textless.md)."""
    held_out: list[str] = []
    """What it is judged on, as corpus/split; nothing for none."""
    judged: Annotated[int, Field(ge=2)] = 40
    """Held-out utterances on which recognisers compare resynthesis and original."""
    recognizer: str = "whisper_tiny_en"
    """The CTranslate2 Whisper that hears the words: an asset."""

    @field_validator("model")
    @classmethod
    def textless_name(cls, model: str) -> str:
        name = named(model, {**VOCODERS})
        return model if name is None else VOCODERS[name]

    def speech(self) -> list[str]:
        """The corpora that it hears, as corpus/split."""
        return self.held_out


def _kind_of_vocoder(values: Any) -> str:
    kind = values.get("kind", "trained") if isinstance(values, dict) else getattr(values, "kind", None)
    return f"tag:{kind}"


AnyVocoder = Annotated[
    Annotated[Vocoder, Tag("tag:trained")] | Annotated[HifiGanVocoder, Tag("tag:hifigan")],
    Discriminator(
        _kind_of_vocoder,
        custom_error_type="vocoder_kind",
        custom_error_message="needs kind: trained (or none) or hifigan",
    ),
]


class TrainVocoder(Settings):
    """Settings of one train_vocoder job."""

    training: VocoderTraining
    units: Annotated[int, Field(ge=2)]
    """How many units the encoder has."""
    frame_rate_hz: Annotated[float, Field(gt=0)]
    """Frames of the units per second; a divisor of 100."""


class ScoreVocoder(Settings):
    """Settings of one score_vocoder job."""

    utterances: Annotated[int, Field(ge=2)]
    """How many, in the order of a hash of the ids."""
