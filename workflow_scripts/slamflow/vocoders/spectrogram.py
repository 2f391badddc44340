"""Mel spectra for synthesis, and back from them to a waveform without a trained network."""

from __future__ import annotations

import math

import torch

from slamflow.tokenizers.mel import mel_filters

WINDOW = 800
HOP = 160
BANDS = 80
FLOOR = 1e-4
"""Mel magnitudes below this are taken for silence; a full-scale tone reaches about 5."""
MOMENTUM = 0.99


class Spectrogram:
    """Log-mel spectra of 16 kHz speech: a Hann window of 50 ms, 100 frames a second, natural log of magnitudes.

    The window is twice that of speech recognition, so that the harmonics of low voices stay apart and neighboring
    windows overlap by 80 %, which the phase reconstruction needs.
    """

    def __init__(self) -> None:
        self.window = torch.hann_window(WINDOW)
        self.filters = mel_filters(BANDS, WINDOW)
        self.inverse = torch.linalg.pinv(self.filters.T.double()).float()
        # How far the phase of each bin's own frequency turns in one hop.
        self.advance = 2 * math.pi * HOP / WINDOW * torch.arange(WINDOW // 2 + 1)

    def mel(self, wave: torch.Tensor) -> torch.Tensor:
        """float32 [samples] to float32 [samples // HOP, BANDS]; frame t is centered at sample (t + 1/2) * HOP."""
        frames = len(wave) // HOP
        before = WINDOW // 2 - HOP // 2
        padded = torch.nn.functional.pad(wave[: frames * HOP], (before, WINDOW - HOP - before))
        magnitudes = torch.stft(padded, WINDOW, HOP, window=self.window, center=False, return_complex=True).abs()
        return (magnitudes.T @ self.filters).clamp(min=FLOOR).log()

    def magnitudes(self, mel: torch.Tensor) -> torch.Tensor:
        """Linear magnitudes [bins, frames] whose mel spectra are nearest to [frames, BANDS], none negative."""
        return (self.inverse @ mel.exp().T).clamp(min=0)

    def wave(self, mel: torch.Tensor, iterations: int) -> torch.Tensor:
        """A waveform, float32 [frames * HOP], with these mel spectra [frames, BANDS].

        Phases by the fast Griffin-Lim algorithm (Griffin and Lim 1984; Perraudin, Balazs and Sondergaard 2013,
        "A fast Griffin-Lim algorithm"). They start where each bin holds a steady tone, so nothing is drawn at random.
        """
        target = self.magnitudes(mel)
        samples = len(mel) * HOP
        start = self.advance[:, None] * torch.arange(len(mel))
        estimate = torch.polar(target, start)
        before = torch.zeros_like(estimate)
        for _ in range(iterations):
            projected = self._analyze(self._synthesize(estimate, samples))
            ahead = projected + MOMENTUM * (projected - before)
            before = projected
            estimate = target * ahead / ahead.abs().clamp(min=1e-9)
        return self._synthesize(estimate, samples)

    def _analyze(self, wave: torch.Tensor) -> torch.Tensor:
        before = WINDOW // 2 - HOP // 2
        padded = torch.nn.functional.pad(wave, (before, WINDOW - HOP - before))
        return torch.stft(padded, WINDOW, HOP, window=self.window, center=False, return_complex=True)

    def _synthesize(self, spectrum: torch.Tensor, samples: int) -> torch.Tensor:
        """Weighted overlap-add, the least-squares inverse of `_analyze` (Griffin and Lim 1984, equation 6)."""
        frames = torch.fft.irfft(spectrum, n=WINDOW, dim=0) * self.window[:, None]
        length = WINDOW + HOP * (spectrum.shape[1] - 1)
        weights = self.window.square()[:, None].expand_as(frames)
        added = torch.nn.functional.fold(
            torch.stack([frames, weights]), (1, length), kernel_size=(1, WINDOW), stride=(1, HOP)
        )[:, 0, 0]
        before = WINDOW // 2 - HOP // 2
        wave, weight = added[:, before : before + samples]
        return wave / weight.clamp(min=1e-3)
