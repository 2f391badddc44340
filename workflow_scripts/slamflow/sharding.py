"""Items go to shards by a hash of their id, so that a new item changes one shard only."""

from __future__ import annotations

import hashlib
import re

SHARD_PATTERN = r"\d{4}-of-\d{4}"


def stable_hash(text: str) -> int:
    """64-bit hash of `text` that is the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def shard_names(count: int) -> list[str]:
    """Names of `count` shards: 0000-of-0004, 0001-of-0004, ..."""
    return [f"{index:04d}-of-{count:04d}" for index in range(count)]


def shard_of(item_id: str, count: int) -> int:
    """Index of the shard, in [0, count), that an item belongs to."""
    return stable_hash(item_id) % count


def in_share(item_id: str, low: int, high: int) -> bool:
    """Whether the hash of an id, in percent, is in [low, high). It is not the hash that says the shard."""
    return (low, high) == (0, 100) or low <= stable_hash(f"share of {item_id}") % 100 < high


def parse_shard(name: str) -> tuple[int, int]:
    """Index and count of a shard name. Raises ValueError for anything else."""
    if not re.fullmatch(SHARD_PATTERN, name):
        raise ValueError(f"not a shard name: {name!r}")
    index, count = name.split("-of-")
    return int(index), int(count)
