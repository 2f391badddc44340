"""Text to speech with Kokoro: 28 English voices (Kokoro-82M, Apache-2.0; StyleTTS 2, arXiv:2306.07691).

The model is the int8 ONNX export, the voices are its own packs of style vectors, and the phonemes come from
hibari, whose alphabet is Kokoro's. It runs at about 1.6 times real time on one core: for small sets.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import onnxruntime
import soxr
from hibari.g2p import G2P
from numpy.typing import NDArray

from slamflow.errors import InputError
from slamflow.tts.utterances import SAMPLE_RATE_HZ, Unspeakable, speakable

KOKORO_RATE_HZ = 24_000
"""Rate of the model's speech."""
MAX_PHONEMES = 510
"""What the model takes at once, and the rows of a voice pack: one style vector for each length."""
CHUNK_PHONEMES = 250
"""Sentences are spoken together up to this length; far beyond it the model begins to hurry."""
STYLE_SIZE = 256
BOUNDARIES = (r'(?<=[.!?…])\s+|(?<=[.!?…]["”)])\s+', r"(?<=[,;:—])\s+", r"\s+")
"""Where a phoneme string may be cut, best first: after sentences, after commas, between words."""


class Kokoro:
    """Speaks English text as 16 kHz mono speech, the same for the same text and voice."""

    def __init__(self, folder: Path) -> None:
        """folder: the asset, with the model in parts `model.onnx.1`, `model.onnx.2`, ... and `<voice>.bin` files.

        Raises InputError if there is no model.
        """
        parts = sorted(folder.glob("model.onnx*"))
        if not parts:
            raise InputError(f"{folder}: no model.onnx.1 in it; fetch the asset kokoro")
        options = onnxruntime.SessionOptions()
        # One thread: sums in the same order, so the same samples, however busy the machine is.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = b"".join(part.read_bytes() for part in parts)
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.folder = folder
        self.voices = sorted(path.stem for path in folder.glob("*.bin"))
        self.packs: dict[str, NDArray[np.float32]] = {}
        self.g2p: dict[bool, G2P] = {}
        vocabulary = resources.files("hibari").joinpath("assets", "vocab.json")
        self.token_of: dict[str, int] = json.loads(vocabulary.read_text(encoding="utf-8"))

    def say(self, text: str, voice: str) -> NDArray[np.float32]:
        """Speech of `text` at 16 kHz, in [-1, 1]; shape (samples,).

        voice: such as `af_heart`; its first letter is the accent (a American, b British), its second f or m.

        Raises:
            Unspeakable: if the text has nothing to say, or letters that are not Latin.
            InputError: for a voice that is not in the folder.
        """
        pack = self.pack(voice)
        pieces = [self._speak(chunk, pack) for chunk in self.phonemes(text, british=voice.startswith("b"))]
        if not pieces:
            raise Unspeakable("nothing in it can be spoken")
        speech = soxr.resample(np.concatenate(pieces), KOKORO_RATE_HZ, SAMPLE_RATE_HZ)
        return (speech / max(1.0, float(np.abs(speech).max()))).astype(np.float32)

    def pack(self, voice: str) -> NDArray[np.float32]:
        """Style vectors of a voice, shape [510, 256]; row n - 1 is for n phonemes."""
        if voice not in self.packs:
            path = self.folder / f"{voice}.bin"
            if not path.is_file():
                raise InputError(f"{self.folder}: no voice {voice!r}; there are {', '.join(self.voices) or 'none'}")
            values = np.fromfile(path, dtype="<f4")
            if values.size != MAX_PHONEMES * STYLE_SIZE:
                raise InputError(f"{path}: no voice pack of {MAX_PHONEMES} x {STYLE_SIZE} numbers; fetch it again")
            self.packs[voice] = values.reshape(MAX_PHONEMES, STYLE_SIZE)
        return self.packs[voice]

    def phonemes(self, text: str, british: bool = False) -> list[str]:
        """Phonemes of `text` in chunks that the model can take. Raises Unspeakable as `say` does."""
        if british not in self.g2p:
            self.g2p[british] = G2P(british=british)
        spoken = self.g2p[british](speakable(text))
        return chunks("".join(phoneme for phoneme in spoken if phoneme in self.token_of))

    def _speak(self, phonemes: str, pack: NDArray[np.float32]) -> NDArray[np.float32]:
        tokens = [0, *(self.token_of[phoneme] for phoneme in phonemes), 0]
        feed = {
            "tokens": np.array([tokens], np.int64),
            "style": pack[len(phonemes) - 1][None],
            "speed": np.ones(1, np.float32),
        }
        return np.asarray(self.session.run(None, feed)[0], np.float32).reshape(-1)


def chunks(phonemes: str, longest: int = CHUNK_PHONEMES) -> list[str]:
    """Cut a phoneme string into chunks of at most `longest` symbols; only white space and lone punctuation is lost.

    Whole sentences stay together as far as they fit; a longer one is cut at its commas, or else between words.
    Phonemes are cut and not text, because they lack the full stops of abbreviations.
    """
    result: list[str] = []
    for piece in _split(phonemes, BOUNDARIES, longest):
        if result and len(result[-1]) + 1 + len(piece) <= longest:
            result[-1] += f" {piece}"
        else:
            result.append(piece)
    return [chunk for chunk in result if any(map(str.isalpha, chunk))]


def _split(text: str, boundaries: tuple[str, ...], longest: int) -> list[str]:
    """Pieces of `text` no longer than `longest`, cut at the first kind of boundary that is enough."""
    text = text.strip()
    if len(text) <= longest:
        return [text] if text else []
    if not boundaries:
        return [text[start : start + longest] for start in range(0, len(text), longest)]
    return [piece for part in re.split(boundaries[0], text) for piece in _split(part, boundaries[1:], longest)]
