"""Units of a HuBERT layer's states (Hsu et al. 2021, arXiv:2106.07447)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from slamflow.tokenizers import NetworkTokenizerSettings
from slamflow.tokenizers.textless_names import encoder_keys

if TYPE_CHECKING:
    import torch

    from slamflow.jobs.sources import Sources
    from slamflow.tokenizers.tokenizer import StateEncoder


class HubertTokenizer(NetworkTokenizerSettings):
    """States of a HuBERT layer, 50 a second; 25 for mHuBERT-25Hz."""

    about: ClassVar[str] = "clusters of the states of a HuBERT layer, learned from speech alone."
    kind: Literal["hubert"]
    """States of a HuBERT layer."""
    model: str
    """An asset of recipes/assets.yaml, or a folder with a transformers model. `textless:NAME` is the one that
    textlesslib has under that name, with its layer, its frame rate and windows of 100 seconds."""
    layer: Annotated[int | None, Field(ge=0)] = None
    """Output of this transformer layer, counted from 1 (0 is its input); null is the last one with its final norm."""
    normalize: bool | None = None
    """Give each waveform mean 0 and variance 1. Null does as the model's preprocessor_config.json says."""
    padding_samples: Annotated[int, Field(ge=0)] = 0
    """Zeros on each side of the waveform; SlamKit has 40."""

    @model_validator(mode="before")
    @classmethod
    def textless_names(cls, values: Any) -> Any:
        return encoder_keys(values) if isinstance(values, dict) else values

    def files(self, sources: Sources) -> list[str]:
        return sources.model(self.model)

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        yield from sources.model_problems(f"{key}.model", self.model)
        yield from super().file_problems(key, sources)

    def gflop_per_second(self) -> float:
        # HuBERT base at 25 Hz: convolutions 4.9, transformer 4.25, positions 0.24. Derived from the shapes.
        return 9.4


def load_encoder(settings: HubertTokenizer, model: Path, device: torch.device) -> StateEncoder:
    """HuBERT up to the layer."""
    from slamflow.tokenizers.networks.hubert import HubertEncoder

    return HubertEncoder(
        model, settings.layer, settings.normalize, settings.padding_samples, device, settings.precision
    )
