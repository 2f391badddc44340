"""Speech encoders and their codebooks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from slamflow.settings.base import Settings
from slamflow.settings.textless import encoder_keys


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

    kind: Literal["whisper", "hubert", "logmel", "textless"]
    """`whisper`: states of a Whisper encoder; `hubert`: states of a HuBERT layer; `logmel`: plain log-mel frames;
    `textless`: a HuBERT layer as textlesslib itself computes it, from fairseq's file (docs/textless.md)."""
    model: str | None = None
    """An asset of recipes/assets.yaml, or a folder with a transformers model. None for logmel. `textless:NAME` is the
    one that textlesslib has under that name, with its layer, its frame rate and windows of 100 seconds."""
    layer: Annotated[int | None, Field(ge=0)] = None
    """Output of this transformer layer, counted from 1 (0 is its input); null is the last one with its final norm."""
    frame_rate_hz: Annotated[float, Field(gt=0)] = 25.0
    """Frames per second after averaging neighbouring frames; must divide the encoder's own rate."""
    window_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Longer audio is cut in windows of this length, each encoded as a file of its own (Whisper takes at most 30)."""
    max_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """Longer audio is set aside and listed."""
    normalize: bool | None = None
    """For hubert: give each waveform mean 0 and variance 1. Null does as the model's preprocessor_config.json says."""
    padding_samples: Annotated[int, Field(ge=0)] = 0
    """For hubert: zeros on each side of the waveform; SlamKit has 40."""
    standardize: bool = True
    """Give each feature mean 0 and variance 1, as measured on the fitting speech, before the k-means.
    A given codebook is taken as it is."""
    clusters: Annotated[int, Field(ge=2, le=65000)] = 500
    """How many units."""
    fit: FitUnits | None = None
    """Fit a codebook; or give one with `codebook`."""
    codebook: str | None = None
    """A given codebook: asset:NAME/FILE or a path (safetensors, npy, or a scikit-learn k-means pickle,
    which is read without executing it). `textless:NAME` is the one that textlesslib has under that name."""

    @model_validator(mode="before")
    @classmethod
    def textless_names(cls, values: Any) -> Any:
        return encoder_keys(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def keys_fit_kind(self) -> Encoder:
        if (self.kind == "logmel") != (self.model is None):
            raise ValueError("model belongs to whisper, hubert and textless, and is needed there")
        if self.kind == "logmel" and self.layer is not None:
            raise ValueError("layer: logmel has none")
        if self.kind != "hubert" and (self.normalize is not None or self.padding_samples):
            raise ValueError("normalize and padding_samples belong to kind hubert")
        return self


class ExtractUnits(Settings):
    """Settings of one extract_units job."""

    encoder: Encoder
    corpus: str
    split: str
