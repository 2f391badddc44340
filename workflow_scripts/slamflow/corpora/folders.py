"""Recordings in a folder, whose texts lie beside them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from slamflow.audio import AudioError
from slamflow.corpora.listing import TRANSCRIPTS, Listed, speaker_of
from slamflow.corpora.recordings import Recording, Stretches, plain_text, transcripts, voice_activity


def folder_recordings(
    items: Iterable[Listed],
    speaker_folder: int,
    text_of: Callable[[Path], str | None],
    speech_of: Callable[[Path], Stretches] | None = None,
) -> list[Recording]:
    """The files of a shard as recordings, in their order.

    speaker_folder: which folder above a file is named after its speaker; text_of: the text of a file, and speech_of:
    where in it somebody speaks, None to take all of it.
    """
    return [
        Recording(
            id=item.id,
            source=item.id,
            speaker=speaker_of(item.id, speaker_folder),
            text=functools.partial(text_of, Path(item.path)),
            open=functools.partial(open_file, item),
            speech=functools.partial(speech_of, Path(item.path)) if speech_of else None,
        )
        for item in items
    ]


def open_file(item: Listed) -> BinaryIO:
    """The file, or AudioError if it cannot be opened."""
    try:
        return open(item.path, "rb")
    except (FileNotFoundError, PermissionError) as error:
        raise AudioError(f"cannot be opened: {error.strerror}") from None


def text_beside(path: Path) -> str | None:
    """The text of `name.wav` in `name.txt`, if there is one."""
    beside = path.with_suffix(".txt")
    return plain_text(beside.read_bytes(), beside.name) if beside.is_file() else None


def speech_beside(path: Path) -> Stretches:
    """The stretches of speech that `name.json` beside `name.flac` lists. Raises AudioError if there is no such list."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise AudioError(f"no {beside.name} beside it, which says where somebody speaks")
    return voice_activity(beside.read_bytes(), beside.name)


def listed_text(path: Path) -> str | None:
    """The text of an utterance in its folder's *.trans.txt, if it is there."""
    return folder_transcripts(path.parent).get(path.stem)


@functools.lru_cache(maxsize=4)
def folder_transcripts(folder: Path) -> dict[str, str]:
    """The texts of one LibriSpeech chapter by the utterances' names."""
    texts: dict[str, str] = {}
    for path in sorted(folder.glob(f"*{TRANSCRIPTS}")):
        texts.update(transcripts(path.read_bytes(), path.name))
    return texts
