"""Whisper's encoder on files of their own length (Radford et al. 2022, arXiv:2212.04356)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.tokenizers.mel import HOP, log_mel, mel_filters, mel_frames
from slamflow.tokenizers.networks.layers import affine, norm, pre_norm, read_layer, real_frames
from slamflow.tokenizers.networks.weights import read_config, read_tensors, require
from slamflow.tokenizers.precision import weights_dtype

EPSILON = 1e-5


class WhisperEncoder:
    """States of one layer of a Whisper encoder, 50 a second.

    The published model sees every file padded with silence to 30 s. Here a file has its own length: the position
    embeddings are the first ones and nothing is added, so a short file costs little and its states do not depend on
    padding.

    With `precision` bf16 the products of matrices are in bfloat16; sums of layers and norms are in float32.
    """

    def __init__(self, folder: Path, layer: int | None, device: torch.device, precision: str = "fp32") -> None:
        config = read_config(folder, "whisper")
        require(config, folder, activation_function="gelu", scale_embedding=False)
        count = config["encoder_layers"]
        if layer is not None and layer > count:
            raise InputError(f"layer: {layer} asked, the encoder in {folder} has {count}")
        self.depth = count if layer is None else layer
        unused = tuple(f"layers.{index}." for index in range(self.depth, count))
        tensors = {
            name: tensor.to(device)
            for name, tensor in read_tensors(folder, "conv1.weight", lambda name: not name.startswith(unused)).items()
        }
        self.device = device
        self.dimension: int = config["d_model"]
        self.rate_hz = SAMPLE_RATE / HOP / 2
        self.heads: int = config["encoder_attention_heads"]
        self.filters = mel_filters(config["num_mel_bins"]).to(device)
        dtype = weights_dtype(precision)
        # The first one reads the spectrum as it is: a fortieth of the work.
        weight, bias = affine(tensors, "conv2")
        self.convolutions = affine(tensors, "conv1"), (weight.to(dtype), None if bias is None else bias.to(dtype))
        self.positions = tensors["embed_positions.weight"]
        self.max_samples: int | None = len(self.positions) * 2 * HOP
        self.layers = [
            read_layer(tensors, f"layers.{index}", "self_attn", "self_attn_layer_norm", "fc1", "fc2", dtype)
            for index in range(self.depth)
        ]
        self.final_norm = affine(tensors, "layer_norm") if layer is None else None

    def state_count(self, samples: int) -> int:
        """States that a waveform of this many samples gives."""
        return (mel_frames(samples) + 1) // 2

    def states(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """Encode waveforms as one batch: float32 [states, dimension] each, as if it were alone."""
        mels = [log_mel(torch.from_numpy(wave).to(self.device), self.filters) for wave in waves]
        counts = [self.state_count(len(wave)) for wave in waves]
        first, second = self.convolutions
        x = pad_sequence([mel.T for mel in mels], batch_first=True).transpose(1, 2)
        x = F.gelu(F.conv1d(x, *first, padding=1))
        inside = real_frames([mel.shape[1] for mel in mels], self.device)
        if inside is not None:  # the second convolution must see zeros behind a file's end
            x = x * inside[:, None]
        x = F.gelu(F.conv1d(x.to(second[0].dtype), *second, stride=2, padding=1)).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        real = real_frames(counts, self.device)
        mask = None if real is None else real[:, None, None]
        for layer in self.layers:
            x = pre_norm(x, layer, self.heads, EPSILON, mask)
        if self.final_norm is not None:
            x = norm(x, self.final_norm, EPSILON)
        return [states[:count] for states, count in zip(x, counts, strict=True)]
