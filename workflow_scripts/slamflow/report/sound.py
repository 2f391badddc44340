"""Speech for a page: players as MP3, pictures of spectra as PNG, both as data URIs."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import soundfile
import torch

from slamflow.audio import SAMPLE_RATE
from slamflow.tokenizers.mel import MIN_SAMPLES, log_mel, mel_filters

BANDS = 80
PIXELS = 2
"""Screen rows per mel band, and columns per hop of 20 ms."""
COLORS = np.array(
    [(8, 7, 26), (62, 18, 88), (128, 31, 92), (196, 60, 66), (243, 122, 36), (252, 197, 66), (252, 252, 198)], float
)
"""Dark to bright, evenly apart."""


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as a URI that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def mp3(wave: np.ndarray) -> bytes:
    """float32 [samples] at 16 kHz as an MP3 file, about 3 kB a second: every browser plays it."""
    stream = io.BytesIO()
    soundfile.write(stream, np.clip(wave, -1, 1), SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III")
    return stream.getvalue()


def player(wave: np.ndarray) -> str:
    """A waveform as the source of a player."""
    return data_uri("audio/mpeg", mp3(wave))


def mel_picture(wave: np.ndarray) -> str | None:
    """The log-mel spectrum as a picture, low tones at the bottom, 50 columns a second; None if it is too short."""
    if len(wave) < MIN_SAMPLES:
        return None
    mel = log_mel(torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32)), mel_filters(BANDS)).numpy()
    mel = mel[::-1, : mel.shape[1] // 2 * 2].reshape(BANDS, -1, 2).mean(2)
    level = (mel - mel.min()) / max(float(np.ptp(mel)), 1e-6) * (len(COLORS) - 1)
    steps = np.arange(len(COLORS))
    pixels = np.stack([np.interp(level, steps, COLORS[:, channel]) for channel in range(3)], 2).round()
    return data_uri("image/png", png(pixels.astype(np.uint8).repeat(PIXELS, 0).repeat(PIXELS, 1)))


def png(pixels: np.ndarray) -> bytes:
    """uint8 [height, width, 3] as a PNG file (ISO/IEC 15948): no filter, one compressed block."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
