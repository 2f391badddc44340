"""What all engines share: what of a text can be spoken, in which voice, and with which noise."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from slamflow.sharding import stable_hash

SAMPLE_RATE_HZ = 16_000
"""Rate of the speech that engines give."""
REPLACEMENTS = str.maketrans(
    {"‘": "'", "’": "'", "“": '"', "”": '"', "–": ", ", "—": ", ", "…": ".", "[": "(", "]": ")", "\ufeff": ""}
)


class Unspeakable(Exception):  # noqa: N818
    """The engine has no way to say this text; the message says why."""


def utterance_seed(seed: int, utterance_id: str) -> int:
    """Seed of one utterance's noise: it depends on nothing but the setting and the id."""
    return stable_hash(f"{seed} {utterance_id}")


def voice_of(story_id: str, voices: Iterable[str]) -> str:
    """The voice that speaks all utterances of a story. The hash is not the one that chooses its shard."""
    names = sorted(voices)
    return names[stable_hash(f"voice of {story_id}") % len(names)]


def speakable(text: str) -> str:
    """`text` with plain quotation marks, no control characters, and no markup that an engine would obey.

    Raises Unspeakable for letters other than Latin ones, which an engine would leave out in silence.
    """
    text = unicodedata.normalize("NFC", text).translate(REPLACEMENTS)
    text = "".join(" " if unicodedata.category(character).startswith("C") else character for character in text)
    for character in text:
        if character.isalpha() and "LATIN" not in unicodedata.name(character, ""):
            raise Unspeakable(f"{character!r} is no Latin letter")
    return " ".join(text.split())
