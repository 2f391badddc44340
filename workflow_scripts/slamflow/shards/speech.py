"""Speech shards: Parquet files with audio files in them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from slamflow import files
from slamflow.shards.parquet import open_parquet

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("audio", pa.binary(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("seconds", pa.float32()),
        pa.field("start", pa.float32(), nullable=False),
    ]
)
"""`audio` is the bytes of an audio file; `source` says where it comes from, `seconds` how long it is, and `start` where
it begins in a longer recording, in seconds."""
SPEECH_COLUMNS = tuple(SCHEMA.names)
ROW_GROUP_ROWS = 256
ROWS_READ_AT_ONCE = 16


def encode_flac(speech: NDArray[np.float32], sample_rate: int) -> bytes:
    """`speech`, shape (samples,) in [-1, 1], as the bytes of a 16-bit mono FLAC file."""
    stream = io.BytesIO()
    soundfile.write(stream, speech, sample_rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


def write_speech(path: Path, rows: Iterable[dict[str, Any]], row_group_bytes: int | None = None) -> None:
    """Write rows of SCHEMA's columns, atomically and with the same bytes each time.

    A row group has 256 rows, or fewer where their audio has reached `row_group_bytes`. One group is in memory, here and
    in a reader.
    """
    with files.atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="none") as writer:
        group: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            group.append(row)
            size += len(row["audio"])
            if len(group) == ROW_GROUP_ROWS or (row_group_bytes is not None and size >= row_group_bytes):
                writer.write_table(pa.Table.from_pylist(group, SCHEMA))
                group, size = [], 0
        if group:
            writer.write_table(pa.Table.from_pylist(group, SCHEMA))


def read_speech(path: Path, columns: Iterable[str] = SPEECH_COLUMNS) -> Iterator[dict[str, Any]]:
    """Stream the rows of a speech shard. Raises InputError for a file that is damaged or none."""
    columns = list(columns)
    with open_parquet(path, columns, "speech shard") as file:
        for batch in file.iter_batches(ROWS_READ_AT_ONCE, columns=columns, use_threads=False):
            yield from batch.to_pylist()
