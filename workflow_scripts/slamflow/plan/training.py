"""Models: what rules/training.smk and rules/planning.smk ask."""

from __future__ import annotations

from typing import Any

from slamflow.plan.results import Results
from slamflow.plan.sources import Sources
from slamflow.settings.preferences import BuildPreferences
from slamflow.settings.recipe import Recipe
from slamflow.settings.training import OBSERVATION, Model, Preference


class TrainingJobs:
    """Pre-training on rows, and training on preferences."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results

    # Models of both kinds

    def settings(self, wildcards: Any) -> str:
        """Settings of one pretrain, dpo or calibrate job."""
        return self.recipe.models[wildcards.model].model_dump_json()

    def experiment(self, wildcards: Any) -> str:
        """Those settings of a pretrain or dpo job that are a reason to train again."""
        return self.recipe.models[wildcards.model].model_dump_json(exclude=set(OBSERVATION))

    def parent(self, wildcards: Any) -> list[str]:
        """The files of the model that a model starts from; none from scratch."""
        init = self.recipe.models[wildcards.model].init
        if init == "scratch":
            return []
        return self.results.model(init) if init in self.recipe.models else self.sources.model(init)

    def all(self, file: str = "model.safetensors") -> list[str]:
        """One file of each model of the recipe."""
        return [f"<results>/models/{self.recipe.recipe}/{model}/{file}" for model in self.recipe.models]

    # Models that are trained on rows

    def pretrained_models(self) -> list[str]:
        """The models that are trained on rows."""
        return [name for name, model in self.recipe.models.items() if isinstance(model, Model)]

    def train_rows(self, wildcards: Any) -> list[str]:
        """The rows that a model is trained on."""
        return self.results.rows(self._data(wildcards), "train")

    def validation_rows(self, wildcards: Any) -> list[str]:
        """The rows of all validation corpora of a model."""
        data = self._data(wildcards)
        return [path for part in self.results.parts(data) if part != "train" for path in self.results.rows(data, part)]

    def codebook_manifest(self, wildcards: Any) -> list[str]:
        """The manifest of the codebook whose units a model speaks; none for a text model."""
        encoder = self.recipe.datasets[self._data(wildcards)].encoder
        return [] if encoder == "text" else [f"<results>/units/{encoder}/codebook.json"]

    def _data(self, wildcards: Any) -> str:
        model = self.recipe.models[wildcards.model]
        assert isinstance(model, Model)
        return str(model.data)

    # What is measured of the device

    def trained_on_rows(self, model: str) -> str:
        """The model itself, or the one trained on rows that a model of preferences comes from."""
        settings = self.recipe.models[model]
        return model if isinstance(settings, Model) else self.trained_on_rows(settings.init)

    def machine_plan(self, wildcards: Any) -> list[str]:
        """What is measured before a model that trains for so many hours; none for one of so many tokens.

        A model of preferences takes the plan of the model that it comes from, if that has one.
        """
        name = self.trained_on_rows(wildcards.model)
        return [] if self.recipe.models[name].hours is None else [self._machine_plan(name)]

    def all_machine_plans(self) -> list[str]:
        """What can be measured of this device."""
        return [self._machine_plan(model) for model in self.pretrained_models()]

    def _machine_plan(self, model: str) -> str:
        return f"<results>/plans/{self.recipe.recipe}/{model}.json"

    # Preferences

    def preference_models(self) -> list[str]:
        """The models that are trained on preference pairs."""
        return [name for name, model in self.recipe.models.items() if isinstance(model, Preference)]

    def preference_pairs(self, wildcards: Any) -> str:
        """The pairs that a model is trained on."""
        model = self.recipe.models[wildcards.model]
        assert isinstance(model, Preference)
        return f"<results>/preferences/{self.recipe.preferences[model.pairs].encoder}/{model.pairs}.parquet"

    def build_preferences(self, wildcards: Any) -> str:
        """Settings of one build_preferences job."""
        settings = self.recipe.preferences[wildcards.preferences]
        return BuildPreferences(
            wrong=settings.wrong, max_auto_bleu=settings.max_auto_bleu, seed=settings.seed
        ).model_dump_json()

    def preference_text(self, wildcards: Any) -> list[str]:
        """The stories that pairs are built from."""
        return self.results.text([self._preference_split(wildcards.preferences)])

    def preference_units(self, wildcards: Any) -> list[str]:
        """The unit shards that pairs are built from."""
        return self.results.units(wildcards.encoder, [self._preference_split(wildcards.preferences)])

    def _preference_split(self, name: str) -> str:
        return f"{self.recipe.preferences[name].corpus}/preference"
