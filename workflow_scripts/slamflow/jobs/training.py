"""Models: what rules/training.smk and rules/calibration.smk ask."""

from __future__ import annotations

import shlex
from typing import Any

from slamflow.jobs.results import Results
from slamflow.jobs.sources import Sources
from slamflow.lm.job_settings import TrainModel
from slamflow.lm.objectives import MONITORING_KEYS, OBJECTIVES, ModelSettings
from slamflow.recipe.base import canonical
from slamflow.recipe.recipe import Recipe


class TrainingJobs:
    """Trainings of any objective, calibrations, and folders that stand alone."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results

    def _model(self, wildcards: Any) -> ModelSettings:
        return self.recipe.trained[wildcards.model]

    # Training

    def kinds(self, wildcards: Any) -> list[str]:
        """The module of a model's objective."""
        return [OBJECTIVES.module_name(self._model(wildcards).objective)]

    def settings(self, wildcards: Any) -> str:
        """Settings of one train or calibrate job."""
        model = self._model(wildcards)
        job = TrainModel(recipe=self.recipe.recipe, name=wildcards.model, model=model)
        dataset = self.recipe.datasets.get(model.data or "")
        if dataset is not None and not dataset.is_text:
            tokenizer = self.recipe.encoders[dataset.encoder].for_extraction()
            job = job.model_copy(update={"encoder": dataset.encoder, "tokenizer": tokenizer})
        return canonical(job)

    def experiment(self, wildcards: Any) -> str:
        """The settings of a model that its weights depend on."""
        return canonical(self._model(wildcards), exclude=MONITORING_KEYS)

    def parent(self, wildcards: Any) -> list[str]:
        """The files of the model that a model starts from; none from scratch."""
        init = str(self._model(wildcards).init)
        if init == "scratch":
            return []
        return self.results.model(init) if init in self.recipe.models else self.sources.model(init)

    def inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """What else the objective of a model reads, by name."""
        return self._model(wildcards).inputs(self.recipe, self.results)

    def flags(self, wildcards: Any, input: Any) -> str:
        """The arguments of the command train for what the objective of a model reads."""
        named = {name: input.get(name, []) for name in self.inputs(wildcards)}
        files = {name: [found] if isinstance(found, str) else list(found) for name, found in named.items()}
        return shlex.join(self._model(wildcards).flags(self.recipe, files))

    def all(self, file: str = "model.safetensors") -> list[str]:
        """One file of each model that is trained."""
        return [self._file(model, file) for model in self.recipe.trained]

    def _file(self, model: str, file: str) -> str:
        return f"<results>/models/{self.recipe.recipe}/{model}/{file}"

    # Calibration

    def on_rows(self) -> list[str]:
        """The models that are trained on rows, whose trainings can be calibrated."""
        return [name for name, model in self.recipe.trained.items() if model.data is not None]

    def calibrated_by(self, model: str) -> str:
        """The model itself, or the one trained on rows that an aligned one comes from, unless that was published."""
        settings = self.recipe.trained[model]
        start = str(settings.init)
        return model if settings.data is not None or start in self.recipe.systems else self.calibrated_by(start)

    def train_rows(self, wildcards: Any) -> list[str]:
        """The rows that a model is trained on."""
        return self.results.rows(str(self._model(wildcards).data), "train")

    def calibration(self, wildcards: Any) -> list[str]:
        """What is measured before a model is trained: on a GPU, or with a fixed time budget.

        Small models on a core do without, and rehearsals, unless they have a time budget. An aligned model takes the
        calibration of the model that it comes from, if that has one.
        """
        name = self.calibrated_by(wildcards.model)
        on_gpu = self.recipe.compute != "core" and not self.recipe.rehearsal
        is_measured = name in self.on_rows() and (on_gpu or self.recipe.trained[name].hours is not None)
        return [self._calibration(name)] if is_measured else []

    def calibrations(self) -> list[str]:
        """What can be measured of this device."""
        return [self._calibration(model) for model in self.on_rows()]

    def _calibration(self, model: str) -> str:
        return f"<results>/calibration/{self.recipe.recipe}/{model}.json"

    # A model's folder that stands alone

    def speaking(self) -> list[str]:
        """The models of units that are trained."""
        return [name for name in self.recipe.trained if self.recipe.encoder_of(name) in self.recipe.encoders]

    def codebook(self, wildcards: Any) -> str:
        """The codebook whose units a model speaks."""
        return f"<results>/units/{self._encoder(wildcards)}/codebook.safetensors"

    def encoder(self, wildcards: Any) -> list[str]:
        """The files of the network of a model's encoder."""
        return self.recipe.encoders[self._encoder(wildcards)].files(self.sources)

    def vocoder(self, wildcards: Any) -> list[str]:
        """The files of the vocoder of a model's encoder; none if the recipe has none."""
        encoder = self._encoder(wildcards)
        return self.results.vocoder(encoder) if encoder in self.recipe.vocoders else []

    def _encoder(self, wildcards: Any) -> str:
        return str(self.recipe.encoder_of(wildcards.model))

    def packages(self) -> list[str]:
        """The lists of what was put into the folders of the models of units."""
        return [self._file(model, "package.json") for model in self.speaking()]
