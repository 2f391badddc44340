"""Bytes of an audio file to a 16 kHz mono waveform, with a plain reason where that is not possible."""

from __future__ import annotations

import io
import re

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16_000
"""Samples per second of every waveform in slamflow."""

UNKNOWN_WAV_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF - 36)


class AudioError(ValueError):
    """One recording cannot be used; the message is the reason, fit for a quarantine list."""


def duration(data: bytes) -> float:
    """Length in seconds as the file's header has it, without decoding. Raises AudioError as `decode` does."""
    with _open(data) as file:
        return file.frames / file.samplerate


def decode(data: bytes, max_seconds: float | None = None) -> np.ndarray:
    """Decode a FLAC, WAV, Ogg or MP3 file to float32 samples in [-1, 1], mono, 16 kHz, shape [samples].

    Channels are averaged; other sample rates are converted with soxr's high quality setting. Raises AudioError for
    a file that is empty, unreadable, cut short, holds NaN or infinite samples, has no samples, or is longer than
    `max_seconds` (which is checked on the header, before anything is allocated).
    """
    with _open(data) as file:
        if file.samplerate <= 0 or file.channels <= 0:
            raise AudioError("damaged header: no sample rate or no channels")
        if file.frames <= 0:
            raise AudioError("no samples")
        if max_seconds is not None and file.frames > max_seconds * file.samplerate:
            raise AudioError(f"too long: {file.frames / file.samplerate:.1f} s, at most {max_seconds:g} s are taken")
        try:
            samples = file.read(dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError, MemoryError) as error:
            raise AudioError(f"truncated or damaged: {decoder_reason(error)}") from None
        if len(samples) != file.frames or is_cut_short(file.extra_info):
            raise AudioError(f"truncated: only {len(samples)} samples could be read")
        rate = file.samplerate
    wave = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(wave).all():
        raise AudioError("NaN or infinite samples")
    if rate != SAMPLE_RATE:
        wave = soxr.resample(wave, rate, SAMPLE_RATE)
        if not len(wave):
            raise AudioError("no samples")
    return np.ascontiguousarray(wave, dtype=np.float32)


def _open(data: bytes) -> soundfile.SoundFile:
    if not data:
        raise AudioError("empty file")
    try:
        return soundfile.SoundFile(io.BytesIO(data))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(f"unreadable: {decoder_reason(error)}") from None


def decoder_reason(error: BaseException) -> str:
    """libsndfile's own words, without the address of our buffer, which differs from run to run."""
    text = str(getattr(error, "error_string", None) or error)
    return re.sub(r"^Error\s*:\s*", "", text).strip().rstrip(".") or type(error).__name__


def is_cut_short(log: str) -> bool:
    """Whether libsndfile's log of the header says that data is missing, which it forgives for WAV and Ogg."""
    size = re.search(r"^data\s*:\s*(\d+)\s*\(should be (\d+)\)", log, re.MULTILINE)
    if size:
        claimed, present = int(size[1]), int(size[2])
        return claimed > present and claimed not in UNKNOWN_WAV_SIZES
    return bool(re.search(r"end-of-stream", log, re.IGNORECASE))
