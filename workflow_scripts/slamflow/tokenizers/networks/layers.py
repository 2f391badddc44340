"""The transformer layer that Whisper's and HuBERT's encoders share, and the masks that make padding invisible.

These are plain functions rather than transformers' modules for three reasons: batches of unequal length have to give
what each file gives alone (masks inside the modules), layers above the wanted one are never read, and a job per
shard should not spend seconds on importing a library. The tests hold them against transformers' own classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

Affine = tuple[torch.Tensor, torch.Tensor | None]
"""Weight and bias."""


PACKED_FOR = 512
"""Rows that a packed matrix is laid out for: about ten seconds of frames. Any number works."""


class Linear:
    """A linear map in float32 or bfloat16, whatever comes in.

    On a CPU its matrix is packed for oneDNN once, which makes Whisper's encoder an eighth faster.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype = torch.float32) -> None:
        self.weight, self.bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        # What torch's own compiler emits; not part of its public interface, so it may be gone one day.
        self.packed = (
            torch.ops.mkldnn._reorder_linear_weight(self.weight, PACKED_FOR) if _can_pack(self.weight) else None
        )

    def __call__(self, x: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """Map x [..., inputs] to [..., outputs] of the map's own type, with a GELU behind if asked."""
        x = x.to(self.weight.dtype)
        if self.packed is not None:
            after = "gelu" if gelu else "none"
            return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, after, [], "none")
        y = F.linear(x, self.weight, self.bias)
        return F.gelu(y) if gelu else y


def _can_pack(weight: torch.Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return weight.dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@dataclass(frozen=True)
class Layer:
    """Weights of one transformer layer; query, key and value are one matrix."""

    qkv: Linear
    out: Linear
    attention_norm: Affine
    up: Linear
    down: Linear
    final_norm: Affine


def affine(tensors: Mapping[str, torch.Tensor], name: str) -> Affine:
    """Weight and bias (None if there is none) of the module `name`."""
    return tensors[f"{name}.weight"], tensors.get(f"{name}.bias")


def read_layer(
    tensors: Mapping[str, torch.Tensor],
    prefix: str,
    attention: str,
    attention_norm: str,
    up: str,
    down: str,
    dtype: torch.dtype = torch.float32,
) -> Layer:
    """Collect a layer's weights under the names that its model has for them; its products are of `dtype`."""
    parts = [affine(tensors, f"{prefix}.{attention}.{part}_proj") for part in "qkv"]
    # Whisper's keys have no bias.
    biases = [weight.new_zeros(len(weight)) if bias is None else bias for weight, bias in parts]
    return Layer(
        qkv=Linear(torch.cat([weight for weight, _ in parts]), torch.cat(biases), dtype),
        out=Linear(*affine(tensors, f"{prefix}.{attention}.out_proj"), dtype),
        attention_norm=affine(tensors, f"{prefix}.{attention_norm}"),
        up=Linear(*affine(tensors, f"{prefix}.{up}"), dtype),
        down=Linear(*affine(tensors, f"{prefix}.{down}"), dtype),
        final_norm=affine(tensors, f"{prefix}.final_layer_norm"),
    )


def norm(x: torch.Tensor, weights: Affine, epsilon: float) -> torch.Tensor:
    """Layer norm over the last axis."""
    return F.layer_norm(x, (x.shape[-1],), *weights, epsilon)


def attend(x: torch.Tensor, layer: Layer, heads: int, mask: torch.Tensor | None) -> torch.Tensor:
    """Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762) of x [batch, time, width].

    `mask` [batch, 1, 1, time] is true where a frame may be looked at; None where all may.
    """
    batch, time, width = x.shape
    query, key, value = layer.qkv(x).view(batch, time, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return layer.out(mixed.transpose(1, 2).reshape(batch, time, width))


def feed_forward(x: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Two linear maps with a GELU between."""
    return layer.down(layer.up(x, gelu=True))


def pre_norm(x: torch.Tensor, layer: Layer, heads: int, epsilon: float, mask: torch.Tensor | None) -> torch.Tensor:
    """A layer that normalizes what goes into attention and feed-forward (Whisper, HuBERT large)."""
    x = x + attend(norm(x, layer.attention_norm, epsilon), layer, heads, mask)
    return x + feed_forward(norm(x, layer.final_norm, epsilon), layer)


def post_norm(x: torch.Tensor, layer: Layer, heads: int, epsilon: float, mask: torch.Tensor | None) -> torch.Tensor:
    """A layer that normalizes the sums (HuBERT base)."""
    x = norm(x + attend(x, layer, heads, mask), layer.attention_norm, epsilon)
    return norm(x + feed_forward(x, layer), layer.final_norm, epsilon)


def real_frames(counts: list[int], device: torch.device) -> torch.Tensor | None:
    """Boolean [batch, time], true where a frame belongs to its file; None if no file is padded."""
    if min(counts) == max(counts):
        return None
    return torch.arange(max(counts), device=device) < torch.tensor(counts, device=device)[:, None]
