"""Detail StoryCloze: a story's ending against the same ending with one detail that contradicts the story.

After Mostafazadeh et al. 2016 (arXiv:1604.01696), StoryCloze, and Hassid et al. 2023 (arXiv:2305.13009), sStoryCloze.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.benchmarks import BenchmarkSettings

if TYPE_CHECKING:
    from slamflow.benchmarks.pairs import Record, Spoken
    from slamflow.shards.items import Item

KEYS = ("id", "prompt", "ending")


class SStoryCloze(BenchmarkSettings):
    """The story's ending against an ending with one wrong detail."""

    question: ClassVar[str] = (
        "Which of two endings belongs to the story? The wrong one differs in a detail that contradicts it."
    )
    built_from: ClassVar[Literal["stories", "pairs"]] = "stories"
    kind: Literal["sstorycloze"]
    """The story's ending against an ending with one wrong detail."""


def build(records: list[Record], spoken: dict[str, Spoken], seed: int) -> tuple[list[Item], dict[str, int]]:  # noqa: ARG001
    """Stories that have a `wrong_detail`; nothing is drawn."""
    from slamflow.benchmarks.story_pairs import wrong_details

    return wrong_details(records, spoken)
