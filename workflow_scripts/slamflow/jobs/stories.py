"""Stories and minimal pairs, and their speech: what rules/stories.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.corpora.job_settings import SynthesizeStories
from slamflow.jobs.sources import Sources
from slamflow.recipe.base import canonical
from slamflow.recipe.recipe import Recipe
from slamflow.tts import ENGINES, EngineSettings


class StoryJobs:
    """Text that is written, and spoken by a speech engine."""

    def __init__(self, recipe: Recipe, sources: Sources) -> None:
        self.recipe = recipe
        self.sources = sources

    def corpora(self, made_by: str) -> list[str]:
        """The corpora whose text is written by one rule."""
        return [name for name, corpus in self.recipe.corpora.items() if corpus.made_by == made_by]

    def spoken(self) -> list[str]:
        """The corpora that a speech engine speaks."""
        return [name for name, corpus in self.recipe.corpora.items() if corpus.engine is not None]

    def write_stories(self, wildcards: Any) -> str:
        """Settings of one write_stories job."""
        return self._text_job(wildcards)

    def write_minimal_pairs(self, wildcards: Any) -> str:
        """Settings of one write_minimal_pairs job."""
        return self._text_job(wildcards)

    def source(self, wildcards: Any) -> list[str]:
        """The text file, or files, of a story corpus, if it has any."""
        return self.recipe.corpora[wildcards.corpus].source_files(wildcards.split, self.sources)

    def items(self, wildcards: Any) -> str:
        """What one shard of stories follows from, so that a new story in the user's file reruns its shard alone."""
        corpus = self.recipe.corpora[wildcards.corpus]
        return corpus.items(wildcards.corpus, wildcards.split, wildcards.shard, self.sources)

    def text_kinds(self, wildcards: Any) -> list[str]:
        """The modules that write the text of a corpus."""
        return self.recipe.corpora[wildcards.corpus].code()

    def synthesize_stories(self, wildcards: Any) -> str:
        """Settings of one synthesize_stories job."""
        speech = self._engine(wildcards)
        return canonical(SynthesizeStories(speech=speech, corpus=wildcards.corpus, split=wildcards.split))

    def engine_files(self, wildcards: Any) -> list[str]:
        """The model of a corpus' speech engine and the voices that it uses; none for an engine that brings them."""
        return self._engine(wildcards).files(self.sources)

    def engine_kinds(self, wildcards: Any) -> list[str]:
        """The module of a corpus' speech engine."""
        return [ENGINES.module_name(self._engine(wildcards).engine)]

    def _text_job(self, wildcards: Any) -> str:
        corpus = self.recipe.corpora[wildcards.corpus]
        return canonical(corpus.job(wildcards.corpus, wildcards.split, wildcards.shard))

    def _engine(self, wildcards: Any) -> EngineSettings:
        engine = self.recipe.corpora[wildcards.corpus].engine
        assert engine is not None
        return engine
