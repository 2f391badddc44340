"""Spoken continuations: what rules/generation.smk asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slamflow.plan.evaluation import models_of
from slamflow.plan.results import Results
from slamflow.plan.sources import Sources
from slamflow.settings.generation import ContinueSpeech, Generation
from slamflow.settings.recipe import BASELINE_CONTINUATIONS, Recipe


class GenerationJobs:
    """Prompts that models continue, and the judgement of what they say."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results

    def models(self) -> list[str]:
        """What continues prompts: the truth, its units in disorder, and models; nothing in a recipe without it."""
        settings = self.recipe.generation
        if settings is None:
            return []
        return [*BASELINE_CONTINUATIONS, *(settings.models or models_of(self.recipe, settings.encoder))]

    def _settings(self) -> Generation:
        assert self.recipe.generation is not None, "no model of a recipe without `generation` continues anything"
        return self.recipe.generation

    # Continued

    def continue_speech(self, _wildcards: Any) -> str:
        """Settings of one continue_speech job; how the codebook came to be is the codebook's own matter."""
        settings = self._settings()
        encoder = self.recipe.encoders[settings.encoder].model_copy(update={"fit": None, "codebook": None})
        return ContinueSpeech(encoder=encoder, sampling=settings.sampling).model_dump_json()

    def model(self, wildcards: Any) -> list[str]:
        """The files of a model that continues; none for the truth and its units in disorder."""
        return [] if wildcards.model in BASELINE_CONTINUATIONS else self.results.model(wildcards.model)

    def prompts(self, _wildcards: Any) -> list[str]:
        """The speech that prompts are cut from."""
        return self.results.audio([f"{self._settings().corpus}/test"])

    def codebook(self, _wildcards: Any) -> str:
        """The codebook of the units that prompts are encoded in."""
        return f"<results>/units/{self._settings().encoder}/codebook.safetensors"

    def encoder_model(self, _wildcards: Any) -> list[str]:
        """The files of the model that encodes prompts."""
        return self.sources.encoder(self.recipe.encoders[self._settings().encoder])

    def vocoder(self, _wildcards: Any) -> list[str]:
        """The vocoder that speaks continuations."""
        return self.results.vocoder(self._settings().encoder)

    # Judged

    def recognizer(self, _wildcards: Any) -> list[str]:
        """The files of the Whisper that transcribes continuations."""
        return self.sources.asset(self._settings().recognizer)

    def text_model(self, _wildcards: Any) -> list[str]:
        """The files of the text model that judges transcripts, its tokenizer among them."""
        name = self._settings().text_model
        files = self.sources.model(name)
        if name in self.sources.assets and self.sources.assets[name].convert is None:
            return files
        return [*files, f"{Path(files[0]).parent}/tokenizer.json"]

    # Targets

    def continuations(self) -> list[str]:
        """The continuations, as units and speech, of all that continue."""
        return [f"<results>/generation/{self.recipe.recipe}/{model}/continuations.parquet" for model in self.models()]

    def scores(self) -> list[str]:
        """The scores of all continuations."""
        return [f"<results>/scores/{self.recipe.recipe}/{model}/generation.json" for model in self.models()]

    def transcripts(self) -> list[str]:
        """The transcripts of all continuations."""
        return [
            f"<results>/scores/{self.recipe.recipe}/{model}/generation.transcripts.jsonl" for model in self.models()
        ]
