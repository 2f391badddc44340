"""Files that the jobs of several stages read and write."""

from __future__ import annotations

from slamflow.jobs.sources import MODEL_FILES
from slamflow.recipe.recipe import Recipe
from slamflow.sharding import shard_names
from slamflow.vocoders import VOCODER_FILES

ROW_FILES = ("data-00000-of-00001.arrow", "dataset_info.json", "state.json", "manifest.json")


class Results:
    """Where a recipe's text, speech, units, rows, models and vocoders lie. `corpus/split` is called a reference."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def shards(self, reference: str) -> list[str]:
        """The shard names of corpus/split."""
        corpus, split = reference.split("/")
        return shard_names(self.recipe.corpora[corpus].splits[split].shards)

    def text(self, references: list[str]) -> list[str]:
        """The story files of several corpus/split."""
        return [
            f"<results>/text/{reference}/{shard}.jsonl" for reference in references for shard in self.shards(reference)
        ]

    def audio(self, references: list[str]) -> list[str]:
        """The speech shards of several corpus/split."""
        return [
            f"<results>/audio/{reference}/{shard}.parquet"
            for reference in references
            for shard in self.shards(reference)
        ]

    def units(self, encoder: str, references: list[str], suffix: str = ".parquet") -> list[str]:
        """The unit shards (or their manifests) of several corpus/split."""
        return [
            f"<results>/units/{encoder}/{reference}/{shard}{suffix}"
            for reference in references
            for shard in self.shards(reference)
        ]

    def parts(self, dataset: str) -> dict[str, list[str]]:
        """The parts of a dataset and the corpora in each: train, and one per validation corpus."""
        settings = self.recipe.datasets[dataset]
        validation = {f"validation.{reference.replace('/', '.')}": [reference] for reference in settings.validation}
        return {"train": settings.trained_on, **validation}

    def rows(self, dataset: str, part: str) -> list[str]:
        """The files of one part of a dataset."""
        return [f"<results>/rows/{dataset}/{part}/{file}" for file in ROW_FILES]

    def model(self, name: str) -> list[str]:
        """The files of a model of the recipe, its vocabulary among them."""
        return [f"<results>/models/{self.recipe.recipe}/{name}/{file}" for file in (*MODEL_FILES, "speech.json")]

    def vocoder(self, encoder: str) -> list[str]:
        """The files of an encoder's vocoder."""
        return [f"<results>/vocoders/{encoder}/{file}" for file in VOCODER_FILES]
