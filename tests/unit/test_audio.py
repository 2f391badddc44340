"""Decoding of recordings: formats, rates, channels, and a plain reason for each kind of damage."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import soxr

from slamflow.audio import SAMPLE_RATE, AudioError, decode, duration


def tone(seconds: float, rate: int = SAMPLE_RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32).clip(-1, 1)


def file_bytes(wave: np.ndarray, rate: int = SAMPLE_RATE, kind: str = "FLAC", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def test_flac_gives_its_samples_back() -> None:
    wave = np.round(noise(0.5) * 32768) / 32768
    decoded = decode(file_bytes(wave))
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, wave.astype(np.float32))


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "FLOAT"), ("WAV", "PCM_16"), ("OGG", "VORBIS"), ("MP3", None)])
def test_other_formats_sound_the_same(kind: str, subtype: str | None) -> None:
    wave = tone(0.5)
    decoded = decode(file_bytes(wave, kind=kind, subtype=subtype))
    assert len(decoded) == len(wave)
    assert np.abs(decoded - wave)[2000:-2000].max() < 0.05


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 44100])
def test_other_rates_become_16_khz(rate: int) -> None:
    decoded = decode(file_bytes(tone(1.0, rate), rate))
    assert abs(len(decoded) - SAMPLE_RATE) <= 1
    middle = slice(2000, 14000)
    assert np.abs(decoded[middle] - tone(1.0)[middle]).max() < 0.01


def test_channels_are_averaged() -> None:
    left, right = tone(0.2), tone(0.2, hertz=1000.0)
    decoded = decode(file_bytes(np.stack([left, right], axis=1), kind="WAV", subtype="FLOAT"))
    np.testing.assert_allclose(decoded, (left + right) / 2, atol=1e-7)


def test_resampling_is_of_the_mean_of_the_channels() -> None:
    stereo = np.stack([tone(0.2, 24000), tone(0.2, 24000, 900.0)], axis=1)
    decoded = decode(file_bytes(stereo, 24000, "WAV", "FLOAT"))
    np.testing.assert_allclose(decoded, soxr.resample(stereo.mean(axis=1), 24000, SAMPLE_RATE), atol=1e-6)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.77, 0.95, 0.999])
def test_truncated_flac_is_refused(share: float) -> None:
    data = file_bytes(noise(2.0))
    with pytest.raises(AudioError, match=r"truncated|unreadable"):
        decode(data[: int(len(data) * share)])


def test_flac_cut_at_any_frame_is_refused() -> None:
    data = file_bytes(noise(1.0))
    for cut in range(100, len(data), 997):
        with pytest.raises(AudioError):
            decode(data[:cut])


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("OGG", "VORBIS"), ("MP3", None)])
def test_other_truncated_files_are_refused(kind: str, subtype: str | None) -> None:
    data = file_bytes(noise(3.0), kind=kind, subtype=subtype)
    with pytest.raises(AudioError, match="truncated"):
        decode(data[: len(data) // 2])


def test_wav_written_to_a_pipe_has_no_length_and_is_read() -> None:
    data = bytearray(file_bytes(tone(0.5), kind="WAV", subtype="PCM_16"))
    where = data.index(b"data") + 4
    data[where : where + 4] = b"\xff\xff\xff\xff"
    assert len(decode(bytes(data))) == SAMPLE_RATE // 2


def test_corrupted_flac_is_refused() -> None:
    data = bytearray(file_bytes(noise(2.0)))
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    with pytest.raises(AudioError, match="damaged"):
        decode(bytes(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty file"), (b"not audio at all" * 20, "unreadable"), (b"fLaC" + bytes(30), "unreadable")],
)
def test_files_that_are_no_audio(data: bytes, reason: str) -> None:
    with pytest.raises(AudioError, match=reason):
        decode(data)


def test_reasons_are_the_same_each_time() -> None:
    reasons = set()
    for _ in range(5):
        keep = bytearray(np.random.default_rng(0).bytes(300))
        with pytest.raises(AudioError) as error:
            decode(bytes(keep))
        reasons.add(str(error.value))
    assert len(reasons) == 1
    assert "0x" not in reasons.pop()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    wave = tone(0.2)
    wave[100] = value
    with pytest.raises(AudioError, match="NaN or infinite"):
        decode(file_bytes(wave, kind="WAV", subtype="FLOAT"))


def test_no_samples() -> None:
    with pytest.raises(AudioError, match="no samples"):
        decode(file_bytes(np.zeros(0, np.float32), kind="WAV"))


def test_too_long_is_seen_before_decoding() -> None:
    data = file_bytes(tone(2.0))
    assert len(decode(data, max_seconds=2.0)) == 2 * SAMPLE_RATE
    with pytest.raises(AudioError, match=r"too long: 2\.0 s, at most 1\.9"):
        decode(data[: len(data) // 2], max_seconds=1.9)


def test_duration_reads_the_header() -> None:
    data = file_bytes(tone(2.5, 24000), 24000)
    assert duration(data) == 2.5
    assert duration(data[: len(data) // 2]) == 2.5
    with pytest.raises(AudioError, match="empty"):
        duration(b"")
