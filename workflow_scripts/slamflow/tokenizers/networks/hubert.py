"""HuBERT up to a layer (Hsu et al. 2021, arXiv:2106.07447), with batches that do not change the states."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.files import read_json
from slamflow.tokenizers.networks.layers import (
    Affine,
    Linear,
    affine,
    norm,
    post_norm,
    pre_norm,
    read_layer,
    real_frames,
)
from slamflow.tokenizers.networks.weights import read_config, read_tensors, require
from slamflow.tokenizers.precision import weights_dtype

CONVOLUTIONS = "feature_extractor.conv_layers"
POSITIONS = "encoder.pos_conv_embed.conv"
CONVOLUTION_EPSILON = 1e-5


class HubertEncoder:
    """States of one layer of a HuBERT; the rate is 50 a second, 25 for mHuBERT-25Hz.

    `normalize` gives each waveform mean 0 and variance 1 first; None does as preprocessor_config.json says (no, if
    there is none). `padding` zeros are put on each side of a waveform. With `precision` bf16 the products
    of matrices are in bfloat16; sums of layers, norms and what reads the waveform are in float32.
    """

    def __init__(
        self,
        folder: Path,
        layer: int | None,
        normalize: bool | None,
        padding: int,
        device: torch.device,
        precision: str = "fp32",
    ) -> None:
        config = read_config(folder, "hubert")
        require(config, folder, hidden_act="gelu", feat_extract_activation="gelu", conv_pos_batch_norm=False)
        require(config, folder, adapter_attn_dim=None)
        count = config["num_hidden_layers"]
        if layer is not None and layer > count:
            raise InputError(f"layer: {layer} asked, the model in {folder} has {count}")
        self.depth = count if layer is None else layer
        unused = tuple(f"encoder.layers.{index}." for index in range(self.depth, count))
        tensors = {
            name: tensor.to(device)
            for name, tensor in read_tensors(
                folder, f"{CONVOLUTIONS}.0.conv.weight", lambda name: not name.startswith(unused)
            ).items()
        }
        dtype = weights_dtype(precision)
        self.device = device
        self.padding = padding
        self.normalize = _says_normalize(folder) if normalize is None else normalize
        self.dimension: int = config["hidden_size"]
        self.kernels: list[int] = config["conv_kernel"]
        self.strides: list[int] = config["conv_stride"]
        self.rate_hz = SAMPLE_RATE / math.prod(self.strides)
        self.max_samples: int | None = None
        self.heads: int = config["num_attention_heads"]
        self.epsilon: float = config["layer_norm_eps"]
        self.group_norm = config["feat_extract_norm"] == "group"
        self.pre_norm: bool = config["do_stable_layer_norm"]
        indices = range(len(self.kernels))
        kernels = [affine(tensors, f"{CONVOLUTIONS}.{index}.conv") for index in indices]
        # The first one reads the waveform as it is: a hundredth of the work.
        self.convolutions = [
            Linear(weight.transpose(1, 2).flatten(1), bias, dtype if index else torch.float32)
            for index, (weight, bias) in enumerate(kernels)
        ]
        self.convolution_norms = [
            affine(tensors, f"{CONVOLUTIONS}.{index}.layer_norm") for index in indices[: 1 if self.group_norm else None]
        ]
        projection_norm = config.get("feat_proj_layer_norm", True)
        self.projection_norm = affine(tensors, "feature_projection.layer_norm") if projection_norm else None
        self.projection = affine(tensors, "feature_projection.projection")
        bias = tensors.get(f"{POSITIONS}.bias")
        self.positions: Affine = (_position_kernel(tensors).to(dtype), None if bias is None else bias.to(dtype))
        self.position_groups: int = config["num_conv_pos_embedding_groups"]
        self.encoder_norm = affine(tensors, "encoder.layer_norm")
        self.final_norm = self.encoder_norm if self.pre_norm and layer is None else None
        self.layers = [
            read_layer(
                tensors,
                f"encoder.layers.{index}",
                "attention",
                "layer_norm",
                "feed_forward.intermediate_dense",
                "feed_forward.output_dense",
                dtype,
            )
            for index in range(self.depth)
        ]

    def state_count(self, samples: int) -> int:
        """States that a waveform of this many samples gives."""
        return _lengths(samples + 2 * self.padding, self.kernels, self.strides)[-1]

    def states(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """Encode waveforms as one batch: float32 [states, dimension] each, as if it were alone."""
        inputs = [self._prepare(torch.from_numpy(wave).to(self.device)) for wave in waves]
        lengths = [_lengths(len(wave), self.kernels, self.strides) for wave in inputs]
        counts = [length[-1] for length in lengths]
        x = self._convolve(pad_sequence(inputs, batch_first=True), [length[0] for length in lengths])
        if self.projection_norm is not None:
            x = norm(x, self.projection_norm, self.epsilon)
        x = F.linear(x, *self.projection)
        real = real_frames(counts, self.device)
        if real is not None:  # the position convolution must see zeros behind a file's end
            x = x * real[:, :, None]
        x = x + self._position(x)
        if not self.pre_norm:
            x = norm(x, self.encoder_norm, self.epsilon)
        mask = None if real is None else real[:, None, None]
        apply = pre_norm if self.pre_norm else post_norm
        for layer in self.layers:
            x = apply(x, layer, self.heads, self.epsilon, mask)
        if self.final_norm is not None:
            x = norm(x, self.final_norm, self.epsilon)
        return [states[:count] for states, count in zip(x, counts, strict=True)]

    def _prepare(self, wave: torch.Tensor) -> torch.Tensor:
        if self.normalize:
            wave = (wave - wave.mean()) / (wave.var(correction=0) + 1e-7).sqrt()
        return F.pad(wave, (self.padding, self.padding))

    def _convolve(self, x: torch.Tensor, first_lengths: list[int]) -> torch.Tensor:
        """The convolutions over waveforms [batch, samples]: [batch, states, channels].

        Each is one matrix product over windows laid side by side, which a CPU does faster than a convolution.
        Without padding of their own, only a norm over time can see what a file is batched with.
        """
        x = x[:, :, None]
        for index, (linear, kernel, stride) in enumerate(
            zip(self.convolutions, self.kernels, self.strides, strict=True)
        ):
            x = x.to(linear.weight.dtype)
            windows = x.unfold(1, kernel, stride).transpose(2, 3).flatten(2)  # [batch, time, kernel * channels]
            if index >= len(self.convolution_norms):
                x = linear(windows, gelu=True)
            elif self.group_norm:
                x = F.gelu(_norm_over_time(linear(windows).float(), first_lengths, self.convolution_norms[0]))
            else:
                x = F.gelu(norm(linear(windows).float(), self.convolution_norms[index], CONVOLUTION_EPSILON))
        return x.float()

    def _position(self, x: torch.Tensor) -> torch.Tensor:
        """Relative positions by a wide grouped convolution; of an even kernel's outputs the last is dropped."""
        kernel = self.positions[0].shape[-1]
        inputs = x.transpose(1, 2).to(self.positions[0].dtype)
        y = F.conv1d(inputs, *self.positions, padding=kernel // 2, groups=self.position_groups)
        return F.gelu(y[:, :, : x.shape[1]]).transpose(1, 2)


def _norm_over_time(x: torch.Tensor, lengths: list[int], weights: Affine) -> torch.Tensor:
    """Normalize each channel of x [batch, time, channels] over the file's own time.

    The same as a group norm with a group per channel (Wu and He 2018, arXiv:1803.08494) on each file alone.
    """
    weight, bias = weights
    assert bias is not None
    for row, length in zip(x, lengths, strict=True):
        centred = row[:length] - row[:length].mean(dim=0)
        scale = weight * (centred.square().mean(dim=0) + CONVOLUTION_EPSILON).rsqrt()
        torch.addcmul(bias, centred, scale, out=row[:length])
    return x


def _lengths(samples: int, kernels: list[int], strides: list[int]) -> list[int]:
    """Length after each convolution; 0 from where nothing is left."""
    result = []
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = max(0, (samples - kernel) // stride + 1)
        result.append(samples)
    return result


def _position_kernel(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """The position convolution's kernel from its weight-normed parts (Salimans and Kingma 2016, arXiv:1602.07868)."""
    for gain, direction in (
        (f"{POSITIONS}.parametrizations.weight.original0", f"{POSITIONS}.parametrizations.weight.original1"),
        (f"{POSITIONS}.weight_g", f"{POSITIONS}.weight_v"),
    ):
        if gain in tensors:
            return tensors[gain] * tensors[direction] / tensors[direction].norm(dim=(0, 1), keepdim=True)
    return tensors[f"{POSITIONS}.weight"]


def _says_normalize(folder: Path) -> bool:
    path = folder / "preprocessor_config.json"
    return bool(read_json(path).get("do_normalize", False)) if path.is_file() else False
