"""Benchmarks of minimal pairs: what rules/evaluation.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.plan.results import Results
from slamflow.settings.evaluation import BuildBenchmark
from slamflow.settings.recipe import RESERVED_MODELS, Recipe
from slamflow.settings.spoken_pairs import SpokenPairCorpus


def benchmark_parts(recipe: Recipe, benchmark: str) -> list[str]:
    """The parts of a benchmark: test, and dev where its corpus has one."""
    splits = recipe.corpora[recipe.benchmarks[benchmark].corpus].splits
    return [part for part in ("dev", "test") if part in splits]


def models_of(recipe: Recipe, encoder: str) -> list[str]:
    """The models that speak the units of an encoder."""
    return [name for name in recipe.models if recipe.encoder_of(name) == encoder]


class EvaluationJobs:
    """Pairs as units, and the scores of models and of trivial baselines on them."""

    def __init__(self, recipe: Recipe, results: Results) -> None:
        self.recipe = recipe
        self.results = results

    def build_benchmark(self, wildcards: Any) -> str:
        """Settings of one build_benchmark job."""
        benchmark = self.recipe.benchmarks[wildcards.benchmark]
        return BuildBenchmark(
            benchmark=wildcards.benchmark,
            kind=benchmark.kind,
            part=wildcards.part,
            seed=benchmark.seed,
            published=isinstance(self.recipe.corpora[benchmark.corpus], SpokenPairCorpus),
        ).model_dump_json()

    def text(self, wildcards: Any) -> list[str]:
        """The stories that one part of a benchmark is built from."""
        return self.results.text([self._reference(wildcards)])

    def units(self, wildcards: Any) -> list[str]:
        """The unit shards that one part of a benchmark is built from."""
        return self.results.units(wildcards.encoder, [self._reference(wildcards)])

    def _reference(self, wildcards: Any) -> str:
        return f"{self.recipe.benchmarks[wildcards.benchmark].corpus}/{wildcards.part}"

    def items(self, wildcards: Any) -> dict[str, str]:
        """The items of one part of a benchmark, and their manifest."""
        encoder = self.recipe.benchmarks[wildcards.benchmark].encoder
        stem = f"<results>/evaluation/{encoder}/{wildcards.benchmark}/{wildcards.part}"
        return {"minimal_pairs": f"{stem}.parquet", "manifest": f"{stem}.json"}

    def settings(self, _wildcards: Any) -> str:
        """How scores are computed; whose voices are compared does not concern them."""
        return self.recipe.evaluation.model_copy(update={"voices": []}).model_dump_json()

    def model(self, wildcards: Any) -> list[str]:
        """The files of a model that is scored."""
        return self.results.model(wildcards.model)

    def baseline_units(self, wildcards: Any) -> list[str]:
        """The units that trivial baselines are fitted on: those that the first model of the encoder is trained on."""
        encoder = self.recipe.benchmarks[wildcards.benchmark].encoder
        dataset = next(d for d in self.recipe.datasets.values() if d.encoder == encoder)
        return self.results.units(encoder, dataset.trained_on)

    def scores(self, suffix: str) -> list[str]:
        """The files of all scores, trivial baselines' among them: suffix .json or .pairs.parquet."""
        return [
            f"<results>/scores/{self.recipe.recipe}/{model}/{benchmark}.{part}{suffix}"
            for benchmark, settings in self.recipe.benchmarks.items()
            for model in [*(settings.models or models_of(self.recipe, settings.encoder)), *RESERVED_MODELS]
            for part in benchmark_parts(self.recipe, benchmark)
        ]
