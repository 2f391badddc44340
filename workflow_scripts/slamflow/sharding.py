"""Items go to shards by a hash of their id, so that a new item changes one shard only."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

# Four digits or more: Snakemake reads no {4,} in a constraint.
SHARD_PATTERN = r"\d{3}\d+-of-\d{3}\d+"


def stable_hash(text: str) -> int:
    """64-bit hash of `text` that is the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def shard_name(index: int, count: int) -> str:
    """Name of one of `count` shards: 0003-of-0024, and 00003-of-20000 where four digits do not suffice."""
    digits = max(4, len(str(count)))
    return f"{index:0{digits}d}-of-{count:0{digits}d}"


def shard_names(count: int) -> list[str]:
    """Names of `count` shards: 0000-of-0004, 0001-of-0004, ... Sorted, they are in this order."""
    return [shard_name(index, count) for index in range(count)]


def shard_paths(path: str) -> list[Path]:
    """The paths of all shards that `folder/????-of-0024.parquet` stands for, in their order; another path alone."""
    place = Path(path)
    name, _, suffix = place.name.partition(".")
    marks, joined, count = name.partition("-of-")
    if not (joined and count.isdecimal() and marks == "?" * len(count)):
        return [place]
    return [place.with_name(f"{shard}.{suffix}") for shard in shard_names(int(count))]


def shard_of(item_id: str, count: int) -> int:
    """Index of the shard, in [0, count), that an item belongs to."""
    return stable_hash(item_id) % count


def in_share(item_id: str, low: int, high: int) -> bool:
    """Whether the hash of an id, in percent, is in [low, high). It is not the hash that says the shard."""
    return (low, high) == (0, 100) or low <= stable_hash(f"share of {item_id}") % 100 < high


def parse_shard(name: str) -> tuple[int, int]:
    """Index and count of a shard name. Raises ValueError for anything else."""
    if re.fullmatch(SHARD_PATTERN, name):
        index, count = map(int, name.split("-of-"))
        if name == shard_name(index, count):
            return index, count
    raise ValueError(f"not a shard name: {name!r}")
