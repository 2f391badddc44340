"""Benchmarks of minimal pairs. Each kind is a module; what they share is here.

A kind's module has a settings class, and

    KEYS                                         what every record must have as a string
    build(records, spoken, seed) -> (items, left_out)
    folder_pairs(files) -> Iterator[SpokenPair]  only where it is published as a folder with a layout of its own

`records` are the stories or pairs of one split of the corpus (JSON objects), `spoken` the utterances by id
(slamflow.benchmarks.pairs.Spoken), `items` the pairs as units (slamflow.shards.items.Item), sorted by id, and
`left_out` counts by reason what could not be used. `files` are slamflow.corpora.published_files.PublishedFiles. Pairs
that were published as speech are taken as they are, whatever the kind: then `build` is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from slamflow.kinds import Family
from slamflow.recipe.base import SectionSettings, Use

if TYPE_CHECKING:
    from slamflow.recipe.recipe import Recipe

SPLITS = ("dev", "test")
"""The splits of a corpus that a benchmark is built from: settings are chosen on dev, test is looked at once."""


class BenchmarkSettings(SectionSettings):
    """Minimal pairs built from a held-out corpus."""

    question: ClassVar[str]
    """What a model has to tell apart, as a sentence for the page."""
    built_from: ClassVar[Literal["stories", "pairs"]]
    """Stories with endings, or minimal pairs that were made for this kind; or else, for every kind, pairs that were
    published as speech."""

    kind: str
    """What the benchmark asks."""
    corpus: str
    """The corpus. Its test split, and its dev split if it has one, are the splits of the benchmark."""
    encoder: str
    """The encoder whose units are scored."""
    models: Annotated[list[str], Field(min_length=1)] | None = None
    """The models that are scored; null takes all of that encoder. The baselines are always."""
    seed: int = 0
    """Seed of what is drawn while it is built."""

    def splits(self, recipe: Recipe) -> list[str]:
        """The splits of the benchmark."""
        return [split for split in SPLITS if split in recipe.corpora[self.corpus].splits]

    def uses(self, name: str, recipe: Recipe) -> Iterator[Use]:
        for split in self.splits(recipe):
            reference = f"{self.corpus}/{split}"
            yield Use(reference, "text", None, f"benchmarks.{name}")
            yield Use(reference, "units", self.encoder, f"benchmarks.{name}")

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:
        if self.encoder not in recipe.encoders:
            yield f"benchmarks.{name}.encoder: no encoder {self.encoder!r}"
        for model in self.models or []:
            if recipe.encoder_of(model) != self.encoder:
                yield f"benchmarks.{name}.models: {model!r} is no model of units of {self.encoder}"
        key = f"benchmarks.{name}.corpus"
        if problem := recipe.reference_problem(key, f"{self.corpus}/test"):
            yield problem
            return
        corpus = recipe.corpora[self.corpus]
        if corpus.benchmark not in (None, self.kind):
            yield f"{key}: {self.corpus} has task {corpus.benchmark}, not {self.kind}"
        elif corpus.benchmark is None and (self.built_from == "pairs" or corpus.holds != "stories"):
            needed = f"minimal_pairs and task {self.kind}" if self.built_from == "pairs" else "stories"
            yield f"{key}: {self.kind} needs a corpus of kind {needed}; {self.corpus} is of kind {corpus.kind}"


BENCHMARKS = Family(
    "benchmarks",
    {
        "tstorycloze": "slamflow.benchmarks.tstorycloze:TStoryCloze",
        "sstorycloze": "slamflow.benchmarks.sstorycloze:SStoryCloze",
        "sblimp": "slamflow.benchmarks.sblimp:SBlimp",
        "swuggy": "slamflow.benchmarks.swuggy:SWuggy",
        "salmon": "slamflow.benchmarks.salmon:Salmon",
        "text_pairs": "slamflow.benchmarks.text_pairs:TextPairs",
    },
)
