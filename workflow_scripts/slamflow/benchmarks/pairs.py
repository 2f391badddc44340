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
from slamflow.tokenizers.sequences import join

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

    A record that was left out when it was written has its `left_out` in place of the keys. Raises InputError for a
    record without one of the `keys` as a string, or for an id that comes twice.
    """
    records: dict[str, Record] = {}
    for path in paths:
        for number, record in enumerate(files.read_jsonl(path), start=1):
            for key in ("id", "left_out") if "left_out" in record else keys:
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
    left_out: Counter[str] = Counter(record["left_out"] for record in records if "left_out" in record)
    usable = [record for record in records if "left_out" not in record]
    if published:
        items, reasons = whole_pairs(usable, spoken)
    else:
        items, reasons = BENCHMARKS.module(kind).build(usable, spoken, seed)
    left_out.update(reasons)
    if not items:
        why = ", ".join(f"{reason}: {count}" for reason, count in left_out.items() if count) or "there are none"
        raise InputError(f"{kind}: none of {len(records)} stories or pairs can be used ({why})")
    return items, {reason: count for reason, count in sorted(left_out.items()) if count}


def whole_pairs(records: list[Record], spoken: dict[str, Spoken]) -> tuple[list[Item], dict[str, int]]:
    """Minimal pairs: two whole utterances, or two endings of a prompt that was spoken apart.

    Returns the items, sorted by id, and why others were left out.
    """
    items = []
    left_out: Counter[str] = Counter()
    for record in records:
        sides = ("prompt", "good", "bad") if "prompt" in record else ("good", "bad")
        parts = [spoken[name].units for name in (f"{record['id']}.{side}" for side in sides) if name in spoken]
        if len(parts) != len(sides):
            left_out["not_spoken"] += 1
            continue
        good, bad = parts if len(parts) == 2 else (join(parts[0], part) for part in parts[1:])
        items.append(Item(record["id"], record.get("phenomenon"), record["cluster"], good, bad))
    return sorted(items, key=lambda item: item.id), dict(left_out)
