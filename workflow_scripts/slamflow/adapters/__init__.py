"""Adapters: published systems in formats of their own. Each kind is a module; what they share is here.

A kind's module has a settings class, derived from `SystemSettings`, and one function:

    convert(source, output) -> Vocabulary

which reads the folder `source` as it was published, writes a transformers causal language model to the folder `output`
(config.json, model.safetensors), and returns its vocabulary: the ids of its special tokens and units, and which tokens
its authors score. Before it writes anything, it raises InputError for a folder of another format, saying what does not
fit. `slamflow.adapters.weights` reads and writes folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from slamflow.kinds import Family
from slamflow.recipe.base import SectionSettings, Settings
from slamflow.tokenizers import TOKENIZERS, TokenizerSettings

if TYPE_CHECKING:
    from slamflow.jobs.sources import Sources
    from slamflow.recipe.recipe import Recipe


class SystemSettings(SectionSettings):
    """A published model of units: scored and continued, not trained."""

    is_aligned: ClassVar[bool] = False
    spare_units: ClassVar[bool] = False
    """Whether there may be spare tokens behind the units, so that the encoder says how many units there are."""
    adapter: str
    """The format that it was published in."""
    weights: str
    """An asset with the files as they were published, or a folder with them."""
    encoder: str
    """The encoder (of `encoders:`) whose units it speaks."""

    def files(self, sources: Sources) -> list[str]:
        """The published files."""
        place, names = sources.folder(self.weights)
        is_asset = self.weights in sources.assets
        return [f"{place}/{name}" for name in names if is_asset or Path(place, name).is_file()]

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:
        if self.encoder not in recipe.encoders:
            yield f"models.{name}.encoder: no encoder {self.encoder!r}"

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        if problems := list(sources.folder_problems(f"{key}.weights", self.weights)):
            yield from problems
        elif not self.files(sources):
            yield f"{key}.weights: {self.weights} has no files"


ADAPTERS = Family(
    "adapters",
    {
        "slamkit": "slamflow.adapters.slamkit:SlamKitSystem",
        "twist": "slamflow.adapters.twist:TwistSystem",
        "slm": "slamflow.adapters.slm:SlmSystem",
        "gslm": "slamflow.adapters.gslm:GslmSystem",
        "sims": "slamflow.adapters.sims:SimsSystem",
        "spiritlm": "slamflow.adapters.spiritlm:SpiritLmSystem",
        "zerosyl": "slamflow.adapters.zerosyl:ZeroSylSystem",
    },
    key="adapter",
)


class ImportModel(Settings):
    """Settings of one import_model job."""

    name: str | None = None
    """The model's name in the recipe."""
    encoder: str | None = None
    """The encoder whose units it speaks."""
    tokenizer: Annotated[TokenizerSettings, TOKENIZERS] | None = None
    """The settings of that encoder."""
