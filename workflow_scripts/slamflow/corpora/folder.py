"""A folder of recordings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from slamflow.corpora.recorded import FolderSettings

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import CollectAudio
    from slamflow.corpora.recordings import Recording


class AudioFolder(FolderSettings):
    """A folder of wav, flac, ogg, opus or mp3 files at any depth, with a .txt beside a file where its text is known."""

    layout: ClassVar[Literal["librispeech", "folder"]] = "folder"

    kind: Literal["folder"]
    """Recordings in any folder."""
    speaker_folder: Annotated[int, Field(ge=1)] = 1
    """Which folder above a file is named after its speaker: 1 is the one it lies in, 2 the one around that
    (Libri-Light)."""
    voice_activity: bool = False
    """Take only the speech that a `name.json` beside `name.flac` lists under `voice_activity`, as Libri-Light has it:
    neighboring stretches are joined up to `max_seconds`, and a longer one is cut at pauses."""


def recordings(corpus: AudioFolder, job: CollectAudio, sources: list[Path], downloads: Path) -> Iterable[Recording]:  # noqa: ARG001
    """The recordings of one shard, sorted by id."""
    from slamflow.corpora.folders import folder_recordings, speech_beside, text_beside
    from slamflow.corpora.listing import one_folder, shard_items

    chosen = corpus.splits[job.split]
    root = one_folder(corpus.kind, sources)
    items = shard_items(root, "folder", chosen.folders, chosen.percent, job.shard)
    speech_of = speech_beside if corpus.voice_activity else None
    return folder_recordings(items, corpus.speaker_folder, text_beside, speech_of)
