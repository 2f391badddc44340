"""Published models: what rules/systems.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.adapters import ADAPTERS, ImportModel, SystemSettings
from slamflow.jobs.results import Results
from slamflow.jobs.sources import Sources
from slamflow.recipe.base import canonical
from slamflow.recipe.recipe import Recipe


class SystemJobs:
    """Models that are scored and not trained, from the files that were published."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results

    def _system(self, wildcards: Any) -> SystemSettings:
        return self.recipe.systems[wildcards.model]

    def import_model(self, wildcards: Any) -> str:
        """Settings of one import_model job."""
        encoder = self._system(wildcards).encoder
        tokenizer = self.recipe.encoders[encoder].for_extraction()
        return canonical(ImportModel(name=wildcards.model, encoder=encoder, tokenizer=tokenizer))

    def adapter(self, wildcards: Any) -> str:
        """The format of a model."""
        return self._system(wildcards).adapter

    def kinds(self, wildcards: Any) -> list[str]:
        """The module of a model's adapter."""
        return [ADAPTERS.module_name(self.adapter(wildcards))]

    def weights(self, wildcards: Any) -> list[str]:
        """The published files of a model."""
        return self._system(wildcards).files(self.sources)

    def folder(self, wildcards: Any, input: Any) -> str:
        """The folder in which these lie."""
        first = self.weights(wildcards)[0]
        below = first.removeprefix(self.sources.folder(self._system(wildcards).weights)[0] + "/")
        found = input.source if isinstance(input.source, str) else input.source[0]
        return str(found).removesuffix("/" + below)

    def codebook(self, wildcards: Any) -> str:
        """The manifest of the codebook whose units a model speaks."""
        return f"<results>/units/{self._system(wildcards).encoder}/codebook.json"

    def all(self) -> list[str]:
        """The published models of the recipe."""
        return [file for name in self.recipe.systems for file in self.results.model(name)]
