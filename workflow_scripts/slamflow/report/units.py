"""Statistics of units: how long they last and how evenly they are used."""

from __future__ import annotations

from collections.abc import Iterable
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


def read_units(paths: Iterable[Path]) -> pa.Table:
    """All unit shards as one table. Raises InputError for a file that is not one."""
    tables = []
    for path in paths:
        try:
            tables.append(pq.ParquetFile(path).read(COLUMNS).select(COLUMNS))
        except (pa.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{path}: cannot be read as units ({error}); delete it and run again") from None
    return pa.concat_tables(tables)


def usage(table: pa.Table, vocabulary: int) -> Usage:
    """Count units and durations of a table of utterances."""
    units, durations = (
        np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table[name].chunks])
        for name in ("units", "durations")
    )
    counted = np.bincount(np.minimum(durations.astype(np.int64), LONGEST), minlength=LONGEST + 1)[1:]
    return Usage(np.bincount(units.astype(np.int64), minlength=vocabulary), counted)
