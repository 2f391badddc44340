"""One interface to all speech encoders, and what they have in common: windows, batches, frame rates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from slamflow.audio import SAMPLE_RATE, AudioError
from slamflow.errors import InputError
from slamflow.files import sha256_file, sha256_json
from slamflow.settings.units import Encoder
from slamflow.textless import TextlessEncoder
from slamflow.units.hubert import HubertEncoder
from slamflow.units.mel import HOP, log_mel, mel_filters, mel_frames
from slamflow.units.weights import model_digest
from slamflow.units.whisper import WhisperEncoder

MEL_BANDS = 80


class SpeechEncoder(Protocol):
    """What turns waveforms into states; a batch gives each file what it gives alone, but for rounding."""

    device: torch.device
    dimension: int
    rate_hz: float
    max_samples: int | None

    def state_count(self, samples: int) -> int:
        """States that a waveform of so many samples gives."""
        ...

    def states(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """Encode waveforms (float32 [samples], 16 kHz) as one batch: float32 [states, dimension] each."""
        ...


class LogMelEncoder:
    """Log-mel frames, 100 a second: no model at all, for tests and as the plainest baseline."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.dimension = MEL_BANDS
        self.rate_hz = SAMPLE_RATE / HOP
        self.max_samples: int | None = None
        self.filters = mel_filters(MEL_BANDS).to(device)

    def state_count(self, samples: int) -> int:
        """States that a waveform of so many samples gives."""
        return mel_frames(samples)

    def states(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """Log-mel frames of each waveform."""
        return [log_mel(torch.from_numpy(wave).to(self.device), self.filters).T for wave in waves]


class FrameEncoder:
    """Waveforms to frames at the asked rate.

    A waveform longer than the window is cut in windows that do not overlap; each is encoded as a file of its own and
    the frames are laid end to end (what is left behind the last whole frame of a window, under two frames of
    audio, is lost). Windows are encoded in batches of similar length, padded to at most `batch_seconds` of audio;
    0 encodes them one at a time.
    """

    def __init__(
        self, encoder: SpeechEncoder, frame_rate_hz: float, window_seconds: float, batch_seconds: float = 0.0
    ) -> None:
        ratio = encoder.rate_hz / frame_rate_hz
        if ratio < 1 or abs(ratio - round(ratio)) > 1e-6:
            rates = ", ".join(f"{encoder.rate_hz / divisor:g}" for divisor in range(1, 5))
            raise InputError(
                f"frame_rate_hz: {frame_rate_hz:g} does not divide the encoder's {encoder.rate_hz:g} Hz; "
                f"possible are {rates}, ..."
            )
        self.encoder = encoder
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
        """Frames that a waveform of so many samples gives."""
        whole, rest = divmod(samples, self.window)
        return sum(
            number * (self.encoder.state_count(length) // self.ratio)
            for number, length in ((whole, self.window), (1, rest))
        )

    @torch.inference_mode()
    def encode(self, waves: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Frames of each waveform: float32 [frames, dimension] on the encoder's device.

        Raises AudioError for a waveform that is too short for one frame; ask `frame_count` before.
        """
        windows: list[np.ndarray] = []
        owners: list[int] = []
        for index, wave in enumerate(waves):
            if self.frame_count(len(wave)) == 0:
                raise AudioError(too_short(len(wave)))
            for start in range(0, len(wave), self.window):
                window = wave[start : start + self.window]
                if self.frame_count(len(window)):
                    windows.append(window)
                    owners.append(index)
        frames: list[torch.Tensor | None] = [None] * len(windows)
        for batch in batches([len(window) for window in windows], self.batch):
            for index, states in zip(batch, self.encoder.states([windows[i] for i in batch]), strict=True):
                frames[index] = average(states, self.ratio)
        parts: list[list[torch.Tensor]] = [[] for _ in waves]
        for owner, part in zip(owners, frames, strict=True):
            assert part is not None
            parts[owner].append(part)
        return [part[0] if len(part) == 1 else torch.cat(part) for part in parts]


def too_short(samples: int) -> str:
    """Why a waveform cannot be encoded."""
    return f"too short: {samples} samples give no frame"


def average(states: torch.Tensor, ratio: int) -> torch.Tensor:
    """Mean of each `ratio` neighbouring states, [states, d] to [states // ratio, d]; a rest at the end is dropped."""
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


def load_encoder(
    settings: Encoder, model: Path | None, device: torch.device, batch_seconds: float = 0.0
) -> FrameEncoder:
    """The encoder that the settings describe, with the weights of the folder `model` (None for logmel)."""
    if (settings.kind == "logmel") != (model is None):
        raise InputError(f"--model: kind {settings.kind} {'has no model' if model else 'needs a transformers folder'}")
    encoder: SpeechEncoder
    try:
        if model is None:
            encoder = LogMelEncoder(device)
        elif settings.kind == "whisper":
            encoder = WhisperEncoder(model, settings.layer, device)
        elif settings.kind == "textless":
            encoder = TextlessEncoder(model, settings.layer, device)
        else:
            encoder = HubertEncoder(model, settings.layer, settings.normalize, settings.padding_samples, device)
    except KeyError as error:
        raise InputError(f"{model}: the configuration or the weights lack {error}") from None
    return FrameEncoder(encoder, settings.frame_rate_hz, settings.window_seconds, batch_seconds)


def encoder_digest(model: Path | None) -> str:
    """One sha256 for the encoder's weights."""
    if model is None:
        return sha256_json("logmel")
    checkpoints = sorted(model.glob("*.pt"))  # of kind textless
    return sha256_file(checkpoints[0]) if checkpoints else model_digest(model)


def prepare_torch() -> torch.device:
    """Fix what decides about rounding, and choose the device: CUDA if there is one, else the CPU with one thread.

    Threads split sums, so their number would show in the last bits: more cores are used by more processes instead.
    """
    torch.set_num_threads(1)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
