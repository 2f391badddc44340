"""Units back to speech: what rules/vocoder.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.jobs.results import Results
from slamflow.jobs.sources import Sources
from slamflow.recipe.base import canonical
from slamflow.recipe.recipe import Recipe
from slamflow.vocoders import VOCODERS, VocoderSettings
from slamflow.vocoders.job_settings import ConvertVocoder, ScoreVocoder, TrainVocoder


class VocoderJobs:
    """Vocoders that are trained or converted, and how intelligible their speech is."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results

    def _vocoder(self, wildcards: Any) -> VocoderSettings:
        return self.recipe.vocoders[wildcards.encoder]

    def kinds(self, wildcards: Any) -> list[str]:
        """The module of a vocoder's kind."""
        return [VOCODERS.module_name(self._vocoder(wildcards).kind)]

    def made_by(self, rule: str) -> list[str]:
        """The encoders whose vocoder a rule makes."""
        return [name for name, vocoder in self.recipe.vocoders.items() if vocoder.made_by == rule]

    # Trained

    def train_vocoder(self, wildcards: Any) -> str:
        """Settings of one train_vocoder job."""
        encoder = self.recipe.encoders[wildcards.encoder]
        return canonical(
            TrainVocoder(
                vocoder=self._vocoder(wildcards).for_making(), units=encoder.clusters, frame_rate_hz=encoder.tick_hz
            )
        )

    def audio(self, wildcards: Any) -> list[str]:
        """The speech that a vocoder is trained on."""
        return self.results.audio(self._vocoder(wildcards).training_speech())

    def units(self, wildcards: Any) -> list[str]:
        """The units of that speech."""
        return self.results.units(wildcards.encoder, self._vocoder(wildcards).training_speech())

    # Converted

    def convert_vocoder(self, wildcards: Any) -> str:
        """Settings of one convert_vocoder job."""
        return canonical(ConvertVocoder(vocoder=self._vocoder(wildcards).for_making()))

    def published_files(self, wildcards: Any) -> list[str]:
        """The files of a published vocoder."""
        return self._vocoder(wildcards).files(self.sources)

    # Evaluated

    def score_vocoder(self, wildcards: Any) -> str:
        """Settings of one score_vocoder job."""
        utterances, tick_hz = self._vocoder(wildcards).eval_utterances, self.recipe.encoders[wildcards.encoder].tick_hz
        return canonical(ScoreVocoder(encoder=wildcards.encoder, utterances=utterances, tick_hz=tick_hz))

    def files(self, wildcards: Any) -> list[str]:
        """The files of an encoder's vocoder."""
        return self.results.vocoder(wildcards.encoder)

    def held_out_audio(self, wildcards: Any) -> list[str]:
        """The speech that a vocoder is evaluated on."""
        return self.results.audio(self._vocoder(wildcards).held_out)

    def held_out_units(self, wildcards: Any) -> list[str]:
        """The units of that speech."""
        return self.results.units(wildcards.encoder, self._vocoder(wildcards).held_out)

    def recognizer(self, wildcards: Any) -> list[str]:
        """The files of the Whisper that recognizes what a vocoder says."""
        return self.sources.asset(self._vocoder(wildcards).recognizer)

    def dnsmos(self, wildcards: Any) -> list[str]:
        """The network that rates what a vocoder says, if one does."""
        return self.sources.file(self._vocoder(wildcards).dnsmos)

    def scores(self) -> list[str]:
        """The scores of all vocoders that are evaluated."""
        return [f"<results>/vocoders/{encoder}/score.json" for encoder in self.evaluated()]

    def examples(self) -> list[str]:
        """Pairs of original and resynthesis of all vocoders."""
        return [f"<results>/vocoders/{encoder}/examples.parquet" for encoder in self.evaluated()]

    def evaluated(self) -> list[str]:
        """The encoders whose vocoder is evaluated."""
        return [name for name, vocoder in self.recipe.vocoders.items() if vocoder.held_out]
