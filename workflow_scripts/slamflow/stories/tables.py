"""Texts in a column of Parquet files, as text datasets of the hub have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from slamflow.errors import InputError

ROWS_AT_ONCE = 4096


def texts(paths: Iterable[Path], column: str) -> Iterator[bytes]:
    """Yield the texts of a column as UTF-8, file by file; nulls are passed over. Raises InputError without it."""
    for path in paths:
        try:
            table = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path}: cannot be read as Parquet ({error})") from None
        with table:
            names = table.schema_arrow.names
            if column not in names:
                raise InputError(
                    f"{path} has no column {column}; it has {', '.join(names)}; see column in the settings"
                )
            for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=[column]):
                for text in batch.column(0).to_pylist():
                    if isinstance(text, bytes):
                        yield text
                    elif text is not None:
                        yield str(text).encode()
