"""Phones by hama: a recognizer that shares neither training data nor code with Whisper or with the units."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from hama import ASRModel, G2PModel

from slamflow.audio import SAMPLE_RATE
from slamflow.evaluation.phone_purity import Spans, align, spans

MIN_SAMPLES = SAMPLE_RATE // 10
FRAME_SAMPLES = 320
"""Samples from one frame of hama's scores to the next."""
WORD_BOUNDARY = "<wb>"
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

    def align(self, wave: np.ndarray, phones: list[str]) -> Spans | None:
        """When phones that were said are said in a waveform (float32 [samples], 16 kHz); None if they do not fit."""
        tokens = self.model.decoder_tokens
        if len(wave) < MIN_SAMPLES or not phones or not set(phones) <= set(tokens):
            return None
        given = {"waveform": wave[None], "waveform_lengths": np.array([len(wave)])}
        log_probs, lengths = self.model.session.run(["log_probs", "out_lengths"], given)
        scores = log_probs[0, : int(lengths[0])].copy()
        # Between two words there is neither a phone nor, to the model, nothing.
        blank, boundary = self.model.blank_id, tokens.index(WORD_BOUNDARY)
        scores[:, blank] = np.logaddexp(scores[:, blank], scores[:, boundary])
        path = align(scores, np.array([tokens.index(phone) for phone in phones]), blank)
        return None if path is None else spans(phones, path, FRAME_SAMPLES / SAMPLE_RATE)


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
