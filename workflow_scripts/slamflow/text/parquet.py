"""Stories in a column of Parquet files, as text datasets of the hub have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slamflow.errors import InputError
from slamflow.text import ReadTextSettings
from slamflow.text.stories import Record, in_shard, record, usable, warn

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteStories
    from slamflow.jobs.sources import Sources


class ParquetText(ReadTextSettings):
    """Stories in a column of Parquet files, as text datasets of the hub have them."""

    source: Literal["parquet"]
    """Stories in a column of Parquet files."""
    path: str
    """The Parquet files: a path, a folder, `asset:NAME/FILE`, or `asset:NAME` for all files of an asset."""
    column: str = "text"
    """The column with the text."""

    def files(self, sources: Sources) -> list[str]:
        if self._is_whole_asset():
            return sources.asset(self.path.removeprefix("asset:"))
        if Path(self.path).is_dir():
            return sorted(str(file) for file in Path(self.path).glob("*.parquet"))
        return super().files(sources)

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        whole = self._is_whole_asset() and self.path.removeprefix("asset:") in sources.assets
        if not whole and not Path(self.path).is_dir():
            yield from super().file_problems(key, sources)

    def _is_whole_asset(self) -> bool:
        return self.path.startswith("asset:") and "/" not in self.path


ROWS_AT_ONCE = 4096


def records(text: ParquetText, job: WriteStories, paths: list[Path]) -> list[Record]:
    """The records of the texts of Parquet files in one shard. Raises InputError if there are none for the split."""
    set_aside: Counter[str] = Counter()
    found = []
    count = 0
    for key, story in usable(column_texts(paths, text.column), text.seed, job.split, job.stories, set_aside):
        count += 1
        if in_shard(f"{job.split}-{key}", job):
            found.append(record(job, key, story))
    shown = paths[0].parent if paths else "--source"
    if not count:
        raise InputError(f"{shown}: no usable story for split {job.split} in column {text.column}")
    warn(shown, job, set_aside, count)
    return found


def column_texts(paths: Iterable[Path], column: str) -> Iterator[bytes]:
    """Yield the texts of a column as UTF-8, file by file; nulls are passed over. Raises InputError without it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

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
