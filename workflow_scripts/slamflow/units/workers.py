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
from slamflow.settings.units import Encoder
from slamflow.units.codebook import Quantizer, read_codebook
from slamflow.units.encoders import FrameEncoder, load_encoder, prepare_torch, too_short
from slamflow.units.sequences import deduplicate

Argument = TypeVar("Argument")
Result = TypeVar("Result")

CPU_CHUNK = 8
CUDA_CHUNK = 256
CUDA_BATCH_SECONDS = 160.0
"""By arithmetic about 4 GB of activations in a HuBERT base; not measured on a device."""


@dataclass(frozen=True)
class Frames:
    """What a recording became: its samples at 16 kHz and its frames, float32 [frames, dimension]."""

    samples: int
    frames: np.ndarray


@dataclass(frozen=True)
class Units:
    """What a recording became: its samples at 16 kHz, deduplicated units, durations in frames, near ties."""

    samples: int
    units: np.ndarray
    durations: np.ndarray
    near_ties: int


@dataclass(frozen=True)
class Work:
    """What a worker needs to know to encode recordings; without a codebook it gives frames instead of units."""

    settings: Encoder
    model: Path | None
    codebook: Path | None
    batch_seconds: float | None = None

    def chunk_size(self) -> int:
        """How many recordings are handed over at a time."""
        return CUDA_CHUNK if torch.cuda.is_available() else CPU_CHUNK


class Worker:
    """Recordings (bytes of audio files) to frames or units; for those that cannot be used, the reason."""

    def __init__(self, work: Work, decoders: int = 1) -> None:
        device = prepare_torch()
        batch_seconds = work.batch_seconds
        if batch_seconds is None:
            # One file at a time is as fast on a CPU, and gives the same bits in whatever company.
            batch_seconds = CUDA_BATCH_SECONDS if device.type == "cuda" else 0.0
        self.encoder: FrameEncoder = load_encoder(work.settings, work.model, device, batch_seconds)
        self.max_seconds = work.settings.max_seconds
        self.quantizer: Quantizer | None = None
        if work.codebook is not None:
            codebook = read_codebook(work.codebook)
            codebook.check(work.codebook, self.encoder.dimension, work.settings.clusters)
            self.quantizer = Quantizer(codebook, device)
        self.decoders = ThreadPoolExecutor(decoders) if decoders > 1 else None

    def decode(self, data: bytes | None) -> np.ndarray | str:
        """The waveform, or why there is none."""
        try:
            if data is None:
                raise AudioError("no audio")
            wave = decode(data, self.max_seconds)
            if self.encoder.frame_count(len(wave)) == 0:
                raise AudioError(too_short(len(wave)))
        except AudioError as error:
            return str(error)
        return wave

    def __call__(self, recordings: list[bytes | None]) -> list[Frames | Units | str]:
        """Encode recordings, in their order."""
        waves = list((self.decoders.map if self.decoders else map)(self.decode, recordings))
        good = [wave for wave in waves if not isinstance(wave, str)]
        encoded = iter(self.encoder.encode(good))
        return [wave if isinstance(wave, str) else self._finish(len(wave), next(encoded)) for wave in waves]

    def _finish(self, samples: int, frames: torch.Tensor) -> Frames | Units | str:
        if self.quantizer is None:
            return Frames(samples, frames.cpu().numpy())
        units, near_ties = self.quantizer.assign(frames)
        try:
            return Units(samples, *deduplicate(units), int(near_ties.sum()))
        except ValueError as error:
            return str(error)


_worker: Worker | None = None


def _start(work: Work) -> None:
    global _worker
    _worker = Worker(work)


def _encode(recordings: list[bytes | None]) -> list[Frames | Units | str]:
    assert _worker is not None
    return _worker(recordings)


@contextmanager
def encoder_pool(
    work: Work, workers: int
) -> Iterator[Callable[[Iterable[bytes | None]], Iterator[Frames | Units | str]]]:
    """Yield a function that encodes a stream of recordings in order, a few chunks ahead.

    On a CPU each worker is a process with one thread, so their number cannot change a result. With CUDA this process
    encodes, and the workers decode audio.
    """
    size = work.chunk_size()
    cuda = torch.cuda.is_available()
    # Here as well, so that wrong settings or files end the command with a plain message.
    here = Worker(work, workers if cuda else 1)
    if cuda or workers == 1:
        yield lambda recordings: itertools.chain.from_iterable(map(here, chunks(recordings, size)))
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(workers, context, _start, (work,)) as pool:
        yield lambda recordings: itertools.chain.from_iterable(
            ahead(pool, _encode, chunks(recordings, size), 3 * workers)
        )


def chunks(items: Iterable[Argument], size: int) -> Iterator[list[Argument]]:
    """Cut a stream in lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def ahead(
    pool: Executor, function: Callable[[Argument], Result], items: Iterable[Argument], limit: int
) -> Iterator[Result]:
    """Map in order with at most `limit` items under way, so that a long stream is never held in memory."""
    running: deque[Future[Result]] = deque()
    for item in items:
        if len(running) == limit:
            yield running.popleft().result()
        running.append(pool.submit(function, item))
    while running:
        yield running.popleft().result()
