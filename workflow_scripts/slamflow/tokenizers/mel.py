"""Log-mel spectrograms by Whisper's definition (Radford et al. 2022, arXiv:2212.04356, section 2.2)."""

from __future__ import annotations

import math

import numpy as np
import torch

from slamflow.audio import SAMPLE_RATE

WINDOW = 400
HOP = 160
MIN_SAMPLES = WINDOW // 2 + 1
"""The first window reaches back by mirroring, so a waveform needs more than half a window."""


def mel_filters(bands: int, window: int = WINDOW) -> torch.Tensor:
    """Triangular filters on Slaney's mel scale from 0 to 8 kHz, each of unit area: float32, [window / 2 + 1, bands].

    The scale is linear to 1 kHz (3 mel for 200 Hz) and logarithmic above (27 mel for a factor of 6.4).
    """

    def to_hz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))

    top = 15 + 27 * math.log(SAMPLE_RATE / 2 / 1000) / math.log(6.4)
    edges = to_hz(np.linspace(0, top, bands + 2))
    frequencies = np.linspace(0, SAMPLE_RATE / 2, window // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rise = (frequencies - left) / (centre - left)
    fall = (right - frequencies) / (right - centre)
    filters = np.maximum(0, np.minimum(rise, fall)) * 2 / (right - left)
    return torch.from_numpy(filters.astype(np.float32))


def mel_frames(samples: int) -> int:
    """Frames that `log_mel` gives for a number of samples: 100 a second."""
    return samples // HOP if samples >= MIN_SAMPLES else 0


def log_mel(wave: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Log10 mel energies at 100 Hz, at most 8 below the file's own maximum, then (x + 4) / 4.

    Takes float32 [samples] with at least MIN_SAMPLES, gives float32 [bands, samples // 160].
    """
    window = torch.hann_window(WINDOW, device=wave.device)
    spectrum = torch.view_as_real(torch.stft(wave, WINDOW, HOP, window=window, return_complex=True)[:, :-1])
    power = spectrum.square().sum(dim=-1)
    log = (filters.T @ power).clamp(min=1e-10).log10()
    return (torch.maximum(log, log.max() - 8.0) + 4.0) / 4.0
