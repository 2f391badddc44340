"""Recordings in the Parquet files of a dataset of the Hugging Face hub, at a fixed commit.

The audio is taken as the bytes that are there; nothing of the dataset's own code is run. Files are fetched one at a
time and deleted again.
"""

from __future__ import annotations

import fnmatch
import io
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow.assets.hub import download, explain
from slamflow.assets.transfer import SourceError
from slamflow.audio import AudioError
from slamflow.corpora.listing import SHOWN
from slamflow.corpora.recordings import Recording, known_text
from slamflow.corpora.revisions import UNPINNED
from slamflow.errors import InputError
from slamflow.sharding import in_share, parse_shard

if TYPE_CHECKING:
    from slamflow.corpora.hub import HubColumns

log = logging.getLogger("slamflow")

ROWS_AT_ONCE = 16


def shard_files(
    repo: str, revision: str, patterns: list[str], shard: str, downloads: Path
) -> Iterator[tuple[Path, str]]:
    """Yield every n-th of a dataset's files that match, and its name there: downloaded, and deleted afterwards.

    The list of files is as fixed as the commit, so they are dealt out in turn. HF_ENDPOINT names another hub, HF_TOKEN
    gives access to a private dataset. Raises InputError if the hub or a file is not there.
    """
    if revision == UNPINNED:
        raise InputError(f"{repo} has no fixed commit; give --commit FILE, as pin_revision writes it")
    index, count = parse_shard(shard)
    for name in matching_files(repo, revision, patterns)[index::count]:
        source = f"hf://datasets/{repo}@{revision}/{name}"
        log.info("%s", source)
        try:
            with download(source, name, downloads) as path:
                yield path, name
        except SourceError as error:
            raise InputError(f"{source}: {error}") from None


def newest_commit(repo: str) -> str:
    """The commit at the head of a dataset's main branch. Raises InputError if the hub does not tell."""
    token = os.environ.get("HF_TOKEN")
    api = huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token or False)
    try:
        commit = api.dataset_info(repo).sha
    except Exception as error:
        reason = explain(error, repo, "", "main", token is not None)
        if reason is None:
            raise
        raise InputError(f"{repo}: {reason}") from None
    if commit is None:
        raise InputError(f"{repo}: the hub does not tell its commit")
    return commit


def matching_files(repo: str, revision: str, patterns: list[str]) -> list[str]:
    """The files of the dataset that a split names, sorted. Raises InputError if a pattern matches none."""
    token = os.environ.get("HF_TOKEN")
    api = huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token or False)
    try:
        present = api.list_repo_files(repo, repo_type="dataset", revision=revision)
    except Exception as error:
        reason = explain(error, repo, "", revision, token is not None)
        if reason is None:
            raise
        raise InputError(f"{repo}: {reason}") from None
    found: set[str] = set()
    for pattern in patterns:
        matches = fnmatch.filter(present, pattern)
        if not matches:
            tables = [name for name in sorted(present) if name.endswith(".parquet")]
            raise InputError(
                f"{repo} has no file {pattern} at commit {revision[:12]}; "
                f"its Parquet files are {', '.join(tables[:SHOWN]) or 'none'}"
            )
        found.update(matches)
    return sorted(found)


def table_recordings(path: Path, name: str, columns: HubColumns, percent: list[int]) -> Iterator[Recording]:
    """Yield the recordings of one Parquet file, a few in memory at a time."""
    names = [columns.audio, columns.text, columns.speaker, columns.id]
    for place, row in table_rows(path, name, [column for column in names if column is not None]):
        item_id = cell(row, columns.id) or place
        if in_share(item_id, *percent):
            yield recording(row, columns, item_id, place)


def table_rows(path: Path, name: str, names: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of one Parquet file as `name#number` and their columns. Raises InputError without a column."""
    try:
        table = pq.ParquetFile(path, pre_buffer=False)
    except pa.ArrowInvalid as error:
        raise InputError(f"{name}: not a Parquet file that can be read ({error})") from None
    with table:
        missing = [column for column in names if column not in table.schema_arrow.names]
        if missing:
            there = ", ".join(table.schema_arrow.names)
            raise InputError(f"{name} has no column {', '.join(missing)}; it has {there}; see columns in the settings")
        number = 0
        for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=sorted(set(names))):
            for row in batch.to_pylist():
                yield f"{name}#{number:06d}", row
                number += 1


def cell(row: Mapping[str, Any], column: str | None) -> str | None:
    """The value of a column as text; None if there is no such column or the cell is null."""
    value = None if column is None else row[column]
    return None if value is None else str(value)


def recording(row: Mapping[str, Any], columns: HubColumns, item_id: str, place: str) -> Recording:
    """One row as a recording."""
    return Recording(
        id=item_id,
        source=place,
        speaker=cell(row, columns.speaker) or "unknown",
        text=known_text(" ".join((cell(row, columns.text) or "").split())),
        open=lambda: audio_of(row[columns.audio]),
    )


def audio_of(value: Any) -> BinaryIO:
    """The audio file in a cell: bytes, or the hub's {bytes, path}. Raises AudioError if it is not in the table."""
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise AudioError("no audio in the table, at most the name of a file")
    return io.BytesIO(data)
