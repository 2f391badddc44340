"""Speech encoders and their codebooks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slamflow.settings.base import Settings


class FitUnits(Settings):
    """K-means over frames of speech."""

    corpora: Annotated[list[str], Field(min_length=1)]
    """The corpora, as corpus/split, whose speech the codebook is fitted on."""
    hours: Annotated[float, Field(gt=0)] = 0.5
    """How much speech of them, taken in the order of a hash of the ids."""
    seed: int = 0
    """Seed of the k-means."""


class Encoder(Settings):
    """What turns speech into units."""

    kind: Literal["whisper", "hubert", "logmel"]
    """`whisper`: states of a Whisper encoder; `hubert`: states of a HuBERT layer; `logmel`: plain log-mel frames."""
    model: str | None = None
    """An asset of recipes/assets.yaml, or a folder with a transformers model. None for logmel."""
    layer: Annotated[int | None, Field(ge=0)] = None
    """Output of this transformer layer, counted from 1 (0 is its input); null is the last one with its final norm."""
    frame_rate_hz: Annotated[float, Field(gt=0)] = 25.0
    """Frames per second after averaging neighbouring frames; must divide the encoder's own rate."""
    standardize: bool = True
    """Give each feature mean 0 and variance 1, as measured on the fitting speech, before the k-means."""
    clusters: Annotated[int, Field(ge=2, le=65000)] = 500
    """How many units."""
    fit: FitUnits | None = None
    """Fit a codebook; or give one with `codebook`."""
    codebook: str | None = None
    """A given codebook: asset:NAME/FILE or a path (safetensors, npy, or a scikit-learn k-means pickle,
    which is read without executing it)."""


class ExtractUnits(Settings):
    """Settings of one extract_units job."""

    encoder: Encoder
    corpus: str
    split: str
