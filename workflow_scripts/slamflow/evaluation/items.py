"""The items of a benchmark: pairs of a right and a wrong sequence of units."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow import files
from slamflow.errors import InputError

Units = npt.NDArray[np.uint16]

ITEM_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("phenomenon", pa.string()),
        ("cluster", pa.string()),
        ("good", pa.list_(pa.uint16())),
        ("bad", pa.list_(pa.uint16())),
    ]
)


class Item(NamedTuple):
    """One pair: the deduplicated units of two whole sequences."""

    id: str
    phenomenon: str | None
    cluster: str
    good: Units
    bad: Units


def write_items(path: Path, items: list[Item]) -> None:
    """Write items as Parquet."""
    table = pa.Table.from_pylist([item._asdict() for item in items], schema=ITEM_SCHEMA)
    with files.atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_items(path: Path) -> list[Item]:
    """Read items. Raises InputError if the file holds none."""
    rows = read_columns(path, ITEM_SCHEMA.names).to_pylist()
    if not rows:
        raise InputError(f"{path}: no items; build the benchmark again")
    return [
        Item(
            row["id"],
            row["phenomenon"],
            row["cluster"],
            np.array(row["good"], dtype=np.uint16),
            np.array(row["bad"], dtype=np.uint16),
        )
        for row in rows
    ]


def read_columns(path: Path, columns: list[str]) -> pa.Table:
    """Some columns of a Parquet file. Raises InputError if it is not one, or lacks a column."""
    try:
        table = pq.ParquetFile(path).read(columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error}); make it again") from None
    if missing := [name for name in columns if name not in table.column_names]:
        raise InputError(f"{path}: no column {missing[0]!r}")
    return table
