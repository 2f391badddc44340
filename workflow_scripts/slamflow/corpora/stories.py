"""Stories, spoken by a text-to-speech engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from slamflow.corpora import CorpusSettings, Holds, MadeBy, SplitSettings, split_of
from slamflow.text import TEXT_SOURCES, TextSettings
from slamflow.tts import ENGINES, EngineSettings

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteStories
    from slamflow.jobs.sources import Sources


class StorySplit(SplitSettings):
    """One split of a story corpus."""

    stories: Annotated[int | None, Field(ge=1)]
    """How many stories; null takes all that a file has for this split."""
    spoken: bool = True
    """Whether speech is made of them (text is cheap, and a text model wants more of it)."""
    hours: Annotated[float | None, Field(gt=0)] = None
    """How many hours they are as speech, for the estimate alone; of stories of the grammar that is known."""

    @property
    def is_spoken(self) -> bool:
        return self.spoken


class StoryCorpus(CorpusSettings):
    """Speech synthesized from stories."""

    holds: ClassVar[Holds] = "stories"
    made_by: ClassVar[MadeBy] = "write_stories"

    kind: Literal["stories"]
    """Speech made from text."""
    text: Annotated[TextSettings, TEXT_SOURCES] = Field(default_factory=TEXT_SOURCES.make_default)
    """Where the stories come from."""
    speech: Annotated[EngineSettings, ENGINES] = Field(default_factory=ENGINES.make_default)
    """How they are spoken."""
    splits: dict[Literal["train", "text", "validation", "dev", "test", "preference"], StorySplit]
    """The splits. Those of a grammar are disjoint in (hero, object, event), and `dev` and `test` hold a story shape of
    their own; those of other sources are divided by a hash of the text."""

    @model_validator(mode="after")
    def text_has_the_splits(self) -> StoryCorpus:
        stories: dict[str, int | None] = {name: split.stories for name, split in self.splits.items()}
        if problems := list(self.text.split_problems(stories)):
            raise ValueError("\n".join(problems))
        return self

    @property
    def text_source(self) -> TextSettings:
        return self.text

    @property
    def engine(self) -> EngineSettings:
        return self.speech

    def job(self, name: str, split: str, shard: str) -> WriteStories:
        from slamflow.corpora.job_settings import WriteStories

        stories = split_of(self.splits, split).stories
        return WriteStories(text=self.text, corpus=name, split=split, stories=stories, shard=shard)

    def code(self) -> list[str]:
        return [TEXT_SOURCES.module_name(self.text.source)]

    def items(self, name: str, split: str, shard: str, sources: Sources) -> str:
        return self.text.items(self.job(name, split, shard), sources)

    def source_files(self, split: str, sources: Sources) -> list[str]:  # noqa: ARG002
        return self.text.files(sources)

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        yield from self.text.file_problems(f"{key}.text", sources)
        yield from self.speech.file_problems(f"{key}.speech", sources)

    def hours(self, split: str) -> float | None:
        settings = split_of(self.splits, split)
        return self.text.hours(split, settings.stories) if settings.hours is None else settings.hours
