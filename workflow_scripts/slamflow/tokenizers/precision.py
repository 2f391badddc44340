"""The arithmetic of an encoder's network, and how far its units are from those in float32."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from slamflow.tokenizers import TokenizerSettings

EXACT = "fp32"
COMPARED, COMPARED_SHARE, COMPARED_SECONDS = 16, 0.005, 20.0
"""At most so many recordings of a shard, this share of them (but one at least), and the first seconds of each are
encoded a second time, in float32."""


def precision_of(settings: TokenizerSettings) -> str:
    """The precision of a tokenizer's network; fp32 for a kind that has no other."""
    return str(getattr(settings, "precision", EXACT))


def weights_dtype(precision: str) -> torch.dtype:
    """The type of a network's matrices; sums of layers and norms are float32 with any precision."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """TF32 in the products of float32 matrices on a GPU, if that is the precision. A CPU has none."""
    if precision != "tf32":
        yield
        return
    flags: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    try:
        for flag in flags:
            flag.allow_tf32 = True
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def compared(hashes: list[int]) -> set[int]:
    """Which recordings of a shard are compared: those with the least hashes of their ids."""
    number = min(COMPARED, -(-len(hashes) // round(1 / COMPARED_SHARE)))
    return set(heapq.nsmallest(number, range(len(hashes)), key=lambda index: hashes[index]))


def difference(exact: list[np.ndarray], found: list[np.ndarray]) -> dict[str, float | int | None]:
    """How far units are from those of the same frames in float32; both int [frames] for each recording.

    `frames_that_differ` is their share; `unit_edit_distance` the least number of deduplicated units to substitute,
    delete and insert, over the number in float32. None without frames.
    """
    from rapidfuzz.distance import Levenshtein

    frames = sum(map(len, exact))
    differ = sum(int((one != other).sum()) for one, other in zip(exact, found, strict=True))
    first, second = ([runs(units) for units in one] for one in (exact, found))
    edits = sum(Levenshtein.distance(one, other) for one, other in zip(first, second, strict=True))
    units = sum(map(len, first))
    return {
        "utterances": len(exact),
        "frames": frames,
        "frames_that_differ": round(differ / frames, 6) if frames else None,
        "unit_edit_distance": round(edits / units, 6) if units else None,
    }


def runs(units: np.ndarray) -> list[int]:
    """Units of frames without repetitions."""
    return [int(unit) for unit in units[np.flatnonzero(np.diff(units, prepend=-1))]]
