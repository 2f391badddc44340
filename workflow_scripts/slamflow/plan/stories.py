"""Stories and minimal pairs, and their speech: what rules/stories.smk asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slamflow.plan.sources import Sources
from slamflow.settings.corpora import (
    HibariSpeech,
    MinimalPairCorpus,
    StoryCorpus,
    SynthesizeStories,
    WriteMinimalPairs,
    WriteStories,
)
from slamflow.settings.recipe import Recipe
from slamflow.stories.sources import items_digest


class StoryJobs:
    """Text that is written, and spoken by a speech engine."""

    def __init__(self, recipe: Recipe, sources: Sources) -> None:
        self.recipe = recipe
        self.sources = sources

    def corpora(self) -> list[str]:
        """The corpora of stories."""
        return [name for name, corpus in self.recipe.corpora.items() if isinstance(corpus, StoryCorpus)]

    def pair_corpora(self) -> list[str]:
        """The corpora of minimal pairs."""
        return [name for name, corpus in self.recipe.corpora.items() if isinstance(corpus, MinimalPairCorpus)]

    def write_stories(self, wildcards: Any) -> str:
        """Settings of one write_stories job."""
        return self._write_stories(wildcards).model_dump_json()

    def source(self, wildcards: Any) -> list[str]:
        """The text file, or files, of a story corpus, if it has any."""
        path = self._story_corpus(wildcards.corpus).text.path
        if path is None:
            return []
        if path.startswith("asset:") and "/" not in path:
            return self.sources.asset(path.removeprefix("asset:"))
        if Path(path).is_dir():
            return sorted(str(file) for file in Path(path).glob("*.parquet"))
        return self.sources.file(path)

    def items(self, wildcards: Any) -> str:
        """What one shard of stories depends on: the text settings and a digest of the stories in it.

        So a new story in the user's file reruns its shard alone. A downloaded file is pinned already, so its stories
        are not read here.
        """
        settings = self._write_stories(wildcards)
        path = settings.text.path
        text = settings.text.model_dump_json()
        if path is not None and path.startswith("asset:"):
            return f"{text} {settings.stories}"
        if path is not None and settings.text.source != "file":
            # Read by the job alone; another size is another text.
            sizes = [Path(file).stat().st_size for file in self.source(wildcards)]
            return f"{text} {settings.stories} {sizes}"
        return f"{text} {items_digest(settings, Path(path) if path else None)}"

    def write_minimal_pairs(self, wildcards: Any) -> str:
        """Settings of one write_minimal_pairs job."""
        corpus = self.recipe.corpora[wildcards.corpus]
        assert isinstance(corpus, MinimalPairCorpus)
        return WriteMinimalPairs(
            task=corpus.task,
            split=wildcards.split,
            pairs=corpus.splits[wildcards.split].pairs,
            seed=corpus.seed,
            shard=wildcards.shard,
        ).model_dump_json()

    def synthesize_stories(self, wildcards: Any) -> str:
        """Settings of one synthesize_stories job."""
        speech = self._spoken_corpus(wildcards.corpus).speech
        return SynthesizeStories(speech=speech, corpus=wildcards.corpus, split=wildcards.split).model_dump_json()

    def voices(self, wildcards: Any) -> list[str]:
        """The model of a corpus' speech engine and the voices that it uses; none for hibari, which brings them."""
        speech = self._spoken_corpus(wildcards.corpus).speech
        if isinstance(speech, HibariSpeech):
            return []
        root = self.sources.folder(speech.model)[0]
        return [f"{root}/{file}" for file in self.sources.voices(speech)]

    def _write_stories(self, wildcards: Any) -> WriteStories:
        corpus = self._story_corpus(wildcards.corpus)
        return WriteStories(
            text=corpus.text,
            corpus=wildcards.corpus,
            split=wildcards.split,
            stories=corpus.splits[wildcards.split].stories,
            shard=wildcards.shard,
        )

    def _story_corpus(self, name: str) -> StoryCorpus:
        corpus = self.recipe.corpora[name]
        assert isinstance(corpus, StoryCorpus)
        return corpus

    def _spoken_corpus(self, name: str) -> StoryCorpus | MinimalPairCorpus:
        corpus = self.recipe.corpora[name]
        assert isinstance(corpus, StoryCorpus | MinimalPairCorpus)
        return corpus
