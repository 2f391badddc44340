"""Speech units: what rules/units.smk asks, and the units that the other stages need."""

from __future__ import annotations

from typing import Any

from slamflow.jobs.results import Results
from slamflow.jobs.sources import Sources
from slamflow.recipe.base import canonical
from slamflow.recipe.evaluation import CompareVoices
from slamflow.recipe.recipe import Recipe
from slamflow.tokenizers import TOKENIZERS, TokenizerSettings
from slamflow.tokenizers.job_settings import ExtractUnits, FitUnits


class UnitJobs:
    """Codebooks, units, and how far voices are apart in them."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results
        self._used = list(dict.fromkeys((use.encoder, use.reference) for use in recipe.uses() if use.encoder))

    def _encoder(self, wildcards: Any) -> TokenizerSettings:
        return self.recipe.encoders[wildcards.encoder]

    def kinds(self, wildcards: Any) -> list[str]:
        """The module of an encoder's kind."""
        return [TOKENIZERS.module_name(self._encoder(wildcards).kind)]

    def model(self, wildcards: Any) -> list[str]:
        """The files of an encoder's model."""
        return self._encoder(wildcards).files(self.sources)

    def fit_units(self, wildcards: Any) -> str:
        """Settings of one fit_units job."""
        return canonical(FitUnits(name=wildcards.encoder, encoder=self._encoder(wildcards)))

    def fitting_audio(self, wildcards: Any) -> list[str]:
        """The speech that a codebook is fitted on; none for a given one."""
        uses = self._encoder(wildcards).uses(wildcards.encoder, self.recipe)
        return self.results.audio([use.reference for use in uses])

    def given_codebook(self, wildcards: Any) -> list[str]:
        """The codebook that is given instead of fitted."""
        return self._encoder(wildcards).codebook_file(self.sources)

    def extract_units(self, wildcards: Any) -> str:
        """Settings of one extract_units job; how the codebook was made is not among them, since it is an input."""
        encoder = self._encoder(wildcards).for_extraction()
        return canonical(
            ExtractUnits(name=wildcards.encoder, encoder=encoder, corpus=wildcards.corpus, split=wildcards.split)
        )

    def compare_voices(self, wildcards: Any) -> str:
        """Settings of one compare_voices job."""
        return canonical(CompareVoices(encoder=wildcards.encoder, corpus=wildcards.corpus))

    def compared(self, wildcards: Any) -> list[str]:
        """The unit shards of all spoken splits of a corpus."""
        splits = self.recipe.corpora[wildcards.corpus].splits
        references = [f"{wildcards.corpus}/{name}" for name, split in splits.items() if split.is_spoken]
        return self.results.units(wildcards.encoder, references)

    # Targets

    def all(self, suffix: str = ".parquet") -> list[str]:
        """The unit shards (or manifests) of the whole recipe."""
        return [path for encoder, reference in self._used for path in self.results.units(encoder, [reference], suffix)]

    def codebook_manifests(self) -> list[str]:
        """The manifests of all codebooks in use."""
        return [f"<results>/units/{encoder}/codebook.json" for encoder in dict(self._used)]

    def voice_distances(self) -> list[str]:
        """How far voices are apart, for each corpus in `evaluation.voices` and each encoder in use."""
        return [
            f"<results>/units/{encoder}/{corpus}/voices.json"
            for corpus in self.recipe.evaluation.voices
            for encoder in dict(self._used)
        ]
