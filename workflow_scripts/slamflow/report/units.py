"""The page's statistics of units: how long they last and how evenly they are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slamflow import files
from slamflow.report import charts
from slamflow.report.summary import name_of_encoder
from slamflow.shards.units import read_batches

COLUMNS = ["units", "durations"]
LONGEST = 10
"""Durations of this many ticks or more are counted together."""
ROWS_AT_ONCE = 10_000

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Usage:
    """How often each unit and each duration occurs."""

    units: Counts
    """int64 [vocabulary]"""
    durations: Counts
    """int64 [LONGEST]: of 1, 2, ..., and of LONGEST ticks or more."""

    @property
    def entropy(self) -> float:
        """Of one unit by itself, in bits."""
        share = self.units[self.units > 0] / self.units.sum()
        return float(-(share * np.log2(share)).sum())


def usage(batches: Iterable[pa.RecordBatch], vocabulary: int) -> Usage:
    """Count units and durations of utterances."""
    used = np.zeros(vocabulary, dtype=np.int64)
    lasting = np.zeros(LONGEST + 1, dtype=np.int64)
    for batch in batches:
        units, durations = (batch.column(name).flatten().to_numpy(zero_copy_only=False) for name in COLUMNS)
        used += np.bincount(units, minlength=vocabulary)
        lasting += np.bincount(np.minimum(durations, LONGEST), minlength=LONGEST + 1)
    return Usage(used, lasting[1:])


def read_shards(manifests: Iterable[Path], encoder: str) -> Iterator[pa.RecordBatch]:
    """Yield the units of an encoder, some at a time: all of them together may not fit.

    A shard lies beside its manifest, which says whose units they are. Raises InputError if one of the two is damaged.
    """
    for path in manifests:
        if name_of_encoder(path, files.read_json(path)) == encoder:
            yield from read_batches(path.with_suffix(".parquet"), COLUMNS, ROWS_AT_ONCE)


def unit_statistics(told: dict[str, Any] | None, manifests: Iterable[Path]) -> dict[str, Any] | None:
    """Pictures of how units are used and how long they last; `told` is what the summary says of them."""
    if told is None or told["vocabulary"] is None:
        return None
    counted = usage(read_shards(manifests, told["encoder"]), told["vocabulary"])
    if not counted.units.any():
        return None
    shares = counted.durations / max(1, counted.durations.sum())
    used = np.sort(counted.units)[::-1] / max(1, counted.units.sum())
    rate = told["tokens_per_second"]
    return {
        "used": int((counted.units > 0).sum()),
        "entropy": counted.entropy,
        "perplexity": 2**counted.entropy,
        "bits_per_second": counted.entropy * rate if rate else None,
        "frame_ms": 1000 / told["frame_rate_hz"],
        "durations": charts.bars(
            [float(share) for share in shares],
            [f"{index + 1}" if index + 1 < LONGEST else f"{LONGEST}+" for index in range(LONGEST)],
            "how many frames units last",
            [f"{100 * share:.0f} %" if share >= 0.005 else "" for share in shares],
        ),
        "profile": charts.profile([float(share) for share in used], "how often units occur", "commonest", "rarest"),
        "commonest": float(used[0]),
    }
