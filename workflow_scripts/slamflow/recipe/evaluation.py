"""How models are scored on benchmarks, and how far voices are apart in units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from slamflow.benchmarks import BENCHMARKS, BenchmarkSettings
from slamflow.recipe.base import Settings, Use
from slamflow.scorers import BASELINES

if TYPE_CHECKING:
    from slamflow.recipe.recipe import Recipe


class Evaluation(Settings):
    """How scores are computed."""

    baselines: list[str] = ["unigram", "5gram", "length", "loudness"]
    """The baselines that are scored beside the models: an audit of the benchmarks."""
    text_model: str | None = None
    """A text model that is scored on the words of the pairs, as the row `text_model`: an asset or a folder; null has no
    such row. Of pairs without texts it says nothing."""
    ngram_tokens: Annotated[int, Field(ge=1)] = 20_000_000
    """How many units of the training data, the first ones, the n-gram baselines are fitted on.
    Each takes about 120 bytes of memory."""
    voices: list[str] = []
    """Corpora in which several speakers say the same sentences. How far apart their units are is measured, for
    every encoder in use."""

    def rows(self) -> list[str]:
        """What is scored beside the models: the baselines and, if there is one, the text model."""
        return [*self.baselines, *(["text_model"] if self.text_model else [])]

    def uses(self, recipe: Recipe) -> Iterator[Use]:
        """The splits that baselines read."""
        if any(BASELINES.settings(name).needs_speech for name in self.rows()):
            for benchmark in recipe.benchmarks.values():
                for split in benchmark.splits(recipe):
                    yield Use(f"{benchmark.corpus}/{split}", "audio", None, "evaluation")

    def problems(self, recipe: Recipe) -> Iterator[str]:
        """What is wrong with the section in a recipe."""
        known = [name for name in BASELINES.names() if not BASELINES.settings(name).needs_text_model]
        for name in self.baselines:
            if name not in BASELINES.names():
                yield f"evaluation.baselines: no baseline {name!r}; there are {', '.join(known)}"
            elif name not in known:
                yield f"evaluation.baselines: {name} comes by itself where evaluation.text_model names a text model"
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


class ScoredSplit(Settings):
    """One split of a benchmark that a model is scored on."""

    benchmark: str
    """The benchmark's name in the recipe."""
    kind: str
    split: Literal["dev", "test"]


class ScoreBenchmarks(Settings):
    """Settings of one score_benchmarks job."""

    model: str
    """The model's name in the recipe."""
    scored: Annotated[list[ScoredSplit], Field(min_length=1)]


class ScoreBaselines(Settings):
    """Settings of one score_baselines job."""

    name: str
    """The benchmark's name in the recipe."""
    kind: str
    split: Literal["dev", "test"]
    baselines: list[str]
    ngram_tokens: Annotated[int, Field(ge=1)]
    built: BuildBenchmark | None = None
    """How the items were built; None if no baseline reads their speech or texts."""


class CompareVoices(Settings):
    """Settings of one compare_voices job."""

    encoder: str
    corpus: str
