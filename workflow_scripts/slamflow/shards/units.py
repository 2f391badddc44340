"""Unit shards: Parquet files with the units of utterances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from slamflow.files import atomic_path
from slamflow.shards.parquet import open_parquet

WHAT = "unit shard"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("corpus", pa.string()),
        ("audio", pa.string()),
        ("speaker", pa.string()),
        ("split", pa.string()),
        ("text", pa.string()),
        ("start", pa.float32()),
        ("seconds", pa.float32()),
        ("units", pa.list_(pa.uint16())),
        ("durations", pa.list_(pa.uint16())),
    ]
)
"""`audio` names the source, `start` and `seconds` the place there; `units` are deduplicated, `durations` in ticks."""
ROW_GROUP = 1000


def write_units(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of SCHEMA's columns, atomically, 1,000 at a time; a file without rows is one too."""
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        waiting: list[dict[str, Any]] = []
        written = False
        for row in rows:
            waiting.append(row)
            if len(waiting) == ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(waiting, SCHEMA))
                waiting, written = [], True
        if waiting or not written:
            writer.write_table(pa.Table.from_pylist(waiting, SCHEMA))


def read_units(path: Path, columns: Iterable[str] = tuple(SCHEMA.names)) -> Iterator[dict[str, Any]]:
    """Yield the rows of a unit shard. Raises InputError if it is none, or damaged."""
    for batch in read_batches(path, columns, ROW_GROUP):
        yield from batch.to_pylist()


def read_batches(path: Path, columns: Iterable[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield a unit shard in batches of at most this many rows. Raises InputError as `read_units` does."""
    columns = list(columns)
    with open_parquet(path, columns, WHAT) as file:
        yield from file.iter_batches(rows, columns=columns, use_threads=False)
