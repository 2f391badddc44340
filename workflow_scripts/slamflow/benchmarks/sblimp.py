"""sBLIMP: a grammatical sentence against an ungrammatical one.

After Warstadt et al. 2020 (arXiv:1912.00582), BLiMP, and Nguyen et al. 2020 (arXiv:2011.11588), ZeroSpeech 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.benchmarks import BenchmarkSettings

if TYPE_CHECKING:
    from slamflow.benchmarks.pairs import Record, Spoken
    from slamflow.shards.items import Item

KEYS = ("id", "good", "bad", "cluster", "phenomenon")


class SBlimp(BenchmarkSettings):
    """A grammatical sentence against an ungrammatical one."""

    question: ClassVar[str] = "Which of two sentences is grammatical? They differ in one place."
    built_from: ClassVar[Literal["stories", "pairs"]] = "pairs"
    kind: Literal["sblimp"]
    """A grammatical sentence against an ungrammatical one."""


def build(records: list[Record], spoken: dict[str, Spoken], seed: int) -> tuple[list[Item], dict[str, int]]:  # noqa: ARG001
    """The pairs as they are; nothing is drawn."""
    from slamflow.benchmarks.pairs import whole_pairs

    return whole_pairs(records, spoken)
