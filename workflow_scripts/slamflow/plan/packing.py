"""Rows of tokens: what rules/packing.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.plan.results import Results
from slamflow.settings.packing import PackTokens
from slamflow.settings.recipe import Recipe

SPECIAL_TOKENS = 2  # PAD, and BOS which is EOS too


class PackingJobs:
    """Units, or the bytes of text, in rows of a fixed length."""

    def __init__(self, recipe: Recipe, results: Results) -> None:
        self.recipe = recipe
        self.results = results

    def pack_tokens(self, wildcards: Any) -> str:
        """Settings of one pack_tokens job."""
        dataset = self.recipe.datasets[wildcards.dataset]
        return PackTokens(
            kind="text" if dataset.encoder == "text" else "units",
            context=dataset.context,
            vocabulary=self.vocabulary(wildcards.dataset),
            seed=dataset.seed,
            weights=dataset.weights if wildcards.part == "train" else None,
        ).model_dump_json()

    def shards(self, wildcards: Any) -> list[str]:
        """The unit shards, or story files, that one part of a dataset is packed from."""
        encoder = self.recipe.datasets[wildcards.dataset].encoder
        references = self.results.parts(wildcards.dataset)[wildcards.part]
        return self.results.text(references) if encoder == "text" else self.results.units(encoder, references)

    def vocabulary(self, dataset: str) -> int:
        """Number of tokens of a dataset: its units or bytes, and the special tokens."""
        name = self.recipe.datasets[dataset].encoder
        return SPECIAL_TOKENS + (256 if name == "text" else self.recipe.encoders[name].clusters)

    def all(self) -> list[str]:
        """The token rows of the whole recipe."""
        return [
            path
            for dataset in self.recipe.datasets
            for part in self.results.parts(dataset)
            for path in self.results.rows(dataset, part)
        ]
