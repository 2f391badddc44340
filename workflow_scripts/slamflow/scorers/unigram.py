"""The unigram: how often units occur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.scorers import BaselineSettings

if TYPE_CHECKING:
    from slamflow.scorers.ngram import KneserNey
    from slamflow.shards.items import Units


class UnigramBaseline(BaselineSettings):
    """How often units occur."""

    about: ClassVar[str] = "how often units occur"
    needs_training_units: ClassVar[bool] = True
    baseline: Literal["unigram"] = "unigram"
    """How often units occur."""


def fit(train: Sequence[Units], units: int) -> KneserNey:
    """The smoothed frequencies of units."""
    from slamflow.scorers.ngram import KneserNey

    return KneserNey(1, units).fit(train)
