"""Vocoders: units to speech. Each kind is a module; what they share is here.

A kind's module has a settings class and two functions. One reads a vocoder's folder, `about` being its vocoder.json:

    load(folder, about) -> UnitVocoder

The other writes it; which one it is follows from the rule that makes the vocoder, `made_by`:

    train(settings, audio, units, threads, output) -> None      speech shards and their unit shards
    convert(settings, source, output) -> None                   the folder with the published files

The protocol is in slamflow.vocoders.vocoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from slamflow.kinds import Family
from slamflow.recipe.base import SectionSettings, Use

if TYPE_CHECKING:
    from slamflow.jobs.sources import Sources
    from slamflow.recipe.recipe import Recipe

VOCODER_FILES = ("vocoder.safetensors", "vocoder.json")


class VocoderSettings(SectionSettings):
    """What turns the units of one encoder back into speech."""

    made_by: ClassVar[Literal["train_vocoder", "convert_vocoder"]]
    """The rule that makes it."""
    kind: str
    """The kind of vocoder."""
    held_out: list[str] = []
    """What it is evaluated on, as corpus/split; nothing for no evaluation."""
    eval_utterances: Annotated[int, Field(ge=2)] = 40
    """Held-out utterances on which recognizers compare the resynthesis with the original."""
    recognizer: str = "whisper_tiny_en"
    """The CTranslate2 Whisper that transcribes: an asset."""
    dnsmos: str | None = None
    """The network of DNSMOS P.835, as asset:NAME/FILE or a path, which rates the original and the resynthesis as
    listeners would; null rates nothing. `asset:dnsmos/sig_bak_ovr.onnx` is the published one."""

    def training_speech(self) -> list[str]:
        """What it is trained on, as corpus/split."""
        return []

    def for_making(self) -> Self:
        """The settings that the vocoder itself depends on: how it is evaluated is not among them."""
        own = VocoderSettings.model_fields
        defaults = {key: own[key].get_default() for key in ("held_out", "eval_utterances", "recognizer", "dnsmos")}
        return self.model_copy(update=defaults)

    def files(self, sources: Sources) -> list[str]:  # noqa: ARG002
        """The published files that it is converted from."""
        return []

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        """What is missing of its files."""
        yield from sources.asset_problems(f"{key}.recognizer", self.recognizer)
        if self.dnsmos is not None:
            yield from sources.file_problems(f"{key}.dnsmos", self.dnsmos)

    def uses(self, name: str, recipe: Recipe) -> Iterator[Use]:  # noqa: ARG002
        for reference in [*self.training_speech(), *self.held_out]:
            yield Use(reference, "audio", None, f"vocoders.{name}")
            yield Use(reference, "units", name, f"vocoders.{name}")

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:
        if name not in recipe.encoders:
            yield f"vocoders.{name}: no encoder of that name; there are {', '.join(recipe.encoders)}"
        for key, references in (("corpora", self.training_speech()), ("held_out", self.held_out)):
            for reference in references:
                if problem := recipe.reference_problem(f"vocoders.{name}.{key}", reference):
                    yield problem


VOCODERS = Family(
    "vocoders",
    {
        "trained": "slamflow.vocoders.trained:TrainedVocoder",
        "hifigan": "slamflow.vocoders.hifigan:HifiGanVocoder",
    },
    default="trained",
)
