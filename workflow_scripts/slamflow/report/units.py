"""Statistics of units: how long they last and how evenly they are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow.errors import InputError

COLUMNS = ["units", "durations"]
LONGEST = 10
"""Durations of so many frames or more are counted together."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Usage:
    """How often each unit and each duration occurs."""

    units: Counts
    """int64 [vocabulary]"""
    durations: Counts
    """int64 [LONGEST]: of 1, 2, ..., and of LONGEST frames or more."""

    @property
    def entropy(self) -> float:
        """Of one unit by itself, in bits."""
        share = self.units[self.units > 0] / self.units.sum()
        return float(-(share * np.log2(share)).sum())


def read_units(paths: Iterable[Path]) -> Iterator[pa.Table]:
    """Yield unit shards, one after another: all of them together may not fit. Raises InputError if one is not."""
    for path in paths:
        try:
            table = pq.ParquetFile(path).read(COLUMNS).select(COLUMNS)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{path}: cannot be read as units ({error}); delete it and run again") from None
        yield table


def usage(tables: Iterable[pa.Table], vocabulary: int) -> Usage:
    """Count units and durations of tables of utterances."""
    used = np.zeros(vocabulary, dtype=np.int64)
    lasting = np.zeros(LONGEST + 1, dtype=np.int64)
    for table in tables:
        for batch in table.to_batches():
            units, durations = (batch.column(name).flatten().to_numpy(zero_copy_only=False) for name in COLUMNS)
            used += np.bincount(units, minlength=vocabulary)
            lasting += np.bincount(np.minimum(durations, LONGEST), minlength=LONGEST + 1)
    return Usage(used, lasting[1:])
