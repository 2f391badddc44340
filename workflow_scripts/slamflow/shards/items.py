"""The items of a benchmark: pairs of a right and a wrong sequence of units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow import files
from slamflow.errors import InputError
from slamflow.shards.parquet import open_parquet

Units = npt.NDArray[Any]
"""Units of one sequence: uint16, or uint32 where there are more than 65,536."""

COLUMNS = ("id", "phenomenon", "cluster", "good", "bad")


class Item(NamedTuple):
    """One pair: the deduplicated units of two whole sequences."""

    id: str
    phenomenon: str | None
    cluster: str
    good: Units
    bad: Units


def write_items(path: Path, items: list[Item]) -> None:
    """Write items as Parquet: COLUMNS, of which good and bad are lists of units."""
    units = unit_list(units for item in items for units in (item.good, item.bad))
    types = (pa.string(), pa.string(), pa.string(), units, units)
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
    write_table(path, pa.Table.from_pylist([item._asdict() for item in items], schema=schema))


def read_items(path: Path) -> list[Item]:
    """Read items. Raises InputError if the file holds none."""
    table = read_columns(path, COLUMNS, "benchmark's items")
    if not len(table):
        raise InputError(f"{path}: no items; build the benchmark again")
    texts = (table[name].to_pylist() for name in COLUMNS[:3])
    return [Item(*row) for row in zip(*texts, unit_arrays(table["good"]), unit_arrays(table["bad"]), strict=True)]


# What other tables with sequences of units share


def unit_list(sequences: Iterable[Units]) -> pa.DataType:
    """The type of a column with these sequences: lists of uint16, or of what else they need."""
    return pa.list_(pa.from_numpy_dtype(np.result_type(np.uint16, *{units.dtype for units in sequences})))


def unit_arrays(column: pa.Array | pa.ChunkedArray) -> list[Units]:
    """The sequences of a column of lists, each as an array of the lists' own type."""
    dtype = column.type.value_type.to_pandas_dtype()
    return [np.array(units, dtype=dtype) for units in column.to_pylist()]


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet, atomically."""
    with files.atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_columns(path: Path, columns: Sequence[str], what: str) -> pa.Table:
    """Some columns of a Parquet file. Raises InputError if it is none, or lacks a column; `what` it should be."""
    with open_parquet(path, columns, what) as file:
        return file.read(list(columns))
