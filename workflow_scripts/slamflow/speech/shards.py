"""Speech shards: Parquet files with audio files in them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from slamflow import files

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
ROWS_AT_ONCE = 256


def encode_flac(speech: NDArray[np.float32], sample_rate: int) -> bytes:
    """`speech`, shape (samples,) in [-1, 1], as the bytes of a 16-bit mono FLAC file."""
    stream = io.BytesIO()
    soundfile.write(stream, speech, sample_rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


def write_speech_shard(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows of SCHEMA's columns, atomically and with the same bytes each time, a few hundred in memory."""
    with files.atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="none") as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(batch, SCHEMA))
                batch = []
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, SCHEMA))
