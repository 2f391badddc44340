"""What the kinds of recordings share: splits by a hash of the names, and pieces of long recordings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from slamflow.corpora import CorpusSettings, Holds, MadeBy, SplitSettings

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import CollectAudio
    from slamflow.jobs.sources import Sources

Name = Annotated[str, Field(pattern=r"^[a-z_]+$")]
Patterns = Annotated[list[str], Field(min_length=1)]
Repository = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
Revision = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|unpinned)$")]


def check_range(percent: list[int]) -> list[int]:
    """The range itself. Raises ValueError for one that nothing falls into."""
    if percent[0] >= percent[1]:
        raise ValueError(f"percent {percent} is empty; write the smaller number first")
    return percent


PercentRange = Annotated[
    list[Annotated[int, Field(ge=0, le=100)]], Field(min_length=2, max_length=2), AfterValidator(check_range)
]


class RecordedSplitSettings(SplitSettings):
    """One split of a corpus of recordings."""

    percent: PercentRange = [0, 100]
    """Only the recordings whose hash falls between these two: [0, 98] for one split and [98, 100] for another
    divide the same recordings. It is a hash of the name, so new files move no old one."""
    hours: Annotated[float | None, Field(gt=0)] = None
    """How many hours of audio these are, for the estimate alone."""
    bytes: Annotated[int | None, Field(gt=0)] = None
    """How many bytes they are where they come from, for the estimate alone."""
    recordings: Annotated[int | None, Field(ge=1)] = None
    """Only the first recordings of each shard, as many as this says; null takes all."""

    @abstractmethod
    def places(self) -> list[str]:
        """What this split draws on, as path prefixes: two splits with a common one must not overlap in percent."""

    def without_place(self) -> Self:
        """What a job has to know of it: neither where files lie nor what only the estimate reads."""
        return self.model_copy(update={"hours": None, "bytes": None})


class FolderSplit(RecordedSplitSettings):
    """One split of a folder of recordings."""

    folders: list[str] = []
    """Only these folders below `path`, such as LibriSpeech's train-clean-100; empty takes all."""

    def places(self) -> list[str]:
        return self.folders or [""]


class RecordedSettings(CorpusSettings):
    """What the kinds of recordings share."""

    holds: ClassVar[Holds] = "recordings"
    made_by: ClassVar[MadeBy] = "collect_audio"

    max_seconds: Annotated[float, Field(ge=4.0, le=3600.0)] = 30.0
    """Longer recordings are cut at pauses into pieces of at most this length in seconds."""
    splits: Mapping[str, RecordedSplitSettings]
    """The splits."""

    @model_validator(mode="after")
    def are_disjoint(self) -> Self:
        check_disjoint(self.splits)
        return self

    def without_places(self, split: str) -> Self:
        """The corpus with one split only: what other splits are, and where recordings lie, concerns no job of it."""
        return self.model_copy(update={"splits": {split: self.splits[split].without_place()}})

    def job(self, name: str, split: str, shard: str) -> CollectAudio:
        from slamflow.corpora.job_settings import CollectAudio

        return CollectAudio(corpus=name, split=split, shard=shard, recordings=self.without_places(split))

    def hours(self, split: str) -> float | None:
        return self.splits[split].hours

    def bytes(self, split: str) -> int | None:
        return self.splits[split].bytes


class FolderSettings(RecordedSettings):
    """What the kinds share that are one folder."""

    layout: ClassVar[Literal["librispeech", "folder"]]
    """Where the texts lie; see slamflow.corpora.listing.scan."""

    path: str
    """The folder; from the working folder, or else from the folder of the Snakefile."""
    splits: dict[Name, FolderSplit]
    """The splits."""

    def without_places(self, split: str) -> Self:
        return super().without_places(split).model_copy(update={"path": ""})

    def items(self, name: str, split: str, shard: str, sources: Sources) -> str:  # noqa: ARG002
        """A digest of the names and sizes of the files in the shard: a new file concerns its own shard only."""
        from slamflow.corpora.listing import items_digest

        chosen = self.splits[split]
        return items_digest(sources.place(self.path), self.layout, chosen.folders, chosen.percent, shard)

    def source_folder(self, sources: Sources) -> str:
        return sources.place(self.path)

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        from slamflow.corpora.listing import has_audio

        root = Path(sources.place(self.path))
        if not root.is_dir():
            yield f"{key}.path: {self.path}: no such folder"
            return
        missing = [
            f"{key}.splits.{name}.folders: {self.path} has no folder {folder}"
            for name, split in self.splits.items()
            for folder in split.folders
            if not (root / folder).is_dir()
        ]
        yield from missing
        if not missing and not has_audio(root):
            yield f"{key}.path: {self.path}: no audio in it"


def check_dev_and_test(splits: Mapping[Any, Any]) -> None:
    """Raises ValueError if pairs of one source could fall into both `dev` and `test`."""
    dev, test = splits.get("dev"), splits.get("test")
    if dev and test and dev.percent[0] < test.percent[1] and test.percent[0] < dev.percent[1]:
        raise ValueError("splits: dev and test share pairs; give them percent ranges that do not overlap")


def check_disjoint(splits: Mapping[str, Any]) -> None:
    """Raises ValueError if a recording could fall into two of these RecordedSplitSettings."""
    names = list(splits)
    for position, name in enumerate(names):
        for other in names[position + 1 :]:
            (low, high), (other_low, other_high) = splits[name].percent, splits[other].percent
            if low < other_high and other_low < high:
                for place in splits[name].places():
                    for other_place in splits[other].places():
                        if _is_within(place, other_place) or _is_within(other_place, place):
                            raise ValueError(
                                f"splits {name} and {other} share {place or other_place or 'all recordings'}; "
                                "give them different folders or percent ranges that do not overlap"
                            )


def _is_within(inner: str, outer: str) -> bool:
    inner_parts = [part for part in inner.split("/") if part]
    outer_parts = [part for part in outer.split("/") if part]
    return inner_parts[: len(outer_parts)] == outer_parts
