"""Preference pairs: what rules/preference.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.jobs.results import Results
from slamflow.recipe.base import canonical
from slamflow.recipe.preferences import BuildPreferences, Preferences
from slamflow.recipe.recipe import Recipe


class PreferenceJobs:
    """Pairs of a right and a wrong ending, as units."""

    def __init__(self, recipe: Recipe, results: Results) -> None:
        self.recipe = recipe
        self.results = results

    def _preferences(self, wildcards: Any) -> Preferences:
        return self.recipe.preferences[wildcards.preferences]

    def build_preferences(self, wildcards: Any) -> str:
        """Settings of one build_preferences job."""
        settings = self._preferences(wildcards)
        return canonical(
            BuildPreferences(
                name=wildcards.preferences,
                encoder=settings.encoder,
                negatives=settings.negatives,
                max_auto_bleu=settings.max_auto_bleu,
                seed=settings.seed,
            )
        )

    def text(self, wildcards: Any) -> list[str]:
        """The stories that pairs are built from."""
        return self.results.text([self._preferences(wildcards).reference])

    def units(self, wildcards: Any) -> list[str]:
        """The unit shards that pairs are built from."""
        return self.results.units(wildcards.encoder, [self._preferences(wildcards).reference])
