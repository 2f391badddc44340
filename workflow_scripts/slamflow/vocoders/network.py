"""The network from deduplicated units to durations and mel spectra."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

KERNEL = 7
EXPANSION = 2
LONGEST = 50.0
"""Longest duration, in frames, that is ever predicted: two seconds at 25 Hz."""


class Block(nn.Module):
    """A residual block: each channel is convolved over time by itself, then the channels of each time are mixed.

    The order is ConvNeXt's (Liu et al. 2022, arXiv:2201.03545). A dense convolution that reaches as far takes more
    multiplications, and learns less in as many steps.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.over_time = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, EXPANSION * width)
        self.narrow = nn.Linear(EXPANSION * width, width)

    def forward(self, x: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """x [batch, time, width], inside [batch, time, 1] with 0 in the padding, which is kept at 0."""
        mixed = self.over_time(x.transpose(1, 2)).transpose(1, 2)
        return cast(torch.Tensor, x + self.narrow(F.gelu(self.widen(self.norm(mixed)))) * inside)


class UnitsToMel(nn.Module):
    """Convolutions over units, from which durations are read; then, each unit repeated, over frames.

    The order is FastSpeech's (Ren et al. 2019, arXiv:1905.09263), with units for phones. A frame of the units
    (40 ms at 25 Hz) becomes `mels_per_frame` mel frames at once.
    """

    mel_mean: torch.Tensor
    mel_deviation: torch.Tensor

    def __init__(self, units: int, width: int, blocks: int, mels_per_frame: int, bands: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(units, width)
        self.over_units = nn.ModuleList(Block(width) for _ in range(blocks))
        self.duration = nn.Linear(width, 1)
        self.place = nn.Linear(2, width)
        self.over_frames = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.mel = nn.Linear(width, mels_per_frame * bands)
        # Mean and deviation of each band in the training speech: the network's own mels are standardized.
        self.register_buffer("mel_mean", torch.zeros(bands))
        self.register_buffer("mel_deviation", torch.ones(bands))
        self.bands = bands

    def read(self, units: torch.Tensor, inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states of units [batch, time], and the logarithm of how many frames beyond one each is held."""
        hidden = self.embedding(units) * inside
        for block in self.over_units:
            hidden = block(hidden, inside)
        return hidden, self.duration(F.gelu(hidden)).squeeze(-1)

    def speak(
        self, hidden: torch.Tensor, owner: torch.Tensor, place: torch.Tensor, inside: torch.Tensor
    ) -> torch.Tensor:
        """Standardized mels [batch, frames * mels_per_frame, bands].

        owner [batch, frames] says which unit a frame belongs to, place [batch, frames, 2] how many of its frames
        come before and after.
        """
        index = owner[:, :, None].expand(-1, -1, hidden.shape[2])
        x = (hidden.gather(1, index) + self.place(torch.log1p(place))) * inside
        for block in self.over_frames:
            x = block(x, inside)
        return cast(torch.Tensor, self.mel(F.gelu(self.norm(x))).flatten(1).unflatten(1, (-1, self.bands)))


def held(log_extra: torch.Tensor) -> torch.Tensor:
    """Expected durations in frames, at least 1."""
    return (1 + log_extra.exp()).clamp(max=LONGEST)


def repeat(durations: torch.Tensor, frames: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Lay out units that are held for whole numbers of frames, [batch, units], over `frames` frames.

    Returns owner int64 [batch, frames], place float32 [batch, frames, 2] and inside float32 [batch, frames, 1], as
    `UnitsToMel.speak` takes them. A duration of 0 is padding.
    """
    ends = durations.cumsum(1)
    time = torch.arange(frames).expand(len(durations), -1).contiguous()
    inside = time < ends[:, -1:]
    owner = torch.searchsorted(ends, time, right=True).clamp(max=durations.shape[1] - 1)
    after = ends.gather(1, owner) - 1 - time
    before = durations.gather(1, owner) - 1 - after
    place = torch.stack([before, after], dim=-1).float() * inside[:, :, None]
    return owner, place, inside[:, :, None].float()
