"""Names as patterns: for Snakemake's wildcards, and for the shell."""

from __future__ import annotations

import re
import shlex
from typing import Any

from slamflow.sharding import SHARD_PATTERN


def one_of(names: Any) -> str:
    """A wildcard constraint that admits these names only."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def one_of_splits(references: list[str]) -> str:
    """A constraint for the wildcard {corpus} of a path with {corpus}/{split}/ that admits these corpus/split only."""
    return rf"(?=(?:{one_of(references)})/)[^/]+" if references else "(?!)"


def shell_patterns(files: list[str]) -> str:
    """Shards as the patterns that commands know, such as `folder/????-of-0024.parquet`; other files by their names."""
    patterns = []
    for file in map(str, files):
        folder, _, name = file.rpartition("/")
        index, joined, rest = name.partition("-of-")
        if joined and re.fullmatch(SHARD_PATTERN, name.partition(".")[0]):
            name = f"{'?' * len(index)}{joined}{rest}"
        patterns.append(f"{folder}/{name}" if folder else name)
    return shlex.join(dict.fromkeys(patterns))
