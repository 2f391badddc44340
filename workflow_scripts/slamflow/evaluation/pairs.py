"""The pairs of each kind of benchmark."""

from __future__ import annotations

from collections import Counter

from slamflow.errors import InputError
from slamflow.evaluation.items import Item
from slamflow.evaluation.story_pairs import STORY_KEYS, Spoken, Story, other_endings, wrong_details
from slamflow.settings.evaluation import BenchmarkKind
from slamflow.sharding import stable_hash

PUBLISHED_KEYS = ("id", "good", "bad", "cluster")
NEEDED_KEYS: dict[BenchmarkKind, tuple[str, ...]] = {
    "tstorycloze": STORY_KEYS,
    "sstorycloze": STORY_KEYS,
    "sblimp": ("id", "good", "bad", "cluster", "phenomenon"),
    "swuggy": ("id", "good", "bad", "cluster"),
}


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
