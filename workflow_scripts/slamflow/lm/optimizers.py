"""Optimizers: AdamW, or Muon for the matrices inside the model and AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from slamflow.lm.objectives import TrainingSettings


def make_optimizer(model: PreTrainedModel, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer that `settings` name, with weight decay on matrices only."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if settings.optimizer == "muon":
        inner = inner_matrices(model)
        known = {id(parameter) for parameter in inner}
        others = [parameter for parameter in parameters if id(parameter) not in known]
        return MuonAndAdamW(inner, others, settings)
    return _adamw(parameters, settings)


def _adamw(parameters: list[nn.Parameter], settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), as one fused kernel."""
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, settings.learning_rate, (settings.betas[0], settings.betas[1]), fused=True)


def inner_matrices(model: PreTrainedModel) -> list[nn.Parameter]:
    """The matrices that map one hidden state to another: all but embeddings (of tokens or positions) and the output."""
    outer = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    output: Any = model.get_output_embeddings()
    if output is not None:
        outer.add(id(output.weight))
    return [p for p in model.parameters() if p.requires_grad and p.ndim == 2 and id(p) not in outer]


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) for some matrices, AdamW for all other parameters.

    Muon orthogonalizes the momentum (0.95, Nesterov) of a matrix. Its step is scaled by 0.2 sqrt(max(rows, columns)),
    so that it is as large as one of AdamW, whose learning rate and weight decay it takes (Liu et al. 2025,
    arXiv:2502.16982, section 2.2).
    """

    def __init__(self, matrices: list[nn.Parameter], others: list[nn.Parameter], settings: TrainingSettings) -> None:
        self.parts = (
            torch.optim.Muon(matrices, settings.learning_rate, settings.weight_decay, adjust_lr_fn="match_rms_adamw"),
            _adamw(others, settings),
        )
        # The groups are those of the parts: what changes their learning rate changes it there.
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        for part in self.parts:
            part.state = self.state

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of both."""
        assert closure is None
        for part in self.parts:
            part.step()
