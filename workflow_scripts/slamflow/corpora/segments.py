"""Long recordings cut at their pauses, so that each piece fits an encoder and no sample is lost or doubled."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from slamflow.audio import AudioError, decoder_reason, is_cut_short
from slamflow.corpora.recordings import Stretches

FRAME_S = 0.01
"""Resolution of the energy."""
PAUSE_S = 0.2
"""Length of the silence that is looked for."""
BLOCK_S = 10.0
"""How much is decoded at once."""
SHORTEST_S = 1.0
"""No piece is shorter, the last one included."""
MINIMUM_S = 0.5
"""A stretch of speech that is shorter is no piece."""


@dataclass(frozen=True)
class Piece:
    """Part of a recording, or all of it."""

    audio: bytes
    start: float
    """Seconds from the beginning of the recording."""
    seconds: float
    whole: bool
    """Whether it is the recording itself, byte for byte."""


def pieces(file: BinaryIO, max_seconds: float) -> Iterator[Piece]:
    """Yield a recording as pieces of at most `max_seconds`.

    A recording that is short enough is yielded as it is, byte for byte, once it has been decoded to its end. A longer
    one is cut at pauses; each piece is a 16-bit FLAC file with the sample rate and channels of the recording, and the
    pieces of a 16-bit recording joined are the recording. A few times `max_seconds` of it are in memory.

    Raises AudioError if the recording is empty, unreadable, cut short or holds NaN; for a long one, after those
    pieces that are good.
    """
    if not file.read(1):
        raise AudioError("empty file")
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as audio:
            if audio.frames <= 0 or audio.samplerate <= 0:
                raise AudioError("no samples")
            seconds = audio.frames / audio.samplerate
            if seconds > max_seconds:
                yield from _cut(audio, max_seconds)
                return
            for _ in _blocks(audio):
                pass
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"unreadable: {decoder_reason(error)}") from None
    file.seek(0)
    yield Piece(file.read(), 0.0, seconds, whole=True)


def spoken_pieces(file: BinaryIO, speech: Stretches, max_seconds: float) -> Iterator[Piece]:
    """Yield the stretches of speech of a recording as pieces of at most `max_seconds`.

    Neighboring stretches are joined, without what lies between them, as long as they fit; one that is longer alone is
    cut at its pauses. So are Libri-Light's own pieces made (Kahn et al. 2020), only that those keep long stretches
    whole. Pieces are as in `pieces`; one that comes out shorter than half a second is left out.

    Raises AudioError as `pieces` does, or if the stretches end after the recording.
    """
    try:
        with soundfile.SoundFile(file) as audio:
            rate = audio.samplerate
            if audio.frames <= 0 or rate <= 0:
                raise AudioError("no samples")
            for joined in join_stretches(speech, max_seconds):
                start = joined[0][0]
                samples = np.concatenate([_read(audio, first, last) for first, last in joined])
                longest, shortest = int(max_seconds * rate), int(SHORTEST_S * rate)
                while len(samples) >= MINIMUM_S * rate:
                    end = len(samples)
                    if end > longest:
                        end = cut_point(samples, rate, longest // 2, min(longest, end - shortest))
                    yield Piece(encode(samples[:end], rate), start, end / rate, whole=False)
                    start += end / rate
                    samples = samples[end:]
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"unreadable: {decoder_reason(error)}") from None


def join_stretches(speech: Stretches, max_seconds: float) -> Iterator[Stretches]:
    """Yield runs of neighboring stretches with at most `max_seconds` of speech in all; a longer one is alone."""
    run: Stretches = []
    seconds = 0.0
    for start, end in speech:
        if run and seconds + end - start > max_seconds:
            yield run
            run, seconds = [], 0.0
        run.append((start, end))
        seconds += end - start
    if run:
        yield run


def _read(audio: soundfile.SoundFile, start: float, end: float) -> NDArray[np.float32]:
    """The samples from `start` to `end`, in seconds; shape [samples, channels]."""
    rate = audio.samplerate
    first, last = int(start * rate), int(end * rate)
    # The lists are rounded: the last stretch may end a little after the recording.
    if first >= audio.frames or last > audio.frames + rate:
        raise AudioError(f"speech is listed until {end:.2f} s, but it ends at {audio.frames / rate:.2f} s")
    audio.seek(first)
    samples: NDArray[np.float32] = audio.read(last - first, dtype="float32", always_2d=True)
    if len(samples) < min(last, audio.frames) - first:
        raise AudioError(f"truncated, at {start:.2f} s")
    if not np.isfinite(samples).all():
        raise AudioError("NaN or infinite samples")
    return samples


def _blocks(audio: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    """Decode to the end, in blocks of shape [samples, channels].

    Raises AudioError for NaN, or if the end comes before the header has it.
    """
    size = int(BLOCK_S * audio.samplerate)
    read = 0
    while read < audio.frames:
        try:
            block = audio.read(size, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise AudioError(f"truncated or damaged: {decoder_reason(error)}{_where(read, audio)}") from None
        if not np.isfinite(block).all():
            raise AudioError("NaN or infinite samples")
        read += len(block)
        if len(block) < size and read < audio.frames:
            raise AudioError(f"truncated{_where(read, audio)}")
        yield block
    if is_cut_short(audio.extra_info):
        raise AudioError(f"truncated{_where(read, audio)}")


def _where(read: int, audio: soundfile.SoundFile) -> str:
    return f", {read / audio.samplerate:.2f} s could be read"


def _cut(audio: soundfile.SoundFile, max_seconds: float) -> Iterator[Piece]:
    """The pieces of a recording longer than `max_seconds`."""
    rate = audio.samplerate
    longest, shortest = int(max_seconds * rate), int(SHORTEST_S * rate)
    waiting = np.zeros((0, audio.channels), np.float32)
    start = 0
    stream = _blocks(audio)
    while True:
        while len(waiting) <= longest and (block := next(stream, None)) is not None:
            waiting = np.concatenate([waiting, block])
        end = len(waiting)
        if end > longest:
            end = cut_point(waiting, rate, longest // 2, min(longest, end - shortest))
        yield Piece(encode(waiting[:end], rate), start / rate, end / rate, whole=False)
        start += end
        waiting = waiting[end:]
        if not len(waiting):
            return


def cut_point(samples: NDArray[np.float32], rate: int, first: int, last: int) -> int:
    """Where to end a piece of `samples`, shape [samples, channels]: a place in [first, last].

    It is the middle of the quietest 0.2 s there; of equally quiet ones the last, so that pieces are not shorter than
    they need be.
    """
    frame = max(1, int(FRAME_S * rate))
    count = (last - first) // frame
    width = min(count, round(PAUSE_S / FRAME_S))
    if width == 0:
        return last
    window = samples[first : first + count * frame].astype(np.float64)
    energy = np.square(window).reshape(count, -1).sum(axis=1)
    pauses = np.lib.stride_tricks.sliding_window_view(energy, width).sum(axis=1)
    quietest = len(pauses) - 1 - int(np.argmin(pauses[::-1]))
    return first + quietest * frame + width * frame // 2


def encode(samples: NDArray[np.float32], rate: int) -> bytes:
    """A 16-bit FLAC file of `samples`, shape [samples, channels]; values that were 16-bit are so again, exactly."""
    whole = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    stream = io.BytesIO()
    soundfile.write(stream, whole, rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()
