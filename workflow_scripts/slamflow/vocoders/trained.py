"""A vocoder that is trained here: a small network to mel spectra, and phases by Griffin and Lim."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from slamflow.recipe.base import Settings
from slamflow.vocoders import VocoderSettings

if TYPE_CHECKING:
    from slamflow.recipe.recipe import Recipe
    from slamflow.vocoders.job_settings import TrainVocoder
    from slamflow.vocoders.vocoder import UnitVocoder


class VocoderTraining(Settings):
    """How a vocoder is trained."""

    speaker: str | None = None
    """The voice it speaks with; null takes the one with most speech."""
    hours: Annotated[float, Field(gt=0)] = 2.0
    """How much of that voice's speech, taken in the order of a hash of the ids."""
    steps: Annotated[int, Field(ge=1)] = 1000
    """Optimizer steps."""
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


class TrainedVocoder(VocoderSettings):
    """A vocoder for the units of one encoder, trained here."""

    made_by: ClassVar[Literal["train_vocoder", "convert_vocoder"]] = "train_vocoder"
    kind: Literal["trained"] = "trained"
    """It is trained on speech and its units; the kind need not be said."""
    corpora: Annotated[list[str], Field(min_length=1)]
    """What it is trained on, as corpus/split."""
    training: VocoderTraining = VocoderTraining()
    """How it is trained."""

    def training_speech(self) -> list[str]:
        return self.corpora

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:
        yield from super().problems(name, recipe)
        if not self.held_out:
            yield f"vocoders.{name}.held_out: say what the vocoder is evaluated on, as corpus/split"


def train(settings: TrainVocoder, audio: list[Path], units: list[Path], threads: int, output: Path) -> None:
    """Train on speech shards and the unit shards made from them, and write vocoder.safetensors and vocoder.json."""
    from slamflow.vocoders.fitting import train_to_folder

    train_to_folder(settings, audio, units, threads, output)


def load(folder: Path, about: dict[str, Any]) -> UnitVocoder:
    """The network in a folder of train_vocoder."""
    from slamflow.vocoders.synthesis import MelVocoder

    return MelVocoder.load(folder, about)
