"""Pairs of a right and a wrong sequence of units, from stories whose parts were spoken apart or from minimal pairs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow import files
from slamflow.errors import InputError
from slamflow.settings.evaluation import BenchmarkKind
from slamflow.sharding import stable_hash
from slamflow.units.sequences import join

Units = npt.NDArray[np.uint16]
Story = dict[str, Any]

ITEM_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("phenomenon", pa.string()),
        ("cluster", pa.string()),
        ("good", pa.list_(pa.uint16())),
        ("bad", pa.list_(pa.uint16())),
    ]
)


class Item(NamedTuple):
    """One pair: the deduplicated units of two whole sequences."""

    id: str
    phenomenon: str | None
    cluster: str
    good: Units
    bad: Units


@dataclass(frozen=True)
class Spoken:
    """One utterance."""

    speaker: str | None
    units: Units


PUBLISHED_KEYS = ("id", "good", "bad", "cluster")
NEEDED_KEYS: dict[BenchmarkKind, tuple[str, ...]] = {
    "tstorycloze": ("id", "prompt", "ending"),
    "sstorycloze": ("id", "prompt", "ending"),
    "sblimp": ("id", "good", "bad", "cluster", "phenomenon"),
    "swuggy": ("id", "good", "bad", "cluster"),
}


def read_stories(paths: Iterable[Path], kind: BenchmarkKind, published: bool = False) -> list[Story]:
    """Stories, or pairs, of several JSONL files. `published`: pairs that were published as speech.

    Raises InputError without a key that a benchmark of this kind needs, or for an id that comes twice.
    """
    stories: dict[str, Story] = {}
    for path in paths:
        for number, story in enumerate(files.read_jsonl(path), start=1):
            for key in PUBLISHED_KEYS if published else NEEDED_KEYS[kind]:
                if not isinstance(story.get(key), str):
                    raise InputError(f"{path}, record {number}: needs a string {key!r}")
            if story["id"] in stories:
                raise InputError(f"{path}, record {number}: the story {story['id']} comes twice")
            stories[story["id"]] = story
    return list(stories.values())


def read_spoken(paths: Iterable[Path]) -> dict[str, Spoken]:
    """Utterances of several unit shards by id. Raises InputError if a file is not a unit shard."""
    spoken: dict[str, Spoken] = {}
    for path in paths:
        for row in read_columns(path, ["id", "speaker", "units"]).to_pylist():
            spoken[row["id"]] = Spoken(row["speaker"], np.array(row["units"], dtype=np.uint16))
    return spoken


def read_columns(path: Path, columns: list[str]) -> pa.Table:
    """Some columns of a Parquet file. Raises InputError if it is not one, or lacks a column."""
    try:
        table = pq.ParquetFile(path).read(columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error}); make it again") from None
    if missing := [name for name in columns if name not in table.column_names]:
        raise InputError(f"{path}: no column {missing[0]!r}")
    return table


def different_partners(stories: list[Story], seed: int) -> list[tuple[Story, Story]]:
    """Pair up stories such that two partners end in different words; each story is in one pair at most.

    As many pairs as can be: only where one ending is that of more than half the stories, or their number is odd,
    some stay alone. The order, and so the choice, depends on the ids and the seed only.
    """
    by_ending: dict[str, list[Story]] = defaultdict(list)
    for story in sorted(stories, key=lambda story: stable_hash(f"{seed}:{story['id']}")):
        by_ending[story["ending"]].append(story)
    count = len(stories)
    while by_ending and (count % 2 or max(map(len, by_ending.values())) > count // 2):
        largest = max(by_ending, key=lambda ending: len(by_ending[ending]))
        by_ending[largest].pop()
        if not by_ending[largest]:
            del by_ending[largest]
        count -= 1
    # Equal endings stand side by side, in runs of half the list at most: half a list apart, they differ.
    grouped = [story for group in by_ending.values() for story in group]
    return list(zip(grouped[: count // 2], grouped[count // 2 :], strict=True))


def other_endings(stories: list[Story], spoken: dict[str, Spoken], seed: int) -> tuple[list[Item], dict[str, int]]:
    """Topic cloze: the story's ending against that of another story in the same voice.

    Partners exchange their endings. So every ending is right once and wrong once, and what knows the endings only
    (their length, how usual their units are) is right in one of the two and wrong in the other. After Mostafazadeh
    et al. (2016), StoryCloze, and Hassid et al. (2023), tStoryCloze.

    Returns the items, sorted by id, and why other stories were left out.
    """
    by_voice: dict[str, list[Story]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    for story in stories:
        parts = [spoken.get(f"{story['id']}.{part}") for part in ("prompt", "ending")]
        if any(part is None for part in parts):
            left_out["not_spoken"] += 1
        else:
            by_voice[str(parts[1].speaker)].append(story)  # type: ignore[union-attr]
    items = []
    for voice in sorted(by_voice):
        partners = different_partners(by_voice[voice], seed)
        left_out["no_partner"] += len(by_voice[voice]) - 2 * len(partners)
        for pair in partners:
            cluster = "+".join(sorted(story["id"] for story in pair))
            for own, other in (pair, pair[::-1]):
                prompt = spoken[f"{own['id']}.prompt"].units
                good, bad = (join(prompt, spoken[f"{story['id']}.ending"].units) for story in (own, other))
                items.append(Item(own["id"], None, cluster, good, bad))
    return sorted(items), dict(left_out)


def wrong_details(stories: list[Story], spoken: dict[str, Spoken]) -> tuple[list[Item], dict[str, int]]:
    """Detail cloze: the story's ending against the same ending with one detail that contradicts the story.

    Returns the items, sorted by id, and why other stories were left out.
    """
    items = []
    left_out: Counter[str] = Counter()
    for story in stories:
        if story.get("wrong_detail") is None:
            left_out["no_wrong_detail"] += 1
            continue
        parts = [spoken.get(f"{story['id']}.{part}") for part in ("prompt", "ending", "wrong_detail")]
        if any(part is None for part in parts):
            left_out["not_spoken"] += 1
            continue
        prompt, good, bad = (part.units for part in parts if part is not None)
        items.append(Item(story["id"], None, story["id"], join(prompt, good), join(prompt, bad)))
    return sorted(items), dict(left_out)


def spoken_pairs(records: list[Story], spoken: dict[str, Spoken]) -> tuple[list[Item], dict[str, int]]:
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


def balance_lengths(items: list[Item], seed: int) -> list[Item]:
    """As many items in which the right sequence is the longer as in which it is the shorter; equal ones stay.

    What is too many is left out in the order of a hash of the ids. So length alone is right in half of the pairs, as
    in sWUGGY, whose pseudo-words were chosen so that simple statistics do not tell (Nguyen et al. 2020).
    """
    order = sorted(items, key=lambda item: stable_hash(f"{seed} {item.id}"))
    longer = [item for item in order if len(item.good) > len(item.bad)]
    shorter = [item for item in order if len(item.good) < len(item.bad)]
    fewest = min(len(longer), len(shorter))
    dropped = {item.id for item in (*longer[fewest:], *shorter[fewest:])}
    return [item for item in items if item.id not in dropped]


def build(
    kind: BenchmarkKind, stories: list[Story], spoken: dict[str, Spoken], seed: int, published: bool = False
) -> tuple[list[Item], dict[str, int]]:
    """The items of a benchmark of this kind, and why other stories were left out.

    Pairs that were published as speech are taken as they are. Raises InputError if nothing is left.
    """
    if published:
        items, left_out = spoken_pairs(stories, spoken)
    elif kind == "tstorycloze":
        items, left_out = other_endings(stories, spoken, seed)
    elif kind == "sstorycloze":
        items, left_out = wrong_details(stories, spoken)
    else:
        items, left_out = spoken_pairs(stories, spoken)
    if kind == "swuggy" and not published:
        balanced = balance_lengths(items, seed)
        left_out["length_tells"] = len(items) - len(balanced)
        items = balanced
    if not items:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "no stories were given"
        raise InputError(f"{kind}: none of {len(stories)} stories can be used ({reasons})")
    return items, {reason: count for reason, count in sorted(left_out.items()) if count}


def write_items(path: Path, items: list[Item]) -> None:
    """Write items as Parquet."""
    table = pa.Table.from_pylist([item._asdict() for item in items], schema=ITEM_SCHEMA)
    with files.atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_items(path: Path) -> list[Item]:
    """Read items. Raises InputError if the file holds none."""
    rows = read_columns(path, ITEM_SCHEMA.names).to_pylist()
    if not rows:
        raise InputError(f"{path}: no items; build the benchmark again")
    return [
        Item(
            row["id"],
            row["phenomenon"],
            row["cluster"],
            np.array(row["good"], dtype=np.uint16),
            np.array(row["bad"], dtype=np.uint16),
        )
        for row in rows
    ]
