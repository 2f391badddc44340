"""Attention within documents: tokens of a packed row see their own document only.

Four ways to the same numbers. `documents`, for the CPU, takes the documents out of the rows and multiplies blocks of
nearly equal length: no time is spent on pairs of tokens from different documents, and plain matrix products in bf16
are about twice as fast there as the fused kernel. `flex_attention`, for CUDA, skips masked blocks. `sdpa` gives the
fused kernel a dense mask. `eager` adds a dense mask in the model's own attention, for classes (xglm, gpt_neo) that
take no other.

transformers separates documents by restarting positions alone only without a cache and without a mask, and says
nothing when it does not; so the mask is always explicit here and `use_cache` is off.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from slamflow.errors import InputError
from slamflow.lm.model import drops_attention
from slamflow.shards.rows import Batch, Ints

Attention = Literal["documents", "flex_attention", "sdpa", "eager"]
ROUND_TO = 64
"""Documents are grouped by their length rounded up to a multiple of this."""
PROBE = 16
"""Positions of the row that shows whether documents see each other."""
MOST_LEAKAGE = 1e-5
"""Rounding gives less than 1e-6; recurrent models without training give 3e-5 to 0.8."""


@dataclass(frozen=True)
class Blocks:
    """The document pieces of a batch as groups of padded sequences."""

    groups: list[tuple[int, int, int]]
    """(first slot, sequences, length) of each group."""
    source: Tensor
    """int64 [slots]: the position in the flattened batch that each slot holds; 0 for padding."""
    slot: Tensor
    """int64 [rows * context]: the slot that each position went to."""
    padding: Tensor
    """bool [slots, 1]."""
    masks: dict[int, Tensor]
    """Causal masks, float32 [length, length], by length."""


def to_device(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """An array on a device; the host does not wait for a GPU to have done what it was asked before."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def make_blocks(document: Ints, device: torch.device) -> Blocks:
    """Group the document pieces of a batch by length. `document` is [rows, context]; padding counts as a piece."""
    rows, context = document.shape
    piece = (np.arange(rows)[:, None] * (context + 1) + document + 1).ravel()
    starts = np.flatnonzero(np.diff(piece, prepend=-1))
    lengths = np.diff(starts, append=rows * context)
    rounded = np.minimum(-(-lengths // ROUND_TO) * ROUND_TO, context)
    groups, sources, paddings = [], [], []
    slot = np.empty(rows * context, dtype=np.int64)
    first = 0
    for length in np.unique(rounded).tolist():
        chosen = rounded == length
        offset = np.arange(length)
        padding = offset >= lengths[chosen, None]
        source = np.where(padding, 0, starts[chosen, None] + offset)
        slot[source[~padding]] = first + np.flatnonzero(~padding)
        groups.append((first, source.shape[0], length))
        sources.append(source.ravel())
        paddings.append(padding.ravel())
        first += source.size
    return Blocks(
        groups,
        to_device(np.concatenate(sources), device),
        to_device(slot, device),
        to_device(np.concatenate(paddings)[:, None], device),
        {length: torch.full((length, length), -torch.inf, device=device).triu(1) for _, _, length in groups},
    )


class _ToSlots(torch.autograd.Function):
    """[positions, width] -> [slots, width]. The gradient is a gather too, which beats index_add on a CPU."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, blocks: Blocks) -> Tensor:
        ctx.blocks = blocks
        return values.index_select(0, blocks.source)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].index_select(0, ctx.blocks.slot), None


class _FromSlots(torch.autograd.Function):
    """[slots, width] -> [positions, width]."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, blocks: Blocks) -> Tensor:
        ctx.blocks = blocks
        return values.index_select(0, blocks.slot)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].index_select(0, ctx.blocks.source).masked_fill_(ctx.blocks.padding, 0), None


def documents_attention(
    _module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    blocks: Blocks | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each piece, in the form that transformers asks for.

    `query` is [rows, heads, context, width], `key` and `value` may have fewer heads; gives [rows, context, heads,
    width]. The scores' softmax is taken in float32.
    """
    if blocks is None or attention_mask is not None:
        raise ValueError("documents attention takes its pieces as blocks=, and no mask")
    rows, heads, context, width = query.shape
    repeats = heads // key.shape[1]
    scale = width**-0.5 if scaling is None else scaling

    def slots(states: Tensor) -> Tensor:
        # Rotary embedding leaves float32 under autocast; the products are done in the dtype of the values.
        flat = states.transpose(1, 2).reshape(rows * context, -1).to(value.dtype)
        return _ToSlots.apply(flat, blocks)

    query, key, value = slots(query * scale), slots(key), slots(value)
    outputs = []
    for first, count, length in blocks.groups:
        part = slice(first, first + count * length)
        q, k, v = (states[part].view(count, length, -1, width).transpose(1, 2) for states in (query, key, value))
        # Heads that share keys are rows of one product, so nothing is repeated.
        q = q.reshape(count, heads // repeats, repeats * length, width)
        scores = torch.matmul(q, k.transpose(-1, -2)).float().view(count, heads, length, length) + blocks.masks[length]
        shares = torch.nn.functional.dropout(scores.softmax(-1), dropout, training=dropout > 0)
        mixed = torch.matmul(shares.to(v.dtype).view(count, heads // repeats, repeats * length, length), v)
        mixed = mixed.view(count, heads, length, width)
        outputs.append(mixed.transpose(1, 2).reshape(count * length, heads * width))
    return _FromSlots.apply(torch.cat(outputs), blocks).view(rows, context, heads, width), None


def fastest_attention(device: torch.device) -> Attention:
    """The way to attend that is fastest on a device."""
    return "flex_attention" if device.type == "cuda" else "documents"


def choose_attention(
    model: PreTrainedModel, asked: Attention | None, device: torch.device, without_flex: bool = False
) -> Attention:
    """Make `model` attend as it was `asked`, or else in the fastest way that its class takes; returns which it is.

    `without_flex`: where flex_attention cannot be compiled. Raises InputError as `use_attention` does.
    """
    ways: list[Attention] = [asked] if asked else [fastest_attention(device), "sdpa", "eager"]
    if asked is None and (without_flex or drops_attention(model.config)):
        ways = [way for way in ways if way != "flex_attention"]  # it has no dropout
    kind = next((way for way in ways if _takes(model, way)), ways[-1])
    use_attention(model, kind)
    return kind


def _takes(model: PreTrainedModel, kind: Attention) -> bool:
    try:
        _set_attention(model, kind)
    except InputError:
        return False
    return True


def use_attention(model: PreTrainedModel, kind: Attention) -> None:
    """Make `model` attend the way that `model_inputs` with the same `kind` prepares for.

    Raises InputError for a model that would let the documents of a row see each other: one that computes attention in
    its own way, which transformers keeps with a warning, or one that is recurrent.
    """
    # Before a model is on its GPU, flex_attention is not compiled: another way shows as well whether it is recurrent.
    checked: Attention = "documents" if kind == "flex_attention" else kind
    _set_attention(model, checked)
    try:
        share = leakage(model, checked)
    except Exception as error:  # classes raise whatever a mask that they do not expect leads to
        raise InputError(
            f"a {model.config.model_type} model cannot attend within documents ({checked}: {error}); take one such as "
            "llama, qwen2 or opt"
        ) from None
    if share > MOST_LEAKAGE:
        raise InputError(
            f"in a {model.config.model_type} model documents of a row see each other, whatever the attention (logits "
            f"change by {share:.1e} of the largest); is it recurrent? Take one such as llama, qwen2 or opt"
        )
    _set_attention(model, kind)


def _set_attention(model: PreTrainedModel, kind: Attention) -> None:
    if kind == "documents":
        AttentionInterface.register("documents", documents_attention)
        AttentionMaskInterface.register("documents", lambda *_, **__: None)
    with contextlib.suppress(ValueError):
        model.set_attn_implementation(kind)
    if (found := model.config._attn_implementation) != kind:
        raise InputError(
            f"a {model.config.model_type} model cannot attend by {kind} (transformers keeps {found!r} for it), so the "
            f"documents of a row would see each other; try another --attention, or a model such as llama"
        )


@torch.no_grad()
def leakage(model: PreTrainedModel, kind: Attention) -> float:
    """By how much of the largest logit those of a document change with the document before it in the row."""
    tokens = np.arange(2 * PROBE).reshape(2, PROBE) % model.config.vocab_size
    tokens[1, PROBE // 2 :] = tokens[0, PROBE // 2 :]
    document = np.repeat([[0] * (PROBE // 2) + [1] * (PROBE // 2)], 2, axis=0)
    training = model.training
    logits = model.eval()(**model_inputs(Batch(tokens, document), kind, model.device)).logits.float()
    model.train(training)
    one, other = logits[:, PROBE // 2 :]
    return float((one - other).abs().max() / one.abs().max())


def model_inputs(batch: Batch, kind: Attention, device: torch.device) -> dict[str, Any]:
    """Arguments of a transformers causal LM under which each document piece is alone with itself."""
    document = to_device(batch.document, device)
    inputs: dict[str, Any] = {
        "input_ids": to_device(batch.input_ids, device),
        "position_ids": to_device(batch.positions(), device),
        "use_cache": False,
    }
    rows, context = document.shape
    if kind == "documents":
        inputs["blocks"] = make_blocks(batch.document, device)
    elif kind == "flex_attention":

        def visible(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (query >= key) & (document[row, query] == document[row, key])

        inputs["attention_mask"] = _block_mask_maker(device.type)(visible, rows, None, context, context, device=device)
    else:
        causal = torch.ones(context, context, dtype=torch.bool, device=device).tril()
        mask = ((document[:, :, None] == document[:, None, :]) & causal)[:, None]
        if kind == "eager":
            # Added to the scores as it is; bloom, gpt_neo and xglm take no other.
            mask = torch.zeros(mask.shape, device=device).masked_fill_(~mask, torch.finfo(torch.float32).min)
        inputs["attention_mask"] = mask
    return inputs


@functools.cache
def _block_mask_maker(device: str) -> Callable[..., Any]:
    """What makes block masks: compiled on a GPU, where it takes a fortieth of the time."""
    from torch.nn.attention.flex_attention import create_block_mask

    return torch.compile(create_block_mask, dynamic=False) if device == "cuda" else create_block_mask
