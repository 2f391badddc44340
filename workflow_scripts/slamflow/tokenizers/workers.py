"""Encoding many recordings: in this process, or spread over worker processes with the same result."""

from __future__ import annotations

import itertools
import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from slamflow.audio import AudioError, decode
from slamflow.tokenizers import TokenizerSettings
from slamflow.tokenizers.tokenizer import Encoded, load_frames, load_tokenizer, prepare_torch

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")

CPU_CHUNK = 8
CUDA_CHUNK = 256
CUDA_BATCH_SECONDS = 160.0
"""By arithmetic about 4 GB of activations in a HuBERT base; not measured on a device."""


@dataclass(frozen=True)
class Frames:
    """The frames of one waveform, float32 [frames, dimension]: what a codebook is fitted on."""

    frames: np.ndarray


@dataclass(frozen=True)
class Result:
    """What a recording became, or why it cannot be used."""

    samples: int = 0
    """At 16 kHz."""
    encoded: Encoded | Frames | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Work:
    """What a worker needs to know to encode recordings; without a codebook it gives frames instead of units."""

    settings: TokenizerSettings
    model: Path | None
    codebook: Path | None
    batch_seconds: float | None = None

    def chunk_size(self) -> int:
        """How many recordings are handed over at a time."""
        return CUDA_CHUNK if torch.cuda.is_available() else CPU_CHUNK


class FrameReader:
    """A FrameEncoder by the interface of a SpeechTokenizer, for fitting."""

    def __init__(self, work: Work, device: torch.device, batch_seconds: float) -> None:
        self.frames = load_frames(work.settings, work.model, device, batch_seconds)
        self.check = self.frames.check
        self.tick_hz = self.frames.frame_rate_hz

    def encode(self, waves: list[np.ndarray]) -> list[Frames | str]:
        """The frames of waveforms."""
        return [Frames(frames.cpu().numpy()) for frames in self.frames.encode(waves)]


class Worker:
    """Recordings (bytes of audio files) to frames or units; for those that cannot be used, the reason."""

    def __init__(self, work: Work, decoders: int = 1) -> None:
        device = prepare_torch()
        batch_seconds = work.batch_seconds
        if batch_seconds is None:
            # One file at a time is as fast on a CPU, and gives the same bits regardless of batch composition.
            batch_seconds = CUDA_BATCH_SECONDS if device.type == "cuda" else 0.0
        self.max_seconds = work.settings.max_seconds
        self.tokenizer = (
            FrameReader(work, device, batch_seconds)
            if work.codebook is None
            else load_tokenizer(work.settings, work.model, work.codebook, device, batch_seconds)
        )
        self.decoders = ThreadPoolExecutor(decoders) if decoders > 1 else None

    def decode(self, data: bytes | None) -> np.ndarray | str:
        """The waveform, or why there is none."""
        try:
            if data is None:
                raise AudioError("no audio")
            wave = decode(data, self.max_seconds)
            self.tokenizer.check(len(wave))
        except AudioError as error:
            return str(error)
        return wave

    def __call__(self, recordings: list[bytes | None]) -> list[Result]:
        """Encode recordings, in their order."""
        waves = list((self.decoders.map if self.decoders else map)(self.decode, recordings))
        encoded = iter(self.tokenizer.encode([wave for wave in waves if not isinstance(wave, str)]))
        return [Result(reason=wave) if isinstance(wave, str) else finished(len(wave), next(encoded)) for wave in waves]


def finished(samples: int, encoded: Encoded | Frames | str) -> Result:
    """What one waveform became."""
    return Result(reason=encoded) if isinstance(encoded, str) else Result(samples, encoded)


_worker: Worker | None = None


def _start(work: Work) -> None:
    global _worker
    _worker = Worker(work)


def _encode(recordings: list[bytes | None]) -> list[Result]:
    assert _worker is not None
    return _worker(recordings)


Encode = Callable[[Iterable[bytes | None]], Iterator[Result]]


@contextmanager
def encoder_pool(work: Work, workers: int) -> Iterator[tuple[Encode, float]]:
    """Yield a function that encodes a stream of recordings in order, a few chunks ahead, and the ticks per second.

    On a CPU each worker is a process with one thread, so their number cannot change a result. With CUDA this process
    encodes, and the workers decode audio.
    """
    size = work.chunk_size()
    cuda = torch.cuda.is_available()
    # Here as well, so that wrong settings or files end the command with a plain message.
    here = Worker(work, workers if cuda else 1)
    tick_hz = here.tokenizer.tick_hz
    if cuda or workers == 1:
        yield lambda recordings: itertools.chain.from_iterable(map(here, chunks(recordings, size))), tick_hz
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(workers, context, _start, (work,)) as pool:

        def encode(recordings: Iterable[bytes | None]) -> Iterator[Result]:
            return itertools.chain.from_iterable(ahead(pool, _encode, chunks(recordings, size), 3 * workers))

        yield encode, tick_hz


def chunks(items: Iterable[Argument], size: int) -> Iterator[list[Argument]]:
    """Cut a stream in lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def ahead(
    pool: Executor, function: Callable[[Argument], Answer], items: Iterable[Argument], limit: int
) -> Iterator[Answer]:
    """Map in order with at most `limit` items under way, so that a long stream is never held in memory."""
    running: deque[Future[Answer]] = deque()
    for item in items:
        if len(running) == limit:
            yield running.popleft().result()
        running.append(pool.submit(function, item))
    while running:
        yield running.popleft().result()
