"""Archives of recordings, read as streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field

from slamflow.corpora.recorded import Name, Patterns, RecordedSettings, RecordedSplitSettings

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import CollectAudio
    from slamflow.corpora.recordings import Recording
    from slamflow.jobs.sources import Sources


class ArchiveSplit(RecordedSplitSettings):
    """One split of a corpus in archives."""

    archives: Patterns
    """The tar, tar.gz, tar.bz2, tar.xz or zip files: paths, or `asset:NAME/FILE` for downloaded ones."""
    folders: list[str] = []
    """Only these folders inside the archives, such as LibriSpeech/train-clean-100; empty takes all."""

    def places(self) -> list[str]:
        return [f"{archive}/{folder}" for archive in self.archives for folder in self.folders or [""]]

    def without_place(self) -> Self:
        names = [PurePath(archive).name for archive in self.archives]
        return super().without_place().model_copy(update={"archives": names})


class AudioArchive(RecordedSettings):
    """Archives of recordings, read as streams: nothing is unpacked."""

    kind: Literal["archive"]
    """Recordings in archives."""
    layout: Literal["librispeech", "folder"] = "librispeech"
    """How the files lie inside: as in LibriSpeech (`librispeech`), or at any depth (`folder`), with a .txt beside a
    file where its text is known."""
    speaker_folder: Annotated[int, Field(ge=1)] = 1
    """For layout folder: which folder above a file is named after its speaker."""
    voice_activity: bool = False
    """Take only the speech that a `name.json` beside `name.flac` lists under `voice_activity`, as Libri-Light has it:
    neighboring stretches are joined up to `max_seconds`, and a longer one is cut at pauses."""
    splits: dict[Name, ArchiveSplit]
    """The splits."""

    def source_files(self, split: str, sources: Sources) -> list[str]:
        return [path for archive in self.splits[split].archives for path in sources.file(archive)]

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        for name, split in self.splits.items():
            for archive in split.archives:
                yield from sources.file_problems(f"{key}.splits.{name}.archives", archive)

    def is_streamed(self, split: str) -> bool:
        return all(archive.startswith("asset:") for archive in self.splits[split].archives)


def recordings(corpus: AudioArchive, job: CollectAudio, sources: list[Path], downloads: Path) -> Iterable[Recording]:  # noqa: ARG001
    """The recordings of one shard, in the order of the archives and of the members in them."""
    from slamflow.corpora.archives import archive_recordings

    return archive_recordings(corpus, sources, job.split, job.shard)
