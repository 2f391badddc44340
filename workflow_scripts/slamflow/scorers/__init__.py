"""Scorers: what tells how likely sequences are. The baselines among them are kinds: each is a module.

A scorer of units is a model (slamflow.scorers.language_model) or a baseline; a scorer of texts is in
slamflow.generation.gen_ppl. A baseline's module has a settings class and one function:

    fit(train, units) -> Scorer

`train` are the sequences of units that the scored models are trained on (none if the settings' needs_training_units is
False), `units` how many different units there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from slamflow.kinds import Family
from slamflow.recipe.base import Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Scored = TypeVar("Scored", contravariant=True)


class Scorer(Protocol[Scored]):
    """Tells how likely sequences are: arrays of units, or texts."""

    def nll(self, sequences: Sequence[Scored]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Negative log-likelihoods in nats and the tokens that they are sums over, each [sequences].

        Of units, the tokens are the units and EOS; BOS is given.
        """
        ...


def mean_per_token(sums: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Mean negative log-likelihood per token, in nats, of each sequence: what all scores are made of."""
    return sums / counts


def mean_nll(scorer: Scorer[Scored], sequences: Sequence[Scored]) -> npt.NDArray[np.float64]:
    """What `mean_per_token` makes of a scorer's likelihoods."""
    return mean_per_token(*scorer.nll(sequences))


class BaselineSettings(Settings):
    """A baseline: what it gets right needs no neural network."""

    about: ClassVar[str]
    """What it looks at, in a few words for the page."""
    needs_training_units: ClassVar[bool]
    """Whether it is fitted on units."""
    baseline: str
    """Its name."""


BASELINES = Family(
    "scorers",
    {
        "unigram": "slamflow.scorers.unigram:UnigramBaseline",
        "5gram": "slamflow.scorers.five_gram:FiveGramBaseline",
        "length": "slamflow.scorers.length:LengthBaseline",
    },
    key="baseline",
)
