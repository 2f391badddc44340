"""Frames at a constant rate: one interface to the networks that give states, and windows, batches, frame rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from slamflow.audio import SAMPLE_RATE, AudioError
from slamflow.commands import log
from slamflow.errors import InputError
from slamflow.tokenizers.precision import EXACT, arithmetic


class StateEncoder(Protocol):
    """What turns waveforms into states; a batch gives each file what it gives alone, but for rounding."""

    device: torch.device
    dimension: int
    rate_hz: float
    max_samples: int | None

    def state_count(self, samples: int) -> int:
        """States that a waveform of this many samples gives."""
        ...

    def states(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """Encode waveforms (float32 [samples], 16 kHz) as one batch: float32 [states, dimension] each."""
        ...


class FrameEncoder:
    """Waveforms to frames at the asked rate.

    A waveform longer than the window is cut in windows that do not overlap; each is encoded as a file of its own and
    the frames are laid end to end (what is left behind the last whole frame of a window, under two frames of
    audio, is lost). Windows are encoded in batches of similar length, padded to at most `batch_seconds` of audio;
    0 encodes them one at a time.
    """

    def __init__(
        self,
        encoder: StateEncoder,
        frame_rate_hz: float,
        window_seconds: float,
        batch_seconds: float = 0.0,
        precision: str = EXACT,
    ) -> None:
        ratio = encoder.rate_hz / frame_rate_hz
        if ratio < 1 or abs(ratio - round(ratio)) > 1e-6:
            rates = ", ".join(f"{encoder.rate_hz / divisor:g}" for divisor in range(1, 5))
            raise InputError(
                f"frame_rate_hz: {frame_rate_hz:g} does not divide the encoder's {encoder.rate_hz:g} Hz; "
                f"possible are {rates}, ..."
            )
        self.encoder = encoder
        self.precision = precision
        self.frame_rate_hz = frame_rate_hz
        self.ratio = round(ratio)
        self.window = round(window_seconds * SAMPLE_RATE)
        if encoder.max_samples is not None and self.window > encoder.max_samples:
            longest = encoder.max_samples / SAMPLE_RATE
            raise InputError(f"window_seconds: {window_seconds:g}, but this encoder takes at most {longest:g} s")
        if encoder.state_count(self.window) < self.ratio:
            raise InputError(f"window_seconds: {window_seconds:g} is too short for one frame")
        self.batch = round(batch_seconds * SAMPLE_RATE)

    @property
    def dimension(self) -> int:
        """Features of a frame."""
        return self.encoder.dimension

    def frame_count(self, samples: int) -> int:
        """Frames that a waveform of this many samples gives."""
        whole, rest = divmod(samples, self.window)
        return sum(
            number * (self.encoder.state_count(length) // self.ratio)
            for number, length in ((whole, self.window), (1, rest))
        )

    def check(self, samples: int) -> None:
        """Raises AudioError if a waveform of this many samples is too short for one frame."""
        if self.frame_count(samples) == 0:
            raise AudioError(f"too short: {samples} samples give no frame")

    @torch.inference_mode()
    def encode(self, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Frames of each waveform: float32 [frames, dimension] on the encoder's device.

        Raises AudioError for a waveform that is too short for one frame; ask `check` before.
        """
        windows: list[np.ndarray] = []
        owners: list[int] = []
        for index, wave in enumerate(waves):
            self.check(len(wave))
            for start in range(0, len(wave), self.window):
                window = wave[start : start + self.window]
                if self.frame_count(len(window)):
                    windows.append(window)
                    owners.append(index)
        frames: list[torch.Tensor | None] = [None] * len(windows)
        for batch in batches([len(window) for window in windows], self.batch):
            for index, states in zip(batch, self._states([windows[i] for i in batch]), strict=True):
                frames[index] = average(states, self.ratio)
        parts: list[list[torch.Tensor]] = [[] for _ in waves]
        for owner, part in zip(owners, frames, strict=True):
            assert part is not None
            parts[owner].append(part)
        return [part[0] if len(part) == 1 else torch.cat(part) for part in parts]

    def _states(self, windows: list[np.ndarray]) -> list[torch.Tensor]:
        """States of a batch; one that a GPU has no memory for is halved until it fits."""
        try:
            with arithmetic(self.precision):
                return self.encoder.states(windows)
        except torch.OutOfMemoryError:
            if len(windows) == 1:
                raise
        log.warning("no memory for %d windows at once: halved", len(windows))
        torch.cuda.empty_cache()
        middle = len(windows) // 2
        return self._states(windows[:middle]) + self._states(windows[middle:])


def average(states: torch.Tensor, ratio: int) -> torch.Tensor:
    """Mean of each `ratio` neighboring states, [states, d] to [states // ratio, d]; a rest at the end is dropped."""
    if ratio == 1:
        return states
    count = len(states) // ratio
    return states[: count * ratio].view(count, ratio, -1).mean(dim=1)


def batches(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Group indices by length so that no group, padded to its longest, exceeds `limit` (a longer one is alone)."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= limit:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
