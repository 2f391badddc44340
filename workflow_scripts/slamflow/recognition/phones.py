"""Phones by hama: a recognizer that shares neither training data nor code with Whisper or with the units."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from hama import ASRModel, G2PModel

from slamflow.audio import SAMPLE_RATE

MIN_SAMPLES = SAMPLE_RATE // 10
WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


class PhoneRecognizer:
    """Recognizes phones of the international alphabet in speech (hama's CTC model, greedy)."""

    def __init__(self) -> None:
        self.model = ASRModel()

    def __call__(self, wave: np.ndarray) -> list[str]:
        """Phones of a waveform (float32 [samples], 16 kHz); none for less than a tenth of a second."""
        if len(wave) < MIN_SAMPLES:
            return []
        return plain(self.model(wave, SAMPLE_RATE).phonemes)


class Pronouncer:
    """Phones of a text, by hama's grapheme-to-phoneme model, which its recognizer was trained to agree with."""

    def __init__(self) -> None:
        self.model = G2PModel()
        self._word = lru_cache(maxsize=100_000)(self._pronounce)

    def __call__(self, text: str) -> list[str]:
        """Phones of an English text, word by word: the model makes mistakes where it is given punctuation."""
        return [phone for word in WORD.findall(text.lower()) for phone in self._word(word)]

    def _pronounce(self, word: str) -> tuple[str, ...]:
        return tuple(plain([item.phoneme for item in self.model(word).alignments]))


def plain(phones: list[str]) -> list[str]:
    """Phones without marks that stand for no sound."""
    return [phone for phone in phones if phone.strip()]
