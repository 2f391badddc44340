"""Topic StoryCloze: a story's ending against that of another story in the same voice.

After Mostafazadeh et al. 2016 (arXiv:1604.01696), StoryCloze, and Hassid et al. 2023 (arXiv:2305.13009), tStoryCloze.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.benchmarks import BenchmarkSettings

if TYPE_CHECKING:
    from slamflow.benchmarks.pairs import Record, Spoken
    from slamflow.shards.items import Item

KEYS = ("id", "prompt", "ending")


class TStoryCloze(BenchmarkSettings):
    """The story's ending against the ending of another story in the same voice."""

    question: ClassVar[str] = (
        "Which of two endings belongs to the story? The wrong one ends another story, in the same voice."
    )
    built_from: ClassVar[Literal["stories", "pairs"]] = "stories"
    kind: Literal["tstorycloze"]
    """The story's ending against the ending of another story in the same voice."""


def build(records: list[Record], spoken: dict[str, Spoken], seed: int) -> tuple[list[Item], dict[str, int]]:
    """Stories whose partners exchange their endings; see `other_endings`."""
    from slamflow.benchmarks.story_pairs import other_endings

    return other_endings(records, spoken, seed)
