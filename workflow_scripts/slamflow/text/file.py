"""Stories that are read from a text file."""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slamflow.errors import InputError
from slamflow.recipe.base import canonical
from slamflow.sharding import parse_shard
from slamflow.text import ReadTextSettings
from slamflow.text.stories import Record, in_shard, log, one_file, record, shard_digests, usable, warn

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteStories
    from slamflow.jobs.sources import Sources


class FileText(ReadTextSettings):
    """Stories of a UTF-8 file, separated by `<|endoftext|>`; in a file without that by blank lines or line ends."""

    source: Literal["file"]
    """Stories of a text file, separated by a line `<|endoftext|>`."""

    def items(self, job: WriteStories, sources: Sources) -> str:
        """A file on disk is read, so that a new story concerns its own shard only."""
        if self.path.startswith("asset:"):
            return super().items(job, sources)
        index, count = parse_shard(job.shard)
        return f"{canonical(self)} {digests(Path(self.path), self.seed, job.split, job.stories, count)[index]}"


SEPARATORS = {
    "<|endoftext|>": re.compile(rb"<\|endoftext\|>"),
    "blank lines": re.compile(rb"\r?\n[ \t]*\r?\n"),
    "line ends": re.compile(rb"\r?\n"),
}
"""What may stand between stories; a file uses the first of these that occurs in it."""


@dataclass
class FileStories:
    """The usable stories of a file, in its order, and how many were set aside for what reason."""

    stories: dict[str, str] = field(default_factory=dict)
    """Text by content hash: 16 hex digits of the text with its white space collapsed."""
    set_aside: Counter[str] = field(default_factory=Counter)
    separator: str = ""
    """The key of SEPARATORS that was used."""


def records(text: FileText, job: WriteStories, paths: list[Path]) -> list[Record]:
    """The records of a file's stories in one shard. Raises InputError if the file has none for the split."""
    path = one_file(text.source, paths)
    found = read_file(path, text.seed, job.split, job.stories)
    if found.separator != "<|endoftext|>":
        log.warning("%s has no <|endoftext|>: its stories are taken to be separated by %s", path, found.separator)
    if not found.stories:
        raise InputError(f"{path}: no usable story for split {job.split}; separate stories by <|endoftext|>")
    warn(path, job, found.set_aside, len(found.stories))
    return [record(job, key, story) for key, story in found.stories.items() if in_shard(f"{job.split}-{key}", job)]


def read_file(path: Path, seed: int, split: str, stories: int | None) -> FileStories:
    """The first `stories` usable stories of a file that fall into a split, whatever their shard; None takes all.

    Stories are separated by `<|endoftext|>`; in a file without that by blank lines, and without those by line ends.
    A story's split follows from a hash of the seed and its text. Raises InputError for a file that cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    separator = next((name for name, pattern in SEPARATORS.items() if pattern.search(data)), "line ends")
    result = FileStories(separator=separator)
    result.stories = dict(usable(SEPARATORS[separator].split(data), seed, split, stories, result.set_aside))
    return result


def digests(path: Path, seed: int, split: str, stories: int | None, count: int) -> list[str]:
    """Hex digest of the stories of a split in each of `count` shards.

    The file is read once for all of them, and again when it has changed. Raises InputError as `read_file` does.
    """
    status = path.stat() if path.is_file() else None
    version = (status.st_mtime_ns, status.st_size) if status else None
    return _digests(path, seed, split, stories, count, version)


@functools.cache
def _digests(
    path: Path, seed: int, split: str, stories: int | None, count: int, _version: tuple[int, int] | None
) -> list[str]:
    return shard_digests((f"{split}-{key}" for key in read_file(path, seed, split, stories).stories), count)
