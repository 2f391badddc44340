"""Units of a Whisper encoder's states (Radford et al. 2022, arXiv:2212.04356)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from slamflow.tokenizers import NetworkTokenizerSettings

if TYPE_CHECKING:
    import torch

    from slamflow.jobs.sources import Sources
    from slamflow.tokenizers.tokenizer import StateEncoder


class WhisperTokenizer(NetworkTokenizerSettings):
    """States of a Whisper encoder, 50 a second."""

    about: ClassVar[str] = (
        "states of the encoder of Whisper, which was trained on transcripts, so they are supervised by text and not "
        "“textless”. Scores on them, and on made-up stories, show that the workflow works and learns; they say nothing "
        "about a place among published systems."
    )
    is_comparable: ClassVar[bool] = False
    is_recognizer: ClassVar[bool] = True
    kind: Literal["whisper"]
    """States of a Whisper encoder."""
    model: str
    """An asset of recipes/assets.yaml, or a folder with a transformers model."""
    layer: Annotated[int | None, Field(ge=0)] = None
    """Output of this transformer layer, counted from 1 (0 is its input); null is the last one with its final norm."""

    def files(self, sources: Sources) -> list[str]:
        return sources.model(self.model)

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        yield from sources.model_problems(f"{key}.model", self.model)
        yield from super().file_problems(key, sources)

    def seconds_per_core_second(self) -> float:
        # Whisper tiny, measured: 17.47 h in 423 s (docs/results.md).
        return 148.0


def load_encoder(settings: WhisperTokenizer, model: Path, device: torch.device) -> StateEncoder:
    """Whisper's encoder up to the layer."""
    from slamflow.tokenizers.networks.whisper import WhisperEncoder

    return WhisperEncoder(model, settings.layer, device, settings.precision)
