"""Corpora: where speech comes from. Each kind is a module; what they share is here.

The settings class of a kind says which rule makes its speech (`made_by`), and so which function its module has:

    write_stories         none: the text source does the work, and synthesize_stories the speaking
    write_minimal_pairs   none: slamflow.text.PAIR_TEXTS lists who writes the pairs, PAIR_SOURCES who reads them
    collect_audio         recordings(corpus, job, sources, downloads) -> iterable of Recording
    collect_pairs         pairs(corpus, job, sources, downloads) -> iterator of SpokenPair, or of SpokenPreference

`corpus` are the kind's settings with one split only, `job` those of the job, `sources` the files and folders that it
reads, and `downloads` a folder for what it fetches meanwhile. Raises InputError for sources that hold nothing of use.
Recording is in slamflow.corpora.recordings, SpokenPair in slamflow.corpora.pair_files.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from slamflow.kinds import Family
from slamflow.recipe.base import SectionSettings, Settings

if TYPE_CHECKING:
    from slamflow.jobs.sources import Sources
    from slamflow.text import TextSettings
    from slamflow.tts import EngineSettings

Holds = Literal["stories", "pairs", "recordings", "preferences"]
MadeBy = Literal["write_stories", "write_minimal_pairs", "collect_audio", "collect_pairs"]


class SplitSettings(Settings):
    """One split of a corpus."""

    shards: Annotated[int, Field(ge=1)] = 1
    """In how many shards, each a job of its own."""

    @property
    def is_spoken(self) -> bool:
        """Whether there is speech of it."""
        return True


AnySplit = TypeVar("AnySplit", bound=SplitSettings)


def split_of(splits: Mapping[Any, AnySplit], name: str) -> AnySplit:
    """The split of this name: a plain look-up, typed for keys that are literals."""
    return splits[name]


class CorpusSettings(SectionSettings):
    """Where speech comes from."""

    holds: ClassVar[Holds]
    """Stories (a prompt and its endings as text), minimal pairs, recordings without either, or preference pairs."""
    made_by: ClassVar[MadeBy]
    """The rule that writes its shards: of text, which synthesize_stories speaks, or of speech."""

    kind: str
    """What the corpus is."""
    splits: Mapping[Any, SplitSettings]
    """Its splits."""

    # What it holds

    @property
    def benchmark(self) -> str | None:
        """Of pairs: the kind of benchmark that they are made for."""
        return None

    @property
    def text_source(self) -> TextSettings | None:
        """Where its stories come from, if it holds stories."""
        return None

    @property
    def engine(self) -> EngineSettings | None:
        """What speaks it; None for recordings."""
        return None

    def voices(self) -> list[str]:
        """The voices that it is spoken in, told apart from those of other engines; none for recordings."""
        return self.engine.voice_names() if self.engine else []

    # Its jobs

    @abstractmethod
    def job(self, name: str, split: str, shard: str) -> Settings:
        """Settings of the job of `made_by` that writes one shard: what does not concern that shard is left out."""

    def code(self) -> list[str]:
        """The modules of the kinds whose code that job runs."""
        return [CORPORA.module_name(self.kind)]

    def items(self, name: str, split: str, shard: str, sources: Sources) -> str:  # noqa: ARG002
        """What the content of one shard follows from besides the job's settings and its input files."""
        return ""

    def source_files(self, split: str, sources: Sources) -> list[str]:  # noqa: ARG002
        """The files that the job reads, as inputs of the rule."""
        return []

    def source_folder(self, sources: Sources) -> str | None:  # noqa: ARG002
        """The folder that the job reads. A folder may move: where it lies does not trigger a rerun."""
        return None

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:  # noqa: ARG002
        """What is missing of its files and folders; `key` is where the recipe has these settings."""
        yield from ()

    # Where it comes from, and what it takes

    @property
    def unpinned(self) -> str | None:
        """The dataset of the hub, as owner/name, whose commit is not fixed; None for anything else."""
        return None

    @property
    def is_downloaded(self) -> bool:
        """Whether its speech comes from outside while the recipe runs, over and above assets."""
        return False

    def is_streamed(self, split: str) -> bool:  # noqa: ARG002
        """Whether the speech of a split can be fetched again, so that it may be dropped once it is encoded."""
        return False

    def hours(self, split: str) -> float | None:  # noqa: ARG002
        """Hours of speech of a split, for the estimate; None if that is not known."""
        return None

    def bytes(self, split: str) -> int | None:  # noqa: ARG002
        """Bytes of the speech of a split where it comes from, for the estimate; None if the recipe does not say."""
        return None


CORPORA = Family(
    "corpora",
    {
        "stories": "slamflow.corpora.stories:StoryCorpus",
        "minimal_pairs": "slamflow.corpora.minimal_pairs:MinimalPairCorpus",
        "spoken_pairs": "slamflow.corpora.spoken_pairs:SpokenPairCorpus",
        "spoken_preferences": "slamflow.corpora.spoken_preferences:SpokenPreferenceCorpus",
        "librispeech": "slamflow.corpora.librispeech:LibriSpeech",
        "folder": "slamflow.corpora.folder:AudioFolder",
        "archive": "slamflow.corpora.archive:AudioArchive",
        "hub": "slamflow.corpora.hub:HubAudio",
    },
)
