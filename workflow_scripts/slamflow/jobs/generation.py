"""Spoken continuations: what rules/generation.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.jobs.results import Results
from slamflow.jobs.sources import Sources
from slamflow.recipe.base import canonical
from slamflow.recipe.generation import ContinueSpeech, Generation, JudgeContinuations, ScoreContinuations
from slamflow.recipe.recipe import REFERENCE_CONTINUATIONS, Recipe
from slamflow.tokenizers import TOKENIZERS, TokenizerSettings
from slamflow.vocoders import VOCODERS


class GenerationJobs:
    """Prompts that models continue, and the scores of what they say."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results

    def models(self) -> list[str]:
        """What continues prompts: the truth, its units shuffled, and models; nothing in a recipe without generation."""
        settings = self.recipe.generation
        if settings is None:
            return []
        return [*REFERENCE_CONTINUATIONS, *(settings.models or self.recipe.models_of(settings.encoder))]

    def _settings(self) -> Generation:
        assert self.recipe.generation is not None, "no model of a recipe without `generation` continues anything"
        return self.recipe.generation

    def _encoder(self) -> TokenizerSettings:
        return self.recipe.encoders[self._settings().encoder]

    # Continued

    def continue_speech(self, wildcards: Any) -> str:
        """Settings of one continue_speech job; how the codebook was made is not among them, since it is an input."""
        settings = self._settings()
        return canonical(
            ContinueSpeech(
                model=wildcards.model,
                corpus=settings.reference,
                holds=self.recipe.corpora[settings.corpus].holds,
                encoder=self._encoder().for_extraction(),
                sampling=settings.sampling,
            )
        )

    def kinds(self, _wildcards: Any) -> list[str]:
        """The modules of the kinds of the tokenizer and of the vocoder."""
        vocoder = self.recipe.vocoders[self._settings().encoder]
        return [TOKENIZERS.module_name(self._encoder().kind), VOCODERS.module_name(vocoder.kind)]

    def model(self, wildcards: Any) -> list[str]:
        """The files of a model that continues; none for the truth and its units shuffled."""
        return [] if wildcards.model in REFERENCE_CONTINUATIONS else self.results.model(wildcards.model)

    def prompts(self, _wildcards: Any) -> list[str]:
        """The speech that prompts are cut from."""
        return self.results.audio([self._settings().reference])

    def codebook(self, _wildcards: Any) -> str:
        """The codebook of the units that prompts are encoded in."""
        return f"<results>/units/{self._settings().encoder}/codebook.safetensors"

    def tokenizer_model(self, _wildcards: Any) -> list[str]:
        """The files of the model that encodes prompts."""
        return self._encoder().files(self.sources)

    def vocoder(self, _wildcards: Any) -> list[str]:
        """The vocoder that speaks continuations."""
        return self.results.vocoder(self._settings().encoder)

    # Scored

    def score_continuations(self, _wildcards: Any) -> str:
        """Settings of one score_continuations job."""
        settings = self._settings()
        return canonical(ScoreContinuations(apart=settings.judge is not None, bootstrap=settings.bootstrap))

    def recognizer(self, _wildcards: Any) -> list[str]:
        """The files of the Whisper that transcribes continuations."""
        return self.sources.asset(self._settings().recognizer)

    def text_model(self, _wildcards: Any) -> list[str]:
        """The files of the text model that scores transcripts, its tokenizer among them."""
        return self.sources.text_model(self._settings().text_model)

    # Judged

    def judged(self) -> list[str]:
        """What is judged: all that continues, in a recipe with a judge."""
        settings = self.recipe.generation
        return self.models() if settings is not None and settings.judge is not None else []

    def judge_continuations(self, _wildcards: Any) -> str:
        """Settings of one judge_continuations job."""
        settings = self._settings()
        assert settings.judge is not None, "nothing is judged in a recipe without `generation.judge`"
        return canonical(JudgeContinuations(judge=settings.judge, bootstrap=settings.bootstrap))

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

    def judgements(self) -> list[str]:
        """What the judge says of all continuations; none in a recipe without a judge."""
        return [f"<results>/scores/{self.recipe.recipe}/{model}/judge.json" for model in self.judged()]
