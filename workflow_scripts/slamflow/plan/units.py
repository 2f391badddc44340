"""Speech units: what rules/units.smk asks, and the units that the other stages need."""

from __future__ import annotations

from typing import Any

from slamflow.plan.evaluation import benchmark_parts
from slamflow.plan.results import Results
from slamflow.plan.sources import Sources
from slamflow.settings.corpora import StorySplit
from slamflow.settings.evaluation import CompareVoices
from slamflow.settings.recipe import Recipe
from slamflow.settings.units import ExtractUnits
from slamflow.settings.vocoder import Vocoder


class UnitJobs:
    """Codebooks, units, and how far voices are apart in them."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results

    def model(self, wildcards: Any) -> list[str]:
        """The files of an encoder's model."""
        return self.sources.encoder(self.recipe.encoders[wildcards.encoder])

    def fit_units(self, wildcards: Any) -> str:
        """Settings of one fit_units job."""
        return self.recipe.encoders[wildcards.encoder].model_dump_json()

    def fitting_audio(self, wildcards: Any) -> list[str]:
        """The speech that a codebook is fitted on; none for a given one."""
        fit = self.recipe.encoders[wildcards.encoder].fit
        return self.results.audio(fit.corpora) if fit else []

    def given_codebook(self, wildcards: Any) -> list[str]:
        """The codebook that is given instead of fitted."""
        return self.sources.file(self.recipe.encoders[wildcards.encoder].codebook)

    def extract_units(self, wildcards: Any) -> str:
        """Settings of one extract_units job; how the codebook came to be is the codebook's own matter."""
        encoder = self.recipe.encoders[wildcards.encoder].model_copy(update={"fit": None, "codebook": None})
        return ExtractUnits(encoder=encoder, corpus=wildcards.corpus, split=wildcards.split).model_dump_json()

    def compare_voices(self, wildcards: Any) -> str:
        """Settings of one compare_voices job."""
        return CompareVoices(encoder=wildcards.encoder, corpus=wildcards.corpus).model_dump_json()

    def compared(self, wildcards: Any) -> list[str]:
        """The unit shards of all spoken parts of a corpus."""
        splits = self.recipe.corpora[wildcards.corpus].splits
        references = [
            f"{wildcards.corpus}/{name}"
            for name, split in splits.items()
            if not isinstance(split, StorySplit) or split.spoken
        ]
        return self.results.units(wildcards.encoder, references)

    # Targets

    def all(self, suffix: str = ".parquet") -> list[str]:
        """The unit shards (or manifests) of the whole recipe."""
        return [
            path for encoder, reference in self._used() for path in self.results.units(encoder, [reference], suffix)
        ]

    def codebook_manifests(self) -> list[str]:
        """The manifests of all codebooks in use."""
        return [f"<results>/units/{encoder}/codebook.json" for encoder in dict(self._used())]

    def voice_distances(self) -> list[str]:
        """How far voices are apart, for each corpus in `evaluation.voices` and each encoder in use."""
        encoders = dict(self._used())
        return [
            f"<results>/units/{encoder}/{corpus}/voices.json"
            for corpus in self.recipe.evaluation.voices
            for encoder in encoders
        ]

    def _used(self) -> list[tuple[str, str]]:
        """All (encoder, corpus/split) that datasets, benchmarks, preferences and vocoders need, each once."""
        used = [
            (dataset.encoder, reference)
            for dataset in self.recipe.datasets.values()
            if dataset.encoder != "text"
            for reference in dataset.trained_on + dataset.validation
        ]
        used += [
            (benchmark.encoder, f"{benchmark.corpus}/{part}")
            for name, benchmark in self.recipe.benchmarks.items()
            for part in benchmark_parts(self.recipe, name)
        ]
        used += [(pairs.encoder, f"{pairs.corpus}/preference") for pairs in self.recipe.preferences.values()]
        used += [
            (encoder, reference)
            for encoder, vocoder in self.recipe.vocoders.items()
            for reference in [*(vocoder.corpora if isinstance(vocoder, Vocoder) else []), *vocoder.held_out]
        ]
        return list(dict.fromkeys(used))
