"""Units back to speech: what rules/vocoder.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.plan.results import Results
from slamflow.plan.sources import Sources
from slamflow.settings.recipe import Recipe
from slamflow.settings.vocoder import HifiGanVocoder, ScoreVocoder, TrainVocoder, Vocoder


class VocoderJobs:
    """Vocoders that are trained or were published, and how well they are understood."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results

    # Trained

    def trained(self) -> list[str]:
        """The encoders whose vocoder is trained."""
        return [name for name, vocoder in self.recipe.vocoders.items() if isinstance(vocoder, Vocoder)]

    def train_vocoder(self, wildcards: Any) -> str:
        """Settings of one train_vocoder job."""
        encoder = self.recipe.encoders[wildcards.encoder]
        return TrainVocoder(
            training=self._trained(wildcards.encoder).training,
            units=encoder.clusters,
            frame_rate_hz=encoder.frame_rate_hz,
        ).model_dump_json()

    def audio(self, wildcards: Any) -> list[str]:
        """The speech that a vocoder is trained on."""
        return self.results.audio(self._trained(wildcards.encoder).corpora)

    def units(self, wildcards: Any) -> list[str]:
        """The units of that speech."""
        return self.results.units(wildcards.encoder, self._trained(wildcards.encoder).corpora)

    def _trained(self, encoder: str) -> Vocoder:
        vocoder = self.recipe.vocoders[encoder]
        assert isinstance(vocoder, Vocoder)
        return vocoder

    # Published

    def published(self) -> list[str]:
        """The encoders whose vocoder was published."""
        return [name for name, vocoder in self.recipe.vocoders.items() if isinstance(vocoder, HifiGanVocoder)]

    def published_files(self, wildcards: Any) -> list[str]:
        """The files of a published vocoder."""
        root, files = self.sources.folder(self._published(wildcards.encoder).model)
        return [f"{root}/{file}" for file in files if file.endswith((".pt", ".json"))]

    def engine(self, wildcards: Any) -> str:
        """What computes a published vocoder."""
        return self._published(wildcards.encoder).engine

    def _published(self, encoder: str) -> HifiGanVocoder:
        vocoder = self.recipe.vocoders[encoder]
        assert isinstance(vocoder, HifiGanVocoder)
        return vocoder

    # Judged

    def score_vocoder(self, wildcards: Any) -> str:
        """Settings of one score_vocoder job."""
        return ScoreVocoder(utterances=self.recipe.vocoders[wildcards.encoder].judged).model_dump_json()

    def files(self, wildcards: Any) -> list[str]:
        """The files of an encoder's vocoder."""
        return self.results.vocoder(wildcards.encoder)

    def held_out_audio(self, wildcards: Any) -> list[str]:
        """The speech that a vocoder is judged on."""
        return self.results.audio(self.recipe.vocoders[wildcards.encoder].held_out)

    def held_out_units(self, wildcards: Any) -> list[str]:
        """The units of that speech."""
        return self.results.units(wildcards.encoder, self.recipe.vocoders[wildcards.encoder].held_out)

    def recognizer(self, wildcards: Any) -> list[str]:
        """The files of the Whisper that judges a vocoder."""
        return self.sources.asset(self.recipe.vocoders[wildcards.encoder].recognizer)

    def scores(self) -> list[str]:
        """The scores of all vocoders that are judged."""
        return [f"<results>/vocoders/{encoder}/score.json" for encoder in self._judged()]

    def examples(self) -> list[str]:
        """Pairs of original and resynthesis of all vocoders."""
        return [f"<results>/vocoders/{encoder}/examples.parquet" for encoder in self._judged()]

    def _judged(self) -> list[str]:
        return [name for name, vocoder in self.recipe.vocoders.items() if vocoder.held_out]
