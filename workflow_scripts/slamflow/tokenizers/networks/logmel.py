"""Log-mel frames as states."""

from __future__ import annotations

import numpy as np
import torch

from slamflow.audio import SAMPLE_RATE
from slamflow.tokenizers.mel import HOP, log_mel, mel_filters, mel_frames

MEL_BANDS = 80


class LogMelEncoder:
    """Log-mel frames, 100 a second."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.dimension = MEL_BANDS
        self.rate_hz = SAMPLE_RATE / HOP
        self.max_samples: int | None = None
        self.filters = mel_filters(MEL_BANDS).to(device)

    def state_count(self, samples: int) -> int:
        """States that a waveform of this many samples gives."""
        return mel_frames(samples)

    def states(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """Log-mel frames of each waveform."""
        return [log_mel(torch.from_numpy(wave).to(self.device), self.filters).T for wave in waves]
