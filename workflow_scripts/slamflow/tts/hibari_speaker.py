"""Text to speech with hibari: one neural English voice that runs on a CPU, and further voices made of it.

A voice with factor f is synthesized at speed 1/f and then played f times as fast, by resampling: pitch and formants
are f times as high, while the tempo stays that of the first voice, within about 15 %, since the engine rounds the
length of each sound.
"""

from __future__ import annotations

import itertools

import numpy as np
import soxr
from hibari import Hibari
from numpy.typing import NDArray

from slamflow.tts.utterances import SAMPLE_RATE_HZ, Unspeakable, speakable

PAUSE_BEFORE_S, PAUSE_AFTER_S = 0.08, 0.17
"""Silence kept around each sentence; the engine leaves about 0.3 s and 0.45 s."""
SILENCE_DB = -45.0
"""Level of a 10 ms frame, below the loudest of the sentence, that counts as silence."""
LONGEST_WORDS = 60
"""Longer sentences are spoken in pieces, since the engine was made for sentences."""


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
