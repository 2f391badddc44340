"""Benchmarks of minimal pairs: what rules/evaluation.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.benchmarks import BENCHMARKS, BenchmarkSettings
from slamflow.jobs.results import Results
from slamflow.recipe.base import canonical
from slamflow.recipe.evaluation import BuildBenchmark, ScoreBaselines, ScoreBenchmark
from slamflow.recipe.recipe import Recipe
from slamflow.scorers import BASELINES


class EvaluationJobs:
    """Pairs as units, and the scores of models and of baselines on them."""

    def __init__(self, recipe: Recipe, results: Results) -> None:
        self.recipe = recipe
        self.results = results

    def _benchmark(self, wildcards: Any) -> BenchmarkSettings:
        return self.recipe.benchmarks[wildcards.benchmark]

    # Built

    def build_benchmark(self, wildcards: Any) -> str:
        """Settings of one build_benchmark job; which models are scored is not among them."""
        return canonical(
            BuildBenchmark(
                name=wildcards.benchmark,
                benchmark=self._benchmark(wildcards).model_copy(update={"models": None}),
                split=wildcards.split,
                published=self._is_published(wildcards),
            )
        )

    def kinds(self, wildcards: Any) -> list[str]:
        """The module of a benchmark's kind; none for pairs that are taken as they were published."""
        return [] if self._is_published(wildcards) else [BENCHMARKS.module_name(self._benchmark(wildcards).kind)]

    def _is_published(self, wildcards: Any) -> bool:
        return self.recipe.corpora[self._benchmark(wildcards).corpus].made_by == "collect_pairs"

    def records(self, wildcards: Any) -> list[str]:
        """The stories or pairs that one split of a benchmark is built from."""
        return self.results.text([self._reference(wildcards)])

    def units(self, wildcards: Any) -> list[str]:
        """The unit shards that one split of a benchmark is built from."""
        return self.results.units(wildcards.encoder, [self._reference(wildcards)])

    def _reference(self, wildcards: Any) -> str:
        return f"{self._benchmark(wildcards).corpus}/{wildcards.split}"

    # Scored

    def items(self, wildcards: Any) -> dict[str, str]:
        """The items of one split of a benchmark, and their manifest."""
        stem = f"<results>/evaluation/{self._benchmark(wildcards).encoder}/{wildcards.benchmark}/{wildcards.split}"
        return {"minimal_pairs": f"{stem}.parquet", "manifest": f"{stem}.json"}

    def score_benchmark(self, wildcards: Any) -> str:
        """Settings of one score_benchmark job."""
        kind = self._benchmark(wildcards).kind
        return canonical(
            ScoreBenchmark(name=wildcards.benchmark, kind=kind, split=wildcards.split, model=wildcards.model)
        )

    def model(self, wildcards: Any) -> list[str]:
        """The files of a model that is scored."""
        return self.results.model(wildcards.model)

    def models(self, benchmark: str) -> list[str]:
        """The models that are scored on a benchmark."""
        settings = self.recipe.benchmarks[benchmark]
        return settings.models or self.recipe.models_of(settings.encoder)

    # Baselines

    def score_baselines(self, wildcards: Any) -> str:
        """Settings of one score_baselines job."""
        evaluation = self.recipe.evaluation
        return canonical(
            ScoreBaselines(
                name=wildcards.benchmark,
                kind=self._benchmark(wildcards).kind,
                split=wildcards.split,
                baselines=evaluation.baselines,
                ngram_tokens=evaluation.ngram_tokens,
            )
        )

    def baseline_kinds(self, _wildcards: Any) -> list[str]:
        """The modules of the recipe's baselines."""
        return [BASELINES.module_name(name) for name in self.recipe.evaluation.baselines]

    def baseline_units(self, wildcards: Any) -> list[str]:
        """The units that baselines are fitted on: all that one of the scored models is trained on here.

        Where all of them were published, what the recipe's datasets have of that encoder.
        """
        if not any(BASELINES.settings(name).needs_training_units for name in self.recipe.evaluation.baselines):
            return []
        encoder = self._benchmark(wildcards).encoder
        datasets = [self.recipe.dataset_of(model) for model in self.models(wildcards.benchmark)]
        if not any(datasets):
            # Published models alone: their training data is not here.
            datasets = [dataset for dataset in self.recipe.datasets.values() if dataset.encoder == encoder]
        references = {reference for dataset in datasets if dataset for reference in dataset.trained_on}
        return self.results.units(encoder, sorted(references))

    def baseline_outputs(self) -> list[str]:
        """The scores of the recipe's baselines and then their pairs, with wildcards."""
        stems = [
            f"<results>/scores/{{recipe}}/{name}/{{benchmark}}.{{split}}" for name in self.recipe.evaluation.baselines
        ]
        return [f"{stem}{suffix}" for suffix in (".json", ".pairs.parquet") for stem in stems]

    def baseline_flags(self, _wildcards: Any, output: Any) -> str:
        """`--score NAME=PATH` and `--pairs NAME=PATH` for each of those outputs."""
        names = self.recipe.evaluation.baselines
        flags = ["--score"] * len(names) + ["--pairs"] * len(names)
        return " ".join(
            f"{flag} {name}={path}" for flag, name, path in zip(flags, [*names, *names], output, strict=True)
        )

    # Targets

    def scores(self, suffix: str) -> list[str]:
        """The files of all scores, those of baselines among them: suffix .json or .pairs.parquet."""
        return [
            f"<results>/scores/{self.recipe.recipe}/{model}/{name}.{split}{suffix}"
            for name, settings in self.recipe.benchmarks.items()
            for model in [*self.models(name), *self.recipe.evaluation.baselines]
            for split in settings.splits(self.recipe)
        ]
