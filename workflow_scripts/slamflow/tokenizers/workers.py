"""Encoding many recordings: in this process, or spread over worker processes with the same result."""

from __future__ import annotations

import itertools
import multiprocessing
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from slamflow.audio import SAMPLE_RATE, AudioError, decode, duration
from slamflow.processes import die_with_parent
from slamflow.tokenizers import TokenizerSettings
from slamflow.tokenizers.precision import EXACT
from slamflow.tokenizers.tokenizer import Encoded, load_frames, load_tokenizer, prepare_torch

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")
Wave = np.ndarray
"""A waveform: float32 [samples], 16 kHz."""

CPU_CHUNK = 8
CUDA_CHUNK = 1024
"""Recordings that are sorted by length together, at most."""
BATCHES_SORTED_TOGETHER = 4
"""How many batches of audio are sorted by length together, if there are not CUDA_CHUNK recordings in them."""
LEAST_BATCH_SECONDS, MOST_BATCH_SECONDS = 160.0, 1280.0
ACTIVATION_BYTES = 25e6
"""Of a second of audio in a HuBERT base in float32, at the widest place: by arithmetic, the first convolution's output
(3,200 x 512 numbers), its norm, and the windows of the second. Not measured on a device."""
MEMORY_SHARE = 0.25
"""Of a GPU's memory, what a batch's activations may take."""
LEAST_SAMPLES = 1600
"""What a recording counts for at least, decoded ahead."""


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


def batch_seconds_on(device: torch.device) -> float:
    """How much audio is encoded at once: on a GPU by its memory, so that the same card gives the same batches.

    On a CPU 0, one file at a time: it is as fast, and gives the same bits regardless of batch composition.
    """
    if device.type != "cuda":
        return 0.0
    memory = torch.cuda.get_device_properties(device).total_memory
    return min(MOST_BATCH_SECONDS, max(LEAST_BATCH_SECONDS, MEMORY_SHARE * memory / ACTIVATION_BYTES))


class FrameReader:
    """A FrameEncoder by the interface of a SpeechTokenizer, for fitting."""

    def __init__(self, work: Work, device: torch.device, batch_seconds: float) -> None:
        self.frames = load_frames(work.settings, work.model, device, batch_seconds)
        self.check = self.frames.check
        self.tick_hz = self.frames.frame_rate_hz

    def encode(self, waves: list[Wave]) -> list[Frames | str]:
        """The frames of waveforms."""
        return [Frames(frames.cpu().numpy()) for frames in self.frames.encode(waves)]


class Worker:
    """Recordings (bytes of audio files) to frames or units; for those that cannot be used, the reason."""

    def __init__(self, work: Work) -> None:
        device = prepare_torch()
        self.batch_seconds = batch_seconds_on(device) if work.batch_seconds is None else work.batch_seconds
        self.max_seconds = work.settings.max_seconds
        self.tokenizer = (
            FrameReader(work, device, self.batch_seconds)
            if work.codebook is None
            else load_tokenizer(work.settings, work.model, work.codebook, device, self.batch_seconds)
        )

    def decode(self, data: bytes | None) -> Wave | str:
        """The waveform, or why there is none."""
        try:
            if data is None:
                raise AudioError("no audio")
            wave = decode(data, self.max_seconds)
            self.tokenizer.check(len(wave))
        except AudioError as error:
            return str(error)
        return wave

    def encode(self, waves: list[Wave | str]) -> list[Result]:
        """Encode what `decode` gave, in its order."""
        encoded = iter(self.tokenizer.encode([wave for wave in waves if not isinstance(wave, str)]))
        return [Result(reason=wave) if isinstance(wave, str) else finished(len(wave), next(encoded)) for wave in waves]

    def __call__(self, recordings: list[bytes | None]) -> list[Result]:
        """Decode and encode recordings, in their order."""
        return self.encode([self.decode(data) for data in recordings])


def finished(samples: int, encoded: Encoded | Frames | str) -> Result:
    """What one waveform became."""
    return Result(reason=encoded) if isinstance(encoded, str) else Result(samples, encoded)


_worker: Worker | None = None


def _start(work: Work) -> None:
    global _worker
    die_with_parent()
    _worker = Worker(work)


def _encode(recordings: list[bytes | None]) -> list[Result]:
    assert _worker is not None
    return _worker(recordings)


Encode = Callable[[Iterable[bytes | None]], Iterator[Result]]


@dataclass
class Pool:
    """What `encoder_pool` yields."""

    encode: Encode
    """Encodes a stream of recordings in order; may be called again and again, for shard after shard."""
    here: Worker
    """The one of this process."""
    work: Work

    @property
    def tick_hz(self) -> float:
        """Ticks per second, in which durations are counted."""
        return self.here.tokenizer.tick_hz

    @cached_property
    def exact(self) -> Worker:
        """The same encoder in float32, to compare with."""
        settings = self.work.settings.model_copy(update={"precision": EXACT})
        return Worker(replace(self.work, settings=settings))


@contextmanager
def encoder_pool(work: Work, workers: int) -> Iterator[Pool]:
    """Yield what encodes streams of recordings. On a CPU each worker is a process with one thread, a few
    chunks ahead of what is taken, so their number cannot change a result. With CUDA this process encodes, while the
    workers decode what comes next.
    """
    cuda = torch.cuda.is_available()
    # Here as well, so that wrong settings or files end the command with a plain message.
    here = Worker(work)
    if cuda:
        yield Pool(lambda recordings: encode_ahead(here, recordings, workers), here, work)
        return
    if workers == 1:

        def encode_here(recordings: Iterable[bytes | None]) -> Iterator[Result]:
            return itertools.chain.from_iterable(map(here, chunks(recordings, CPU_CHUNK)))

        yield Pool(encode_here, here, work)
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(workers, context, _start, (work,)) as pool:

        def encode(recordings: Iterable[bytes | None]) -> Iterator[Result]:
            return itertools.chain.from_iterable(ahead(pool, _encode, chunks(recordings, CPU_CHUNK), 3 * workers))

        yield Pool(encode, here, work)


def encode_ahead(worker: Worker, recordings: Iterable[bytes | None], threads: int) -> Iterator[Result]:
    """Encode a stream in order, a few batches at once, while `threads` decode the next ones."""
    seconds = BATCHES_SORTED_TOGETHER * max(worker.batch_seconds, 1.0)
    for waves in by_length(decode_ahead(worker.decode, recordings, threads, seconds), seconds, CUDA_CHUNK):
        yield from worker.encode(waves)


def by_length(waves: Iterable[Wave | str], seconds: float, count: int) -> Iterator[list[Wave | str]]:
    """Cut a stream of decoded recordings in lists that end when they have `seconds` of audio, or `count` recordings."""
    part: list[Wave | str] = []
    samples = 0
    for wave in waves:
        part.append(wave)
        samples += 0 if isinstance(wave, str) else len(wave)
        if samples >= seconds * SAMPLE_RATE or len(part) == count:
            yield part
            part, samples = [], 0
    if part:
        yield part


class Room:
    """Lets things in as long as they fit below a limit together; one alone always fits."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.closed = limit, 0, False
        self.changed = threading.Condition()

    def enter(self, size: int) -> bool:
        """Wait until `size` fits; False if the room was closed meanwhile."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or not self.used or self.used + size <= self.limit)
            self.used += size
            return not self.closed

    def leave(self, size: int) -> None:
        """Make room again."""
        with self.changed:
            self.used -= size
            self.changed.notify_all()

    def close(self) -> None:
        """Let nothing in any more."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


def decode_ahead(
    decode: Callable[[bytes | None], Answer], recordings: Iterable[bytes | None], threads: int, seconds: float
) -> Iterator[Answer]:
    """Decode a stream in order on `threads`, at most `seconds` of audio ahead of what is taken.

    The stream is read in a thread of its own; what reading or decoding raises is raised here.
    """
    room = Room(round(seconds * SAMPLE_RATE))
    coming: queue.SimpleQueue[tuple[Future[Answer], int] | BaseException | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for data in recordings:
                size = expected_samples(data)
                if not room.enter(size):
                    return
                coming.put((pool.submit(decode, data), size))
            coming.put(None)
        except BaseException as error:
            coming.put(error)

    with ThreadPoolExecutor(threads) as pool:
        reader = threading.Thread(target=read, name="read audio", daemon=True)
        reader.start()
        try:
            while (item := coming.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                future, size = item
                result = future.result()
                room.leave(size)
                yield result
        finally:
            room.close()
            reader.join()


def expected_samples(data: bytes | None) -> int:
    """How long a recording is by its header, at 16 kHz; a little for what cannot be opened: that takes room too."""
    try:
        return max(round(duration(data or b"") * SAMPLE_RATE), LEAST_SAMPLES)
    except (AudioError, ZeroDivisionError):
        return LEAST_SAMPLES


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
