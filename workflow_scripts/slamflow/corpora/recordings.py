"""One recording, wherever it lies, and the texts that come with recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from slamflow.audio import AudioError


@dataclass(frozen=True)
class Recording:
    """An audio file that is opened only when its turn comes."""

    id: str
    source: str
    """Where it comes from: a path below the corpus folder, an archive and its member, or a table and its row."""
    speaker: str
    text: Callable[[], str | None]
    """What is said. Raises AudioError if that cannot be read."""
    open: Callable[[], BinaryIO]
    """The file, seekable. Raises AudioError or OSError."""


def plain_text(data: bytes, name: str) -> str | None:
    """The text of a file, its white space collapsed; None for an empty one. Raises AudioError if it is not UTF-8."""
    try:
        return " ".join(data.decode("utf-8-sig").split()) or None
    except UnicodeDecodeError:
        raise AudioError(f"its text {name} is not UTF-8") from None


def transcripts(data: bytes, name: str) -> dict[str, str]:
    """LibriSpeech's `*.trans.txt`: lines of an utterance's name and its text. Raises AudioError if not UTF-8."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise AudioError(f"its text {name} is not UTF-8") from None
    pairs = (line.strip().partition(" ") for line in lines)
    return {utterance: " ".join(text.split()) for utterance, _, text in pairs if text.strip()}
