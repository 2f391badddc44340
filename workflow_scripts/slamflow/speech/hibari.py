"""Text to speech with hibari: one neural English voice that runs on a CPU, and further voices made of it.

A voice with factor f is synthesised at speed 1/f and then played f times as fast, by resampling: pitch and formants
are f times as high, while the tempo stays that of the first voice, within about 15 %, since the engine rounds the
length of each sound.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable

import numpy as np
import soxr
from hibari import Hibari
from numpy.typing import NDArray

from slamflow.sharding import stable_hash

SAMPLE_RATE_HZ = 16_000
"""Rate of the speech that is returned."""
PAUSE_BEFORE_S, PAUSE_AFTER_S = 0.08, 0.17
"""Silence kept around each sentence; the engine leaves about 0.3 s and 0.45 s."""
SILENCE_DB = -45.0
"""Level of a 10 ms frame, below the loudest of the sentence, that counts as silence."""
LONGEST_WORDS = 60
"""Longer sentences are spoken in pieces, since the engine was made for sentences."""

REPLACEMENTS = str.maketrans(
    {"‘": "'", "’": "'", "“": '"', "”": '"', "–": ", ", "—": ", ", "…": ".", "[": "(", "]": ")", "\ufeff": ""}
)


class Unspeakable(Exception):  # noqa: N818
    """The engine has no way to say this text; the message says why."""


class Speaker:
    """Speaks English text as 16 kHz mono speech, the same for the same text, factor and seed."""

    def __init__(self) -> None:
        self.engine = Hibari(threads=1)

    def say(self, text: str, factor: float, seed: int) -> NDArray[np.float32]:
        """Speech of `text` at 16 kHz, in [-1, 1]; shape (samples,).

        Raises:
            Unspeakable: if the text has nothing to say, or letters that are not Latin.
        """
        noise = np.random.default_rng(seed)
        sentences = []
        for sentence in split_long(Hibari.split_sentences(speakable(text))):
            for phonemes in self.engine.phonemize(sentence):
                ids = self.engine.ids(phonemes)
                if any(map(str.isalpha, phonemes)) and len(ids) > 2:  # not only a pause between the two pads
                    sentences.append(trim(self.engine.from_ids(ids, speed=1.0 / factor, rng=noise), factor))
        if not sentences:
            raise Unspeakable("nothing in it can be spoken")
        speech = np.concatenate(sentences)
        speech = soxr.resample(speech, factor * Hibari.sample_rate, SAMPLE_RATE_HZ)
        return (speech / max(1.0, float(np.abs(speech).max()))).astype(np.float32)


def utterance_seed(seed: int, utterance_id: str) -> int:
    """Seed of one utterance's noise: it depends on nothing but the setting and the id."""
    return stable_hash(f"{seed} {utterance_id}")


def voice_of(story_id: str, voices: Iterable[str]) -> str:
    """The voice that speaks all utterances of a story. The hash is not the one that chooses its shard."""
    names = sorted(voices)
    return names[stable_hash(f"voice of {story_id}") % len(names)]


def speakable(text: str) -> str:
    """`text` with plain quotation marks, no control characters, and no markup that the engine would obey.

    Raises Unspeakable for letters other than Latin ones, which the engine would leave out in silence.
    """
    text = unicodedata.normalize("NFC", text).translate(REPLACEMENTS)
    text = "".join(" " if unicodedata.category(character).startswith("C") else character for character in text)
    for character in text:
        if character.isalpha() and "LATIN" not in unicodedata.name(character, ""):
            raise Unspeakable(f"{character!r} is no Latin letter")
    return " ".join(text.split())


def split_long(sentences: list[str]) -> list[str]:
    """Cut sentences of more than 60 words into pieces of equal length."""
    pieces = []
    for sentence in sentences:
        words = sentence.split()
        count = -(-len(words) // LONGEST_WORDS)
        bounds = [len(words) * index // count for index in range(count + 1)]
        pieces += [" ".join(words[first:last]) for first, last in itertools.pairwise(bounds)]
    return pieces


def trim(speech: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Cut the silence around one sentence of 24 kHz speech, not yet resampled, down to the usual pauses."""
    frame = Hibari.sample_rate // 100
    frames = speech[: len(speech) // frame * frame].reshape(-1, frame)
    energy = np.square(frames).mean(axis=1)
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (SILENCE_DB / 10))
    first = loud[0] * frame - round(PAUSE_BEFORE_S * factor * Hibari.sample_rate)
    last = (loud[-1] + 1) * frame + round(PAUSE_AFTER_S * factor * Hibari.sample_rate)
    return speech[max(0, first) : last]
