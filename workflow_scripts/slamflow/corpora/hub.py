"""Recordings of a dataset of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slamflow.corpora.recorded import Name, Patterns, RecordedSettings, RecordedSplitSettings, Repository, Revision
from slamflow.recipe.base import Settings

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import CollectAudio
    from slamflow.corpora.recordings import Recording


class HubSplit(RecordedSplitSettings):
    """One split of a dataset of the hub."""

    files: Patterns
    """The Parquet files of the dataset's repository, as patterns such as `clean/train.100-*.parquet`."""

    def places(self) -> list[str]:
        return self.files


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


class HubAudio(RecordedSettings):
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
    """The splits. Whole files go to shards, so there is no point in more shards than files."""

    @property
    def unpinned(self) -> str | None:
        return self.repo if self.revision == "unpinned" else None

    @property
    def is_downloaded(self) -> bool:
        return True

    def is_streamed(self, split: str) -> bool:  # noqa: ARG002
        return True


def recordings(corpus: HubAudio, job: CollectAudio, sources: list[Path], downloads: Path) -> Iterable[Recording]:  # noqa: ARG001
    """The recordings of one shard: those of every n-th file of the split, in their order."""
    from slamflow.corpora.hub_tables import shard_files, table_recordings

    chosen = corpus.splits[job.split]
    for path, name in shard_files(corpus.repo, corpus.revision, chosen.files, job.shard, downloads):
        yield from table_recordings(path, name, corpus.columns, chosen.percent)
