"""Rows of tokens: what rules/packing.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.jobs.results import Results
from slamflow.recipe.base import canonical
from slamflow.recipe.datasets import PackTokens
from slamflow.recipe.recipe import Recipe


class PackingJobs:
    """Units, or text, in rows of a fixed length."""

    def __init__(self, recipe: Recipe, results: Results) -> None:
        self.recipe = recipe
        self.results = results

    def pack_tokens(self, wildcards: Any) -> str:
        """Settings of one pack_tokens job."""
        dataset = self.recipe.datasets[wildcards.dataset]
        return canonical(
            PackTokens(
                context=dataset.context,
                vocabulary=dataset.vocabulary(self.recipe),
                seed=dataset.seed,
                documents=dataset.documents,
                weights=dataset.weights if wildcards.part == "train" else None,
            )
        )

    def shards(self, wildcards: Any) -> list[str]:
        """The unit shards, or story files, that one part of a dataset is packed from."""
        dataset = self.recipe.datasets[wildcards.dataset]
        references = self.results.parts(wildcards.dataset)[wildcards.part]
        return self.results.text(references) if dataset.is_text else self.results.units(dataset.encoder, references)

    def all(self) -> list[str]:
        """The token rows of the whole recipe."""
        return [
            path
            for dataset in self.recipe.datasets
            for part in self.results.parts(dataset)
            for path in self.results.rows(dataset, part)
        ]
