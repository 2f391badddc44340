"""The 5-gram: which unit follows the four before."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.scorers import BaselineSettings, Material

if TYPE_CHECKING:
    from slamflow.scorers.ngram import KneserNey


class FiveGramBaseline(BaselineSettings):
    """Which unit follows the four before."""

    about: ClassVar[str] = "the four units before"
    needs_training_units: ClassVar[bool] = True
    baseline: Literal["5gram"] = "5gram"
    """Which unit follows the four before."""


READS = "units"


def fit(material: Material) -> KneserNey:
    """A 5-gram with modified Kneser-Ney smoothing."""
    from slamflow.scorers.ngram import KneserNey

    return KneserNey(5, material.units).fit(material.train)
