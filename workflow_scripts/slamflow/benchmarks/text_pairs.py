"""Pairs of texts of the user's, spoken: BLiMP, HellaSwag, or a table, through the text-to-speech stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.benchmarks import BenchmarkSettings

if TYPE_CHECKING:
    from slamflow.benchmarks.pairs import Record, Spoken
    from slamflow.shards.items import Item

KEYS = ("id", "good", "bad", "cluster")


class TextPairs(BenchmarkSettings):
    """The right text of a pair against the wrong one."""

    question: ClassVar[str] = "Which of two texts is the right one? They come from a file of pairs."
    built_from: ClassVar[Literal["stories", "pairs"]] = "pairs"
    kind: Literal["text_pairs"]
    """The right text of a pair against the wrong one, from a file of pairs."""


def build(records: list[Record], spoken: dict[str, Spoken], seed: int) -> tuple[list[Item], dict[str, int]]:  # noqa: ARG001
    """The pairs as they are; nothing is drawn."""
    from slamflow.benchmarks.pairs import whole_pairs

    return whole_pairs(records, spoken)
