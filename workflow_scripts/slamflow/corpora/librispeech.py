"""Recordings in LibriSpeech's layout (Panayotov et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.corpora.recorded import FolderSettings

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import CollectAudio
    from slamflow.corpora.recordings import Recording


class LibriSpeech(FolderSettings):
    """A folder in LibriSpeech's layout: {subset}/{speaker}/{chapter}/*.flac and *.trans.txt."""

    layout: ClassVar[Literal["librispeech", "folder"]] = "librispeech"

    kind: Literal["librispeech"]
    """Recordings in LibriSpeech's layout."""
    path: str
    """The folder that holds the subsets; from the working folder, or else from the folder of the Snakefile."""


def recordings(corpus: LibriSpeech, job: CollectAudio, sources: list[Path], downloads: Path) -> Iterable[Recording]:  # noqa: ARG001
    """The recordings of one shard, sorted by id."""
    from slamflow.corpora.folders import folder_recordings, listed_text
    from slamflow.corpora.listing import one_folder, shard_items

    chosen = corpus.splits[job.split]
    root = one_folder(corpus.kind, sources)
    items = shard_items(root, "librispeech", chosen.folders, chosen.percent, job.shard)
    return folder_recordings(items, speaker_folder=2, text_of=listed_text)
