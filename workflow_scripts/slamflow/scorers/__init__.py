"""Scorers: negative log-likelihoods of sequences. The baselines among them are kinds: each is a module.

A scorer of units is a model (slamflow.scorers.language_model) or a baseline; the scorer of texts is in
slamflow.generation.gen_ppl. A baseline's module has a settings class and

    READS                    what its scorer takes: "units", "text", or "levels" of the utterances of a sequence
    fit(material) -> Scorer

Baselines audit a benchmark: where a trivial one is above chance, accuracy is no evidence of a language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from slamflow.kinds import Family
from slamflow.recipe.base import Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Scored = TypeVar("Scored", contravariant=True)


class Scorer(Protocol[Scored]):
    """Gives negative log-likelihoods of sequences: arrays of units, texts, or what else it reads."""

    def nll(self, sequences: Sequence[Scored]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Negative log-likelihoods in nats and the tokens that they are sums over, each [sequences].

        Of units, the tokens are those of the document that are not given: in most vocabularies the units and EOS.
        """
        ...


def mean_per_token(sums: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Mean negative log-likelihood per token, in nats, of each sequence: the figure that pairs are compared by."""
    return sums / counts


def mean_nll(scorer: Scorer[Scored], sequences: Sequence[Scored]) -> npt.NDArray[np.float64]:
    """`mean_per_token` of a scorer's likelihoods: float64 [sequences]."""
    return mean_per_token(*scorer.nll(sequences))


@dataclass(frozen=True)
class Material:
    """What baselines are fitted on."""

    train: Sequence[npt.NDArray[np.integer]] = ()
    """Sequences of units that the scored models are trained on; none where no baseline is fitted on units."""
    units: int = 0
    """How many different units there are."""
    text_model: Path | None = None
    """The folder of the text model, where the recipe has one."""


class BaselineSettings(Settings):
    """A row beside the models: what it gets right needs no language model of speech."""

    about: ClassVar[str]
    """What it looks at, in a few words for the page."""
    is_trivial: ClassVar[bool] = False
    """Whether a benchmark that it solves does not measure language: it sees neither the order of units nor words."""
    needs_training_units: ClassVar[bool] = False
    """Whether it is fitted on units."""
    needs_speech: ClassVar[bool] = False
    """Whether it reads the speech of the pairs."""
    needs_text_model: ClassVar[bool] = False
    """Whether it reads the texts of the pairs, with the recipe's text model."""
    baseline: str
    """Its name."""


BASELINES = Family(
    "scorers",
    {
        "unigram": "slamflow.scorers.unigram:UnigramBaseline",
        "5gram": "slamflow.scorers.five_gram:FiveGramBaseline",
        "length": "slamflow.scorers.length:LengthBaseline",
        "loudness": "slamflow.scorers.loudness:LoudnessBaseline",
        "text_model": "slamflow.scorers.text_model:TextModelBaseline",
    },
    key="baseline",
)
