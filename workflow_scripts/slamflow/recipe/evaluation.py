"""How models are scored on benchmarks, and how far voices are apart in units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from slamflow.benchmarks import BENCHMARKS, BenchmarkSettings
from slamflow.recipe.base import Settings
from slamflow.scorers import BASELINES

if TYPE_CHECKING:
    from slamflow.recipe.recipe import Recipe


class Evaluation(Settings):
    """How scores are computed."""

    baselines: list[str] = ["unigram", "5gram", "length"]
    """The baselines that are scored beside the models."""
    ngram_tokens: Annotated[int, Field(ge=1)] = 20_000_000
    """How many units of the training data, the first ones, the n-gram baselines are fitted on.
    Each takes about 120 bytes of memory."""
    voices: list[str] = []
    """Corpora in which several speakers say the same sentences. How far apart their units are is measured, for
    every encoder in use."""

    def problems(self, recipe: Recipe) -> Iterator[str]:
        """What is wrong with the section in a recipe."""
        for name in self.baselines:
            if name not in BASELINES.names():
                yield f"evaluation.baselines: no baseline {name!r}; there are {', '.join(BASELINES.names())}"
            elif BASELINES.settings(name).needs_training_units:
                for benchmark, settings in recipe.benchmarks.items():
                    if settings.encoder not in (dataset.encoder for dataset in recipe.datasets.values()):
                        yield (
                            f"evaluation.baselines: {name} is fitted on units of {settings.encoder} for benchmarks."
                            f"{benchmark}, and no dataset has any; add one, or leave {name} out"
                        )
        if len(set(self.baselines)) != len(self.baselines):
            yield "evaluation.baselines: a baseline is named twice"
        for name in self.voices:
            if name not in recipe.corpora:
                yield f"evaluation.voices: no corpus {name!r}; corpora has {', '.join(recipe.corpora)}"
            elif recipe.corpora[name].holds == "pairs":
                yield f"evaluation.voices: {name} is of minimal pairs, which no two voices say"


class BuildBenchmark(Settings):
    """Settings of one build_benchmark job."""

    name: str
    """The benchmark's name in the recipe."""
    benchmark: Annotated[BenchmarkSettings, BENCHMARKS]
    split: Literal["dev", "test"]
    published: bool = False
    """Whether the pairs were published as speech: they are taken as they are, whatever the kind."""


class ScoreBenchmark(Settings):
    """Settings of one score_benchmark job."""

    name: str
    """The benchmark's name in the recipe."""
    kind: str
    split: Literal["dev", "test"]
    model: str
    """The model's name in the recipe."""


class ScoreBaselines(Settings):
    """Settings of one score_baselines job."""

    name: str
    """The benchmark's name in the recipe."""
    kind: str
    split: Literal["dev", "test"]
    baselines: list[str]
    ngram_tokens: Annotated[int, Field(ge=1)]


class CompareVoices(Settings):
    """Settings of one compare_voices job."""

    encoder: str
    corpus: str
