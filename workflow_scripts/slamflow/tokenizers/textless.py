"""Units of a HuBERT layer as textlesslib itself computes it, from fairseq's file (docs/textless.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from slamflow.tokenizers import FrameTokenizerSettings
from slamflow.tokenizers.textless_names import encoder_keys

if TYPE_CHECKING:
    import torch

    from slamflow.jobs.sources import Sources
    from slamflow.tokenizers.tokenizer import StateEncoder


class TextlessTokenizer(FrameTokenizerSettings):
    """A HuBERT layer as textlesslib itself computes it, in a process of its own."""

    about: ClassVar[str] = "clusters of the states of a HuBERT layer, learned from speech alone, by textlesslib."
    kind: Literal["textless"]
    """A HuBERT layer as textlesslib computes it."""
    model: str
    """An asset of recipes/assets.yaml, or a folder, with one .pt file of fairseq. `textless:NAME` is the one that
    textlesslib has under that name, with its layer, its frame rate and windows of 100 seconds."""
    layer: Annotated[int | None, Field(ge=0)] = None
    """Output of this transformer layer, counted from 1; it must be said, here or by the name."""

    @model_validator(mode="before")
    @classmethod
    def textless_names(cls, values: Any) -> Any:
        return encoder_keys(values) if isinstance(values, dict) else values

    def files(self, sources: Sources) -> list[str]:
        root, files = sources.folder(self.model)
        return [f"{root}/{file}" for file in files if file.endswith(".pt")]

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        if sum(file.endswith(".pt") for file in sources.files_in(self.model)) != 1:
            yield f"{key}.model: {self.model!r} is neither an asset nor a folder with one .pt file of fairseq"
        yield from super().file_problems(key, sources)

    def gflop_per_second(self) -> float:
        # As slamflow.tokenizers.hubert.
        return 9.4


def load_encoder(settings: TextlessTokenizer, model: Path, device: torch.device) -> StateEncoder:
    """textlesslib's HuBERT in a process of its own."""
    from slamflow.textless.process import TextlessEncoder

    return TextlessEncoder(model, settings.layer, device)
