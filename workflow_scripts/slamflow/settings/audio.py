"""Corpora of recorded speech: folders, archives and datasets of the hub. One class per kind."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from slamflow.settings.base import Settings

PerCent = Annotated[int, Field(ge=0, le=100)]
Name = Annotated[str, Field(pattern=r"^[a-z_]+$")]
Patterns = Annotated[list[str], Field(min_length=1)]


PLAN_ONLY = ("hours", "bytes")
"""Keys of a split that only the plan reads: they are no reason to collect anything again."""


class RecordedSplit(Settings):
    """One part of a corpus of recordings."""

    per_cent: Annotated[list[PerCent], Field(min_length=2, max_length=2)] = [0, 100]
    """Only the recordings whose hash falls between these two: [0, 98] for one split and [98, 100] for another
    divide the same recordings. It is a hash of the name, so new files move no old one."""
    shards: Annotated[int, Field(ge=1, le=9999)] = 1
    """In how many shards, each a job of its own."""
    hours: Annotated[float | None, Field(gt=0)] = None
    """How many hours of audio these are, for the plan alone."""
    bytes: Annotated[int | None, Field(gt=0)] = None
    """How many bytes they are where they come from, for the plan alone."""
    recordings: Annotated[int | None, Field(ge=1)] = None
    """Only the first so many recordings of each shard; null takes all."""

    @model_validator(mode="after")
    def is_range(self) -> RecordedSplit:
        if self.per_cent[0] >= self.per_cent[1]:
            raise ValueError(f"per_cent {self.per_cent} is empty; write the smaller number first")
        return self

    @property
    def spoken(self) -> bool:
        """Recordings are speech always."""
        return True

    def places(self) -> list[str]:
        """What this split draws on, as path prefixes: two splits with a common one must not overlap in per_cent."""
        raise NotImplementedError


class FolderSplit(RecordedSplit):
    """One part of a folder of recordings."""

    folders: list[str] = []
    """Only these folders below `path`, such as LibriSpeech's train-clean-100; empty takes all."""

    def places(self) -> list[str]:
        return self.folders or [""]


class ArchiveSplit(RecordedSplit):
    """One part of a corpus in archives."""

    archives: Patterns
    """The tar, tar.gz, tar.bz2, tar.xz or zip files: paths, or `asset:NAME/FILE` for downloaded ones."""
    folders: list[str] = []
    """Only these folders inside the archives, such as LibriSpeech/train-clean-100; empty takes all."""

    def places(self) -> list[str]:
        return [f"{archive}/{folder}" for archive in self.archives for folder in self.folders or [""]]


class HubSplit(RecordedSplit):
    """One part of a dataset of the hub."""

    files: Patterns
    """The Parquet files of the dataset's repository, as patterns such as `clean/train.100-*.parquet`."""

    def places(self) -> list[str]:
        return self.files


Split = TypeVar("Split", bound=RecordedSplit)


def check_disjoint(splits: dict[str, Split]) -> None:
    """Raises ValueError if a recording could fall into two splits."""
    names = list(splits)
    for position, name in enumerate(names):
        for other in names[position + 1 :]:
            (low, high), (other_low, other_high) = splits[name].per_cent, splits[other].per_cent
            if low < other_high and other_low < high:
                for place in splits[name].places():
                    for other_place in splits[other].places():
                        if _is_within(place, other_place) or _is_within(other_place, place):
                            raise ValueError(
                                f"splits {name} and {other} share {place or other_place or 'all recordings'}; "
                                "give them different folders or per_cent ranges that do not overlap"
                            )


def _is_within(inner: str, outer: str) -> bool:
    inner_parts = [part for part in inner.split("/") if part]
    outer_parts = [part for part in outer.split("/") if part]
    return inner_parts[: len(outer_parts)] == outer_parts


class Recorded(Settings):
    """What the kinds of recordings share."""

    max_seconds: Annotated[float, Field(ge=4.0, le=3600.0)] = 30.0
    """Longer recordings are cut at pauses into pieces of at most so many seconds."""


Repository = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
Revision = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|unpinned)$")]


class LibriSpeech(Recorded):
    """A folder in LibriSpeech's layout: {subset}/{speaker}/{chapter}/*.flac and *.trans.txt."""

    kind: Literal["librispeech"]
    """Recordings in LibriSpeech's layout."""
    path: str
    """The folder that holds the subsets; from the working folder, or else from the folder of the Snakefile."""
    splits: dict[Name, FolderSplit]
    """The parts."""

    @model_validator(mode="after")
    def are_disjoint(self) -> LibriSpeech:
        check_disjoint(self.splits)
        return self


class AudioFolder(Recorded):
    """A folder of wav, flac, ogg, opus or mp3 files at any depth, with a .txt beside a file where its text is known."""

    kind: Literal["folder"]
    """Recordings in any folder."""
    path: str
    """The folder; from the working folder, or else from the folder of the Snakefile."""
    speaker_folder: Annotated[int, Field(ge=1)] = 1
    """Which folder above a file is named after its speaker: 1 is the one it lies in, 2 the one around that
    (Libri-Light)."""
    voice_activity: bool = False
    """Take only the speech that a `name.json` beside `name.flac` lists under `voice_activity`, as Libri-Light has it:
    neighbouring stretches are joined up to `max_seconds`, and a longer one is cut at pauses."""
    splits: dict[Name, FolderSplit]
    """The parts."""

    @model_validator(mode="after")
    def are_disjoint(self) -> AudioFolder:
        check_disjoint(self.splits)
        return self


class AudioArchive(Recorded):
    """Archives of recordings, read as streams: nothing is unpacked."""

    kind: Literal["archive"]
    """Recordings in archives."""
    layout: Literal["librispeech", "folder"] = "librispeech"
    """How the files lie inside: as in LibriSpeech, or anyhow, with a .txt beside a file where its text is known."""
    speaker_folder: Annotated[int, Field(ge=1)] = 1
    """For layout folder: which folder above a file is named after its speaker."""
    voice_activity: bool = False
    """Take only the speech that a `name.json` beside `name.flac` lists under `voice_activity`, as Libri-Light has it:
    neighbouring stretches are joined up to `max_seconds`, and a longer one is cut at pauses."""
    splits: dict[Name, ArchiveSplit]
    """The parts."""

    @model_validator(mode="after")
    def are_disjoint(self) -> AudioArchive:
        check_disjoint(self.splits)
        return self


class HubColumns(Settings):
    """Names of the columns of a dataset of the hub."""

    audio: str = "audio"
    """The audio file: bytes, or the hub's usual pair of bytes and path."""
    text: str | None = None
    """What is said; null if the dataset does not tell."""
    speaker: str | None = None
    """Who speaks; null if the dataset does not tell."""
    id: str | None = None
    """A name for each recording; null numbers the rows of each file."""


class HubAudio(Recorded):
    """An audio dataset of the Hugging Face hub, in Parquet files with the audio inside."""

    kind: Literal["hub"]
    """Recordings of the hub."""
    repo: Repository
    """The dataset, as owner/name."""
    revision: Revision
    """The 40-digit commit: a branch could move. Or `unpinned`: the newest one at the first use, which is then kept
    in resources/revisions/ for all later uses."""
    columns: HubColumns = HubColumns()
    """Where in the tables to look."""
    splits: dict[Name, HubSplit]
    """The parts. Whole files go to shards, so more shards than files are of no use."""

    @model_validator(mode="after")
    def are_disjoint(self) -> HubAudio:
        check_disjoint(self.splits)
        return self


RecordedCorpus = LibriSpeech | AudioFolder | AudioArchive | HubAudio


class CollectAudio(Settings):
    """Settings of one collect_audio job."""

    corpus: str
    split: Name
    shard: str
    recordings: Annotated[RecordedCorpus, Field(discriminator="kind")]
    """The corpus with this split alone; where it lies is said by --source."""


def collect_audio_settings(name: str, corpus: RecordedCorpus, split: str, shard: str) -> CollectAudio:
    """Settings of the job for one shard: what other splits are, and where the recordings lie, does not concern it."""
    chosen: RecordedSplit = corpus.splits[split].model_copy(update=dict.fromkeys(PLAN_ONLY))
    update: dict[str, object] = {}
    if isinstance(chosen, ArchiveSplit):
        chosen = chosen.model_copy(update={"archives": [PurePath(archive).name for archive in chosen.archives]})
    elif isinstance(corpus, LibriSpeech | AudioFolder):
        update["path"] = ""
    update["splits"] = {split: chosen}
    return CollectAudio(corpus=name, split=split, shard=shard, recordings=corpus.model_copy(update=update))
