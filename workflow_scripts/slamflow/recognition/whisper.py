"""Words by Whisper (Radford et al. 2022, arXiv:2212.04356), run by faster-whisper on a CTranslate2 model."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ctranslate2
import numpy as np
import torch
from faster_whisper import WhisperModel

from slamflow.assets.ctranslate2_model import read_shapes
from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError

log = logging.getLogger("slamflow")
WINDOW_SECONDS = 30
FRAMES_PER_SECOND = 100
SHORT_WINDOW_SECONDS = 15
LEAST_SILENCE_SECONDS = 2.5
"""What must be left of the short window behind the speech. With less, Whisper, which was trained on windows of 30 s,
begins to hallucinate."""
CUBLAS = "libcublas.so.12"
"""CTranslate2's wheels are built for CUDA 12, whose libraries a torch for CUDA 13 does not bring; it looks for this one
when it first computes."""
TINY_WIDTH = 384
"""States of Whisper tiny; every other size has wider ones (Radford et al. 2022, table 1)."""


def load_cublas() -> None:
    """Load the cuBLAS of CUDA 12 that pip installed, if it did: CTranslate2 would look for it in the system alone."""
    for site in map(Path, sys.path):
        # The first needs the second, so that has to be there before.
        for name in ("libcublasLt.so.12", CUBLAS):
            path = site / "nvidia/cublas/lib" / name
            if path.is_file():
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


class ShortWindowWhisper(WhisperModel):
    """Encodes speech that leaves most of Whisper's window empty in half a window, which takes a quarter of the time.

    For tiny models: that the words are the same was checked with tiny.en. Published figures are of whole windows.
    """

    def encode(self, features: np.ndarray) -> ctranslate2.StorageView:
        """Encode log-mel features, float32 [bands, frames]; frames behind the end of the sound are 0."""
        sound = np.flatnonzero(features.any(axis=0))
        frames = SHORT_WINDOW_SECONDS * FRAMES_PER_SECOND
        if sound.size == 0 or sound[-1] < frames - LEAST_SILENCE_SECONDS * FRAMES_PER_SECOND:
            features = features[:, :frames]
        return super().encode(features)


def is_tiny(folder: Path) -> bool:
    """Whether a CTranslate2 folder holds a Whisper of tiny's width; False if that cannot be told."""
    try:
        return read_shapes(folder / "model.bin").get("encoder/conv1/weight", ())[:1] == (TINY_WIDTH,)
    except (OSError, InputError):
        return False


class WhisperRecognizer:
    """Transcribes English, greedily and without a second try, so that the same speech gives the same words.

    Whisper's usual second try for text that repeats itself draws at random; here repetitions stay and are seen.
    Weights are 8-bit on a CPU, 16-bit floats on a GPU, if CTranslate2 can compute on it. Tiny models hear short
    speech in half of Whisper's window.
    """

    def __init__(self, folder: Path, workers: int = 1) -> None:
        """Load a CTranslate2 folder. `workers` utterances are transcribed at once on a CPU, each by one thread.

        Raises InputError if the folder holds no such model.
        """
        logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # a line for each utterance otherwise
        self.workers = workers
        self.device = "cpu"
        if torch.cuda.is_available():
            try:
                load_cublas()
                self.model = self._load(folder, "cuda")
                # What is missing shows only when something is computed.
                self.transcribe(np.zeros(SAMPLE_RATE, np.float32))
                self.device = "cuda"
                return
            except (RuntimeError, ValueError, OSError) as error:
                log.warning(
                    "the recognizer does not run on the GPU (%s); it runs on the CPU. If %s is missing: "
                    "pip install -r requirements-gpu.txt",
                    error,
                    CUBLAS,
                )
        try:
            self.model = self._load(folder, "cpu")
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"{folder}: not a CTranslate2 Whisper folder ({error})") from None

    def _load(self, folder: Path, device: str) -> WhisperModel:
        return (ShortWindowWhisper if is_tiny(folder) else WhisperModel)(
            str(folder),
            device=device,
            compute_type="float16" if device == "cuda" else "int8_float32",
            cpu_threads=1,
            num_workers=self.workers,
            local_files_only=True,
        )

    def transcribe(self, wave: np.ndarray) -> str:
        """The words of a waveform (float32 [samples], 16 kHz); "" where Whisper hears no speech."""
        segments, _ = self.model.transcribe(
            wave,
            language="en",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            # Times are wanted only where windows have to be cut at the end of a sentence.
            without_timestamps=len(wave) <= WINDOW_SECONDS * SAMPLE_RATE,
        )
        return " ".join("".join(segment.text for segment in segments).split())

    def transcribe_all(self, waves: list[np.ndarray]) -> Iterator[str]:
        """Transcripts of many waveforms, in their order."""
        with ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(self.transcribe, waves)
