"""Benchmarks of minimal pairs: what rules/evaluation.smk asks."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from slamflow.benchmarks import BENCHMARKS, BenchmarkSettings
from slamflow.jobs.results import Results
from slamflow.jobs.sources import Sources
from slamflow.recipe.base import canonical
from slamflow.recipe.evaluation import BuildBenchmark, ScoreBaselines, ScoreBenchmarks, ScoredSplit
from slamflow.recipe.recipe import Recipe
from slamflow.scorers import BASELINES


class ScoredAlike(NamedTuple):
    """Models that are scored on the same benchmarks."""

    suffix: str
    """Ends the name of their rule; empty for the benchmarks of most models."""
    models: list[str]
    scored: list[tuple[str, str]]
    """(benchmark, split) of each."""

    @property
    def names(self) -> list[str]:
        """`benchmark.split` of each."""
        return [f"{benchmark}.{split}" for benchmark, split in self.scored]


class EvaluationJobs:
    """Pairs as units, and the scores of models and of baselines on them."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results

    def _benchmark(self, wildcards: Any) -> BenchmarkSettings:
        return self.recipe.benchmarks[wildcards.benchmark]

    # Built

    def build_benchmark(self, wildcards: Any) -> str:
        """Settings of one build_benchmark job; which models are scored is not among them."""
        return canonical(self._built(wildcards))

    def _built(self, wildcards: Any) -> BuildBenchmark:
        return BuildBenchmark(
            name=wildcards.benchmark,
            benchmark=self._benchmark(wildcards).model_copy(update={"models": None}),
            split=wildcards.split,
            published=self._is_published(wildcards),
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

    def scored_alike(self) -> list[ScoredAlike]:
        """The models that are scored, by the benchmarks that they are scored on; first the benchmarks of most models.

        Each is a rule: Snakemake wants to know a rule's outputs before the wildcards of a job.
        """
        by_benchmarks: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
        # The order of the recipe's keys must not change a job.
        for model in sorted(self.recipe.models):
            scored = tuple(
                (name, split)
                for name, settings in sorted(self.recipe.benchmarks.items())
                if model in self.models(name)
                for split in settings.splits(self.recipe)
            )
            if scored:
                by_benchmarks[scored].append(model)
        most_models_first = sorted(by_benchmarks.items(), key=lambda entry: (-len(entry[1]), entry[0]))
        return [
            ScoredAlike(f"_of_{models[0]}" if number else "", models, list(scored))
            for number, (scored, models) in enumerate(most_models_first)
        ]

    def _scored(self, model: str) -> ScoredAlike:
        return next(alike for alike in self.scored_alike() if model in alike.models)

    def _items_stem(self, benchmark: str, split: str) -> str:
        return f"<results>/evaluation/{self.recipe.benchmarks[benchmark].encoder}/{benchmark}/{split}"

    def score_benchmarks(self, wildcards: Any) -> str:
        """Settings of one score_benchmarks job."""
        scored = [
            ScoredSplit.model_validate({"benchmark": name, "kind": self.recipe.benchmarks[name].kind, "split": split})
            for name, split in self._scored(wildcards.model).scored
        ]
        return canonical(ScoreBenchmarks(model=wildcards.model, scored=scored))

    def minimal_pairs(self, wildcards: Any) -> list[str]:
        """The items that a model is scored on."""
        return [f"{self._items_stem(*scored)}.parquet" for scored in self._scored(wildcards.model).scored]

    def manifests(self, wildcards: Any) -> list[str]:
        """The manifests of these items."""
        return [f"{self._items_stem(*scored)}.json" for scored in self._scored(wildcards.model).scored]

    def benchmark_flags(self, wildcards: Any, input: Any, output: Any) -> str:
        """The flags of one score_benchmarks job that name the files of each benchmark and split."""
        names = self._scored(wildcards.model).names
        files = {"items": input.minimal_pairs, "manifest": input.manifests, "output": output.scores}
        return " ".join(
            f"--{flag} {name}={path}"
            for flag, paths in {**files, "pairs": output.pairs}.items()
            for name, path in zip(names, paths, strict=True)
        )

    def model(self, wildcards: Any) -> list[str]:
        """The files of a model that is scored."""
        return self.results.model(wildcards.model)

    def models(self, benchmark: str) -> list[str]:
        """The models that are scored on a benchmark."""
        settings = self.recipe.benchmarks[benchmark]
        return settings.models or self.recipe.models_of(settings.encoder)

    # Baselines

    def items(self, wildcards: Any) -> dict[str, str]:
        """The items of one split of a benchmark, and their manifest."""
        stem = self._items_stem(wildcards.benchmark, wildcards.split)
        return {"minimal_pairs": f"{stem}.parquet", "manifest": f"{stem}.json"}

    def score_baselines(self, wildcards: Any) -> str:
        """Settings of one score_baselines job."""
        evaluation = self.recipe.evaluation
        return canonical(
            ScoreBaselines(
                name=wildcards.benchmark,
                kind=self._benchmark(wildcards).kind,
                split=wildcards.split,
                baselines=evaluation.rows(),
                ngram_tokens=evaluation.ngram_tokens,
                built=self._built(wildcards) if self._needs("needs_speech", "needs_text_model") else None,
            )
        )

    def _needs(self, *what: str) -> bool:
        """Whether one of the recipe's baselines says that it needs something."""
        return any(getattr(BASELINES.settings(name), key) for name in self.recipe.evaluation.rows() for key in what)

    def baseline_kinds(self, wildcards: Any) -> list[str]:
        """The modules of the recipe's baselines, and of the benchmark's kind where they read speech or texts."""
        own = self.kinds(wildcards) if self._needs("needs_speech", "needs_text_model") else []
        return [*(BASELINES.module_name(name) for name in self.recipe.evaluation.rows()), *own]

    def baseline_units(self, wildcards: Any) -> list[str]:
        """The units that baselines are fitted on: all that one of the scored models is trained on here.

        Where all of them were published, what the recipe's datasets have of that encoder.
        """
        if not self._needs("needs_training_units"):
            return []
        encoder = self._benchmark(wildcards).encoder
        datasets = [self.recipe.dataset_of(model) for model in self.models(wildcards.benchmark)]
        if not any(datasets):
            # Published models alone: their training data is not here.
            datasets = [dataset for dataset in self.recipe.datasets.values() if dataset.encoder == encoder]
        references = {reference for dataset in datasets if dataset for reference in dataset.trained_on}
        return self.results.units(encoder, sorted(references))

    def baseline_records(self, wildcards: Any) -> list[str]:
        """What the items were built from, for baselines that read speech or texts."""
        return self.records(wildcards) if self._needs("needs_speech", "needs_text_model") else []

    def baseline_spoken(self, wildcards: Any) -> list[str]:
        """The units that the items were built from, likewise."""
        if not self._needs("needs_speech", "needs_text_model"):
            return []
        return self.results.units(self._benchmark(wildcards).encoder, [self._reference(wildcards)])

    def baseline_speech(self, wildcards: Any) -> list[str]:
        """The speech of the items, for baselines that read it."""
        return self.results.audio([self._reference(wildcards)]) if self._needs("needs_speech") else []

    def baseline_text_model(self, _wildcards: Any) -> list[str]:
        """The files of the text model, its tokenizer among them; none in a recipe without."""
        name = self.recipe.evaluation.text_model
        return self.sources.text_model(name) if name else []

    def baseline_outputs(self) -> list[str]:
        """The scores of the recipe's baselines and then their pairs, with wildcards."""
        stems = [
            f"<results>/scores/{{recipe}}/{name}/{{benchmark}}.{{split}}" for name in self.recipe.evaluation.rows()
        ]
        return [f"{stem}{suffix}" for suffix in (".json", ".pairs.parquet") for stem in stems]

    def baseline_flags(self, _wildcards: Any, output: Any) -> str:
        """`--score NAME=PATH` and `--pairs NAME=PATH` for each of those outputs."""
        names = self.recipe.evaluation.rows()
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
            for model in [*self.models(name), *self.recipe.evaluation.rows()]
            for split in settings.splits(self.recipe)
        ]
