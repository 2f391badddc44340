"""Waveforms to units: what every speech tokenizer gives, whatever is inside, and the one place where it is composed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from slamflow.errors import InputError
from slamflow.files import sha256_file, sha256_json
from slamflow.tokenizers import TOKENIZERS, TokenizerSettings
from slamflow.tokenizers.codebook import Quantizer, read_codebook
from slamflow.tokenizers.frames import FrameEncoder, StateEncoder
from slamflow.tokenizers.networks.weights import model_digest
from slamflow.tokenizers.precision import precision_of
from slamflow.tokenizers.sequences import deduplicate


@dataclass(frozen=True)
class Encoded:
    """The units of one waveform."""

    units: np.ndarray
    """Deduplicated: no two neighbors are equal; uint16, or uint32 for more than 65,536 units, [n]."""
    durations: np.ndarray
    """How long each lasts, in ticks: uint16 [n]."""
    near_ties: int = 0
    """Frames whose two nearest centroids lie within 1e-4 of each other: rounding may decide about them."""


class SpeechTokenizer(Protocol):
    """Speech to units at a constant or a variable rate; a batch gives each waveform what it gives alone."""

    units: int
    """How many different units there are."""
    tick_hz: float
    """Ticks per second, in which durations are counted."""

    def check(self, samples: int) -> None:
        """Raises AudioError if a waveform of this many samples (16 kHz) is too short for one unit."""
        ...

    def encode(self, waves: list[np.ndarray]) -> list[Encoded | str]:
        """The units of waveforms (float32 [samples], 16 kHz); where there are none, the reason."""
        ...


class FrameTokenizer:
    """Frames at a constant rate, each of which becomes the unit of its nearest centroid; runs of a unit are one."""

    def __init__(self, frames: FrameEncoder, quantizer: Quantizer) -> None:
        self.frames = frames
        self.quantizer = quantizer
        self.units = len(quantizer.centroids)
        self.tick_hz = frames.frame_rate_hz

    def check(self, samples: int) -> None:
        """Raises AudioError if a waveform of this many samples is too short for one frame."""
        self.frames.check(samples)

    def assign(self, waves: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The unit of each frame of waveforms (int64 [frames]), and whether it is a near tie (bool [frames])."""
        frames = self.frames.encode(waves)
        if not self.frames.batch or not frames:
            return [self.quantizer.assign(one) for one in frames]
        # A GPU waits once for all of them.
        units, near_ties = self.quantizer.assign(torch.cat(frames))
        ends = np.cumsum([len(one) for one in frames])[:-1]
        return list(zip(np.split(units, ends), np.split(near_ties, ends), strict=True))

    def encode(self, waves: list[np.ndarray]) -> list[Encoded | str]:
        """The units of waveforms (float32 [samples], 16 kHz); where a unit lasts too long to be written, the reason."""
        return [encoded(units, near_ties) for units, near_ties in self.assign(waves)]


def encoded(units: np.ndarray, near_ties: np.ndarray) -> Encoded | str:
    """Units of frames without repetitions, or why they cannot be written."""
    try:
        return Encoded(*deduplicate(units), int(near_ties.sum()))
    except ValueError as error:
        return str(error)


def load_tokenizer(
    settings: TokenizerSettings,
    model: Path | None,
    codebook: Path,
    device: torch.device,
    batch_seconds: float = 0.0,
) -> SpeechTokenizer:
    """The tokenizer that settings describe.

    model: the folder with the weights of its kind, None for a kind without any; codebook: its file of centroids;
    batch_seconds: audio that is encoded at once, 0 for one file at a time. Raises InputError for files that do not
    belong together.
    """
    kind = TOKENIZERS.module(settings.kind)
    _check_model(settings, model)
    if hasattr(kind, "load"):
        tokenizer: SpeechTokenizer = kind.load(settings, model, codebook, device, batch_seconds)
        return tokenizer
    frames = load_frames(settings, model, device, batch_seconds)
    found = read_codebook(codebook)
    found.check(codebook, frames.dimension, settings.clusters)
    return FrameTokenizer(frames, Quantizer(found, device))


def load_frames(
    settings: TokenizerSettings, model: Path | None, device: torch.device, batch_seconds: float = 0.0
) -> FrameEncoder:
    """What gives the frames of a tokenizer with a codebook; see `load_tokenizer`."""
    kind = TOKENIZERS.module(settings.kind)
    if not hasattr(kind, "load_encoder"):
        raise InputError(f"kind {settings.kind} has no frames, and so no codebook to fit")
    _check_model(settings, model)
    try:
        encoder: StateEncoder = kind.load_encoder(settings, model, device)
    except KeyError as error:
        raise InputError(f"{model}: the configuration or the weights lack {error}") from None
    window, rate = settings.window_seconds, settings.frame_rate_hz  # type: ignore[attr-defined]
    return FrameEncoder(encoder, rate, window, batch_seconds, precision_of(settings))


def _check_model(settings: TokenizerSettings, model: Path | None) -> None:
    """Raise InputError if the settings name a model and there is no folder, or the other way round."""
    named = getattr(settings, "model", None)
    if (named is None) != (model is None):
        raise InputError(
            f"--model: kind {settings.kind} {'has no model' if model else 'needs the folder of its weights'}"
        )


def encoder_digest(settings: TokenizerSettings, model: Path | None) -> str:
    """One sha256 for the weights of a tokenizer's kind."""
    if model is None:
        return sha256_json(settings.kind)
    checkpoints = sorted(model.glob("*.pt"))  # of kind textless
    return sha256_file(checkpoints[0]) if checkpoints else model_digest(model)


def prepare_torch() -> torch.device:
    """Fix all that affects rounding, and choose the device: CUDA if there is one, else the CPU with one thread.

    Threads split sums, so their number would show in the last bits: more cores are used by more processes instead.
    """
    torch.set_num_threads(1)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
