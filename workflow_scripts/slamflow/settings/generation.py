"""Continuations of spoken prompts, and how they are judged."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from slamflow.settings.base import Settings
from slamflow.settings.units import Encoder


class Sampling(Settings):
    """How a model continues a prompt; the defaults are those of the published Slam."""

    prompts: Annotated[int, Field(ge=2)] = 100
    """How many utterances, in the order of a hash of their ids."""
    prompt_seconds: Annotated[float, Field(gt=0)] = 3.0
    """How much of an utterance the model hears. The waveform is cut there, and then encoded."""
    temperature: Annotated[float, Field(gt=0)] = 0.8
    """Divides the logits."""
    top_k: Annotated[int, Field(ge=1)] = 25
    """Only the likeliest so many tokens are drawn from."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 150
    """A continuation ends here, or where the model ends the utterance."""
    seed: int = 0
    """Seed of the draws, mixed with the utterance's id."""


class Generation(Settings):
    """Continuations of held-out prompts by the models, between the true rest and its units in disorder."""

    corpus: str
    """The corpus whose test split is continued."""
    encoder: str
    """The encoder whose units the models speak."""
    models: Annotated[list[str], Field(min_length=1)] | None = None
    """The models that speak; null takes all of that encoder."""
    sampling: Sampling = Sampling()
    """How they continue."""
    recognizer: str = "whisper_tiny_en"
    """The CTranslate2 Whisper that transcribes: an asset."""
    text_model: str = "smollm2_135m_instruct"
    """The text model that judges transcripts: an asset."""


class ContinueSpeech(Settings):
    """Settings of one continue_speech job."""

    encoder: Encoder
    sampling: Sampling


class ScoreContinuations(Settings):
    """Settings of one score_continuations job."""

    resamples: Annotated[int, Field(ge=100)] = 2000
    """Resamples of the bootstrap intervals."""
    seed: int = 0
    """Seed of the bootstrap."""
