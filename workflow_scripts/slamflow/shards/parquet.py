"""Parquet files of any kind of shard: opened and checked in one way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from slamflow.errors import InputError


@contextmanager
def open_parquet(path: Path, columns: Iterable[str], what: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file. Raises InputError, also from the body, if it is damaged or lacks a column.

    what: the kind of file that is expected, for the message.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            missing = set(columns) - set(file.schema_arrow.names)
            if missing:
                raise InputError(f"{path}: no column {', '.join(sorted(missing))}; not a {what}")
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, pa.ArrowIOError) as error:
        raise InputError(f"{path}: cannot be read as a {what} ({error}); delete it and run again") from None
