"""One recording, wherever it lies, and the texts that come with recordings."""

from __future__ import annotations

import itertools
import json
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
    speech: Callable[[], Stretches] | None = None
    """Where in it somebody speaks, if only that is to be taken. Raises AudioError if that cannot be read."""


Stretches = list[tuple[float, float]]
"""Start and end of stretches of a recording, in seconds, one after another."""


def known_text(text: str) -> Callable[[], str | None]:
    """What a Recording has as `text` if it is this one; an empty text is not known."""
    return lambda: text or None


def voice_activity(data: bytes, name: str) -> Stretches:
    """The stretches of speech that Libri-Light's `name.json` lists. Raises AudioError if the list is missing or
    wrong."""
    try:
        listed = json.loads(data)["voice_activity"]
        found = [(float(start), float(end)) for start, end in listed]
    except (ValueError, KeyError, TypeError):
        raise AudioError(f"{name} has no list voice_activity of pairs of seconds") from None
    if any(end <= start for start, end in found) or any(a[1] > b[0] for a, b in itertools.pairwise(found)):
        raise AudioError(f"{name}: voice_activity is not in order")
    return found


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
