"""Spoken continuations: units of prompt and continuation, and the sound of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow import files
from slamflow.errors import InputError
from slamflow.shards.items import unit_list
from slamflow.shards.parquet import open_parquet

COLUMNS = ("id", "text", "prompt", "continuation", "ended", "prompt_seconds", "seconds", "audio")
"""`prompt` and `continuation` are units; `ended` says whether the continuation came to the end of the utterance;
`audio` is both as one FLAC of `seconds`, in which the prompt lasts `prompt_seconds`."""
WHAT = "file of continuations"


def write_continuations(path: Path, model: str, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of COLUMNS as Parquet, atomically, with the name of what continued in the schema's metadata."""
    rows = list(rows)
    units = unit_list(np.asarray(row[name]) for row in rows for name in ("prompt", "continuation"))
    types = (pa.string(), pa.string(), units, units, pa.bool_(), pa.float32(), pa.float32(), pa.binary())
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)), metadata={"model": model})
    with files.atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema), temporary, compression="none")


def read_continuations(path: Path, columns: Sequence[str] = COLUMNS) -> tuple[str, list[dict[str, Any]]]:
    """The name of what continued, and the rows. Raises InputError if the file holds none."""
    with open_parquet(path, columns, WHAT) as file:
        table = file.read(list(columns))
    model = (table.schema.metadata or {}).get(b"model")
    if model is None or not len(table):
        raise InputError(f"{path}: no continuations; delete it and run again")
    rows: list[dict[str, Any]] = table.to_pylist()
    return model.decode(), rows
