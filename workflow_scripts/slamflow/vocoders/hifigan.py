"""A published unit HiFi-GAN with duration prediction, computed here or by textlesslib itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import field_validator

from slamflow.tokenizers.textless_names import VOCODERS, named
from slamflow.vocoders import VocoderSettings

if TYPE_CHECKING:
    from slamflow.jobs.sources import Sources
    from slamflow.vocoders.vocoder import UnitVocoder


class HifiGanVocoder(VocoderSettings):
    """A published unit HiFi-GAN with duration prediction, for the units of the encoder that it was made for."""

    made_by: ClassVar[Literal["train_vocoder", "convert_vocoder"]] = "convert_vocoder"
    kind: Literal["hifigan"]
    """It is downloaded."""
    model: str
    """An asset with its two files, the generator (.pt) and the configuration (.json), or a folder with such files.
    `textless:NAME` is the one that textlesslib has under that name."""
    engine: Literal["slamflow", "textless"] = "slamflow"
    """What computes it: this project's code, or textlesslib itself (docs/textless.md)."""

    @field_validator("model")
    @classmethod
    def textless_name(cls, model: str) -> str:
        name = named(model, {**VOCODERS})
        return model if name is None else VOCODERS[name]

    def files(self, sources: Sources) -> list[str]:
        root, files = sources.folder(self.model)
        return [f"{root}/{file}" for file in files if file.endswith((".pt", ".json"))]

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        yield from super().file_problems(key, sources)
        files = sources.files_in(self.model)
        if not all(any(file.endswith(ending) for file in files) for ending in (".pt", ".json")):
            yield (
                f"{key}.model: {self.model!r} is neither an asset nor a folder with a .pt and a .json file of a vocoder"
            )


def convert(settings: HifiGanVocoder, source: Path, output: Path) -> None:
    """Write vocoder.safetensors and vocoder.json from the published files."""
    from slamflow.vocoders.convert_hifigan import convert_files

    convert_files(source, output, settings.engine)


def load(folder: Path, about: dict[str, Any]) -> UnitVocoder:
    """The generator in a folder of convert_vocoder."""
    if about.get("engine") == "textless":
        from slamflow.textless.process import TextlessVocoder

        return TextlessVocoder(folder, about)
    from slamflow.vocoders.unit_hifigan import HifiGan

    return HifiGan.load(folder, about)
