"""Preference pairs: a prompt, the ending to prefer, and the one to reject, as units."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from slamflow.errors import InputError
from slamflow.shards.items import Units, read_columns, unit_arrays, unit_list, write_table

COLUMNS = ("id", "prompt", "chosen", "rejected")


class PreferencePair(NamedTuple):
    """Deduplicated units of a prompt and of two endings, each of which starts with another unit than the prompt's
    last."""

    id: str
    prompt: Units
    chosen: Units
    rejected: Units


def write_pairs(path: Path, pairs: list[PreferencePair]) -> None:
    """Write pairs as Parquet: COLUMNS, of which all but id are lists of units."""
    units = unit_list(units for pair in pairs for units in pair[1:])
    schema = pa.schema([("id", pa.string()), *((name, units) for name in COLUMNS[1:])])
    write_table(path, pa.Table.from_pylist([pair._asdict() for pair in pairs], schema=schema))


def read_pairs(path: Path) -> list[PreferencePair]:
    """Read pairs, in the order of the file. Raises InputError if it is not one of pairs, or holds none."""
    table = read_columns(path, COLUMNS, "file of preference pairs")
    if not len(table):
        raise InputError(f"{path}: no preference pairs; build them again")
    return [
        PreferencePair(*row)
        for row in zip(table["id"].to_pylist(), *(unit_arrays(table[name]) for name in COLUMNS[1:]), strict=True)
    ]
