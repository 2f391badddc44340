"""How often units occur and how long they last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

COLUMNS = ["units", "durations"]
LONGEST = 10
"""Durations of this many ticks or more are counted together."""

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
        """Of one unit by itself, in bits; 0 where there are none."""
        share = self.units[self.units > 0] / self.units.sum()
        return float(abs((share * np.log2(share)).sum()))


def usage(batches: Iterable[pa.RecordBatch], vocabulary: int) -> Usage:
    """Count units and durations of utterances."""
    used = np.zeros(vocabulary, dtype=np.int64)
    lasting = np.zeros(LONGEST + 1, dtype=np.int64)
    for batch in batches:
        units, durations = (batch.column(name).flatten().to_numpy(zero_copy_only=False) for name in COLUMNS)
        used += np.bincount(units, minlength=vocabulary)
        lasting += np.bincount(np.minimum(durations, LONGEST), minlength=LONGEST + 1)
    return Usage(used, lasting[1:])
