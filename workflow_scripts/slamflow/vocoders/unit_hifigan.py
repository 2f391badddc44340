"""A published unit vocoder: HiFi-GAN (Kong et al. 2020, arXiv:2010.05646) over embedded units, with their durations.

The order is that of Polyak et al. 2021 (arXiv:2104.00355) and Lee et al. 2021 (arXiv:2107.05604): units are embedded,
a predictor says how long each is held, and the generator turns the repeated embeddings into a waveform. The generator
is transformers' module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import FastSpeech2ConformerHifiGan, FastSpeech2ConformerHifiGanConfig

from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.vocoders.vocoder import durations_of

GENERATOR = "generator."
EPSILON = 1e-5


class HifiGan:
    """Speaks deduplicated units with the voice that it was published with, like `synthesis.Vocoder`.

    >>> vocoder = load_vocoder(Path("results/vocoders/mhubert"))
    >>> wave = vocoder(units)  # float32 [samples], 16 kHz
    """

    def __init__(self, tensors: dict[str, torch.Tensor], generator: FastSpeech2ConformerHifiGanConfig) -> None:
        self.embedding = tensors["embedding.weight"]
        self.predictor = {name: tensor for name, tensor in tensors.items() if name.startswith("duration.")}
        self.generator = FastSpeech2ConformerHifiGan(generator).eval()
        self.generator.load_state_dict(
            {name.removeprefix(GENERATOR): x for name, x in tensors.items() if name.startswith(GENERATOR)}
        )
        self.frame_rate_hz = SAMPLE_RATE / math.prod(generator.upsample_rates)

    @classmethod
    def load(cls, folder: Path, about: dict[str, Any]) -> HifiGan:
        """Read a folder that convert_vocoder wrote, whose vocoder.json is `about`."""
        try:
            return cls(load_file(folder / "vocoder.safetensors"), generator_config(about["generator"]))
        except (KeyError, OSError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder}: not a vocoder ({error}); convert it again") from None

    @torch.inference_mode()
    def durations(self, units: Sequence[int] | np.ndarray) -> np.ndarray:
        """Predicted durations of units, int64 [units], in frames of the units: at least 1."""
        if not len(units):
            return np.zeros(0, np.int64)
        x = self._embed(units).T[None]
        for index in (1, 2):
            weight, bias = self._part(f"conv{index}")
            x = F.relu(F.conv1d(x, weight, bias, padding=weight.shape[2] // 2))
            x = F.layer_norm(x.transpose(1, 2), (x.shape[1],), *self._part(f"norm{index}"), EPSILON).transpose(1, 2)
        log_duration = F.linear(x.transpose(1, 2), *self._part("out"))[0, :, 0]
        return (log_duration.exp() - 1).round().clamp(min=1).long().numpy()

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
        frames = durations_of(self, units, durations)
        spoken = self._embed(units).repeat_interleave(torch.from_numpy(frames), dim=0)
        wave: np.ndarray = self.generator(spoken).numpy()
        return wave

    def _embed(self, units: Sequence[int] | np.ndarray) -> torch.Tensor:
        row = torch.from_numpy(np.asarray(units).astype(np.int64))
        known = len(self.embedding)
        if int(row.min()) < 0 or int(row.max()) >= known:
            raise InputError(f"unit {int(row.max())} is not among the vocoder's {known}; was it made for other units?")
        return self.embedding[row]

    def _part(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self.predictor[f"duration.{name}.weight"], self.predictor[f"duration.{name}.bias"]


def generator_config(values: dict[str, Any]) -> FastSpeech2ConformerHifiGanConfig:
    """The generator's configuration from what vocoder.json says of it."""
    return FastSpeech2ConformerHifiGanConfig(**values, leaky_relu_slope=0.1, normalize_before=False)
