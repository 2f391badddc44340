"""A trained vocoder: units in, speech out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.files import atomic_path
from slamflow.vocoders.network import UnitsToMel, held, repeat
from slamflow.vocoders.spectrogram import BANDS, HOP, Spectrogram
from slamflow.vocoders.vocoder import WEIGHTS, durations_of

ITERATIONS = 16
PEAK = 0.99


class MelVocoder:
    """Speaks deduplicated units with the one voice that it was trained on.

    >>> vocoder = load_vocoder(Path("results/vocoders/whisper"))
    >>> wave = vocoder(units)  # float32 [samples], 16 kHz
    """

    def __init__(self, network: UnitsToMel, frame_rate_hz: float) -> None:
        self.network = network.eval()
        self.frame_rate_hz = frame_rate_hz
        self.spectrogram = Spectrogram()

    @classmethod
    def load(cls, folder: Path, about: dict[str, Any]) -> MelVocoder:
        """Read a folder of train_vocoder, whose vocoder.json is `about`. Raises InputError if it is not one."""
        try:
            network = new_network(about["units"], about["width"], about["blocks"], about["frame_rate_hz"])
            network.load_state_dict(load_file(folder / WEIGHTS))
            return cls(network, about["frame_rate_hz"])
        except (KeyError, OSError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder}: not a vocoder ({error}); train it again") from None

    def save_weights(self, path: Path) -> None:
        """Write the weights, atomically."""
        with atomic_path(path) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}, temporary)

    @torch.inference_mode()
    def durations(self, units: Sequence[int] | np.ndarray) -> np.ndarray:
        """Predicted durations of units, int64 [units], in frames of the units.

        The network gives expectations. Their sums are rounded, not they: so speech keeps its tempo, and none is 0.
        """
        _, log_extra = self._read(units)
        ends = held(log_extra[0].double()).cumsum(0)
        return np.diff((ends + 0.5).floor().long().numpy(), prepend=0)

    @torch.inference_mode()
    def mel(
        self, units: Sequence[int] | np.ndarray, durations: Sequence[int] | np.ndarray | None = None
    ) -> torch.Tensor:
        """Log-mel spectra, float32 [mel frames, bands], with the given or the predicted durations."""
        hidden, _ = self._read(units)
        frames = durations_of(self, units, durations)
        network = self.network
        mel = network.speak(hidden, *repeat(torch.from_numpy(frames)[None], int(frames.sum())))[0]
        return mel * network.mel_deviation + network.mel_mean

    @torch.inference_mode()
    def __call__(
        self, units: Sequence[int] | np.ndarray, durations: Sequence[int] | np.ndarray | None = None
    ) -> np.ndarray:
        """Speech for deduplicated units: float32 [samples] in (-1, 1), 16 kHz.

        `durations` in frames of the units are predicted where they are not given. No units give no samples.
        Raises InputError for a unit that the vocoder does not know, or durations that do not fit.
        """
        if not len(units):
            return np.zeros(0, np.float32)
        wave = self.spectrogram.wave(self.mel(units, durations), ITERATIONS).numpy()
        return wave * np.float32(min(1.0, PEAK / max(float(np.abs(wave).max()), 1e-9)))

    def _read(self, units: Sequence[int] | np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        row = torch.from_numpy(np.asarray(units).astype(np.int64))[None]
        known = self.network.embedding.num_embeddings
        if int(row.min()) < 0 or int(row.max()) >= known:
            raise InputError(f"unit {int(row.max())} is not among the vocoder's {known}; was it made for other units?")
        hidden, log_extra = self.network.read(row, torch.ones(1, row.shape[1], 1))
        return hidden, log_extra


def new_network(units: int, width: int, blocks: int, frame_rate_hz: float) -> UnitsToMel:
    """An untrained network. Raises InputError for a frame rate that is no whole number of mel frames."""
    ratio = SAMPLE_RATE / HOP / frame_rate_hz
    if ratio < 1 or ratio != int(ratio):
        raise InputError(f"frame_rate_hz: {frame_rate_hz:g} does not divide the mel spectra's {SAMPLE_RATE / HOP:g} Hz")
    return UnitsToMel(units, width, blocks, int(ratio), BANDS)
