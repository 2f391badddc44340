"""Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290) on pairs of endings of spoken prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from slamflow.lm.objectives import PairsModelSettings

if TYPE_CHECKING:
    from slamflow.lm.devices import Machine, Ranks
    from slamflow.lm.job_settings import TrainModel
    from slamflow.lm.objective import Inputs, Prepared


class DpoModel(PairsModelSettings):
    """A model that is trained to prefer the right ending of a pair to the wrong one. The defaults of `training:` do not
    apply to it."""

    # Forward, backward and the reference's forward, to forward and backward.
    flops_factor: ClassVar[float] = 8 / 6
    objective: Literal["dpo"]
    """Direct preference optimization."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """Strength of the penalty for moving away from the model that it starts from."""
    nll_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the right ending's mean negative log-likelihood per token, which is added to the loss of its pair and
    keeps that ending likely (Pang et al. 2024, arXiv:2404.19733, equation 1); 0 is plain DPO."""


def prepare(job: TrainModel, inputs: Inputs, machine: Machine, ranks: Ranks) -> Prepared:
    """The parent, its pairs, and the parent's own log-probabilities of them; see `prepare_on_pairs`."""
    from slamflow.lm.preference_loss import PreferChosen, prepare_on_pairs

    return prepare_on_pairs(job, inputs, machine, ranks, PreferChosen)
