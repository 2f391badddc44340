"""sWUGGY: a word against a pseudo-word that sounds like one.

After Nguyen et al. 2020 (arXiv:2011.11588), ZeroSpeech 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.benchmarks import BenchmarkSettings
from slamflow.sharding import stable_hash

if TYPE_CHECKING:
    from slamflow.benchmarks.pairs import Record, Spoken
    from slamflow.shards.items import Item

KEYS = ("id", "good", "bad", "cluster")


class SWuggy(BenchmarkSettings):
    """A word against a pseudo-word."""

    question: ClassVar[str] = "Which of two is a word? The other is a pseudo-word that sounds like one."
    built_from: ClassVar[Literal["stories", "pairs"]] = "pairs"
    kind: Literal["swuggy"]
    """A word against a pseudo-word."""


def build(records: list[Record], spoken: dict[str, Spoken], seed: int) -> tuple[list[Item], dict[str, int]]:
    """Pairs that are balanced in length."""
    from slamflow.benchmarks.pairs import whole_pairs

    items, left_out = whole_pairs(records, spoken)
    balanced = balance_lengths(items, seed)
    left_out["length_tells"] = len(items) - len(balanced)
    return balanced, left_out


def balance_lengths(items: list[Item], seed: int) -> list[Item]:
    """Items in which the right sequence is the longer one as often as the shorter one; ties stay.

    The surplus is left out in the order of a hash of the ids. So length alone is right in half of the pairs, as in
    sWUGGY, whose pseudo-words were chosen so that simple statistics are at chance.
    """
    order = sorted(items, key=lambda item: stable_hash(f"{seed} {item.id}"))
    longer = [item for item in order if len(item.good) > len(item.bad)]
    shorter = [item for item in order if len(item.good) < len(item.bad)]
    fewest = min(len(longer), len(shorter))
    dropped = {item.id for item in (*longer[fewest:], *shorter[fewest:])}
    return [item for item in items if item.id not in dropped]
