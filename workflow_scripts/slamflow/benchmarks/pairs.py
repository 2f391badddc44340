"""From the records of a split and the units of its utterances to the items of a benchmark, whatever its kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slamflow import files
from slamflow.benchmarks import BENCHMARKS
from slamflow.errors import InputError
from slamflow.shards.items import Item, Units, unit_arrays
from slamflow.shards.units import read_batches

Record = dict[str, Any]
"""A story, or a minimal pair."""
PUBLISHED_KEYS = ("id", "good", "bad", "cluster")


@dataclass(frozen=True)
class Spoken:
    """One utterance."""

    speaker: str | None
    units: Units


def read_records(paths: Iterable[Path], keys: Iterable[str]) -> list[Record]:
    """Stories, or pairs, of several JSONL files.

    Raises InputError for a record without one of the `keys` as a string, or for an id that comes twice.
    """
    records: dict[str, Record] = {}
    for path in paths:
        for number, record in enumerate(files.read_jsonl(path), start=1):
            for key in keys:
                if not isinstance(record.get(key), str):
                    raise InputError(f"{path}, record {number}: needs a string {key!r}")
            if record["id"] in records:
                raise InputError(f"{path}, record {number}: the id {record['id']} comes twice")
            records[record["id"]] = record
    return list(records.values())


def read_spoken(paths: Iterable[Path]) -> dict[str, Spoken]:
    """Utterances of several unit shards by id. Raises InputError if a file is not a unit shard."""
    spoken: dict[str, Spoken] = {}
    for path in paths:
        for batch in read_batches(path, ("id", "speaker", "units"), 1000):
            columns = batch["id"].to_pylist(), batch["speaker"].to_pylist(), unit_arrays(batch["units"])
            spoken.update((name, Spoken(speaker, units)) for name, speaker, units in zip(*columns, strict=True))
    return spoken


def needed_keys(kind: str, published: bool) -> tuple[str, ...]:
    """What every record must have as a string. Raises InputError for an unknown kind."""
    keys: tuple[str, ...] = PUBLISHED_KEYS if published else BENCHMARKS.module(kind).KEYS
    return keys


def build(
    kind: str, records: list[Record], spoken: dict[str, Spoken], seed: int, published: bool = False
) -> tuple[list[Item], dict[str, int]]:
    """The items of a benchmark of this kind, sorted by id, and why other records were left out.

    Pairs that were published as speech are taken as they are. Raises InputError if nothing is left.
    """
    if published:
        items, left_out = whole_pairs(records, spoken)
    else:
        items, left_out = BENCHMARKS.module(kind).build(records, spoken, seed)
    if not items:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "there are none"
        raise InputError(f"{kind}: none of {len(records)} stories or pairs can be used ({reasons})")
    return items, {reason: count for reason, count in sorted(left_out.items()) if count}


def whole_pairs(records: list[Record], spoken: dict[str, Spoken]) -> tuple[list[Item], dict[str, int]]:
    """Minimal pairs: two whole utterances. Returns the items, sorted by id, and why others were left out."""
    items = []
    left_out: Counter[str] = Counter()
    for record in records:
        good, bad = (spoken.get(f"{record['id']}.{side}") for side in ("good", "bad"))
        if good is None or bad is None:
            left_out["not_spoken"] += 1
        else:
            items.append(Item(record["id"], record.get("phenomenon"), record["cluster"], good.units, bad.units))
    return sorted(items, key=lambda item: item.id), dict(left_out)
