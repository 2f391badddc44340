"""The unigram: how often units occur."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.scorers import BaselineSettings, Material

if TYPE_CHECKING:
    from slamflow.scorers.ngram import KneserNey


class UnigramBaseline(BaselineSettings):
    """How often units occur."""

    about: ClassVar[str] = "how often units occur"
    is_trivial: ClassVar[bool] = True
    needs_training_units: ClassVar[bool] = True
    baseline: Literal["unigram"] = "unigram"
    """How often units occur."""


READS = "units"


def fit(material: Material) -> KneserNey:
    """The smoothed frequencies of units."""
    from slamflow.scorers.ngram import KneserNey

    return KneserNey(1, material.units).fit(material.train)
