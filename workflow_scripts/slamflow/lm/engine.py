"""DeepSpeed's engine around a model: its optimizer, its ZeRO stage, its arithmetic; and what it cut into parts, whole.

The ZeRO stages cut moments (1), gradients (2) and weights (3) into one part for each rank.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from slamflow.errors import InputError
from slamflow.lm.devices import Machine, Ranks
from slamflow.lm.objectives import TrainingSettings
from slamflow.lm.optimizers import make_optimizer

ADAM_MOMENTS = ("exp_avg", "exp_avg_sq")
"""Kept of each parameter under ZeRO, by torch's names."""


def make_engine(
    model: PreTrainedModel, settings: TrainingSettings, machine: Machine, ranks: Ranks, accumulate: int
) -> Any:
    """DeepSpeed's engine around `model` with the optimizer that `settings` name.

    Weights, gradients and moments are float32, and gradients are summed over the ranks in float32; with precision bf16
    the forward pass runs under autocast. With an offload the optimizer's weights and moments lie in the CPU's memory.

    Raises InputError for Muon with ZeRO.
    """
    import deepspeed

    if settings.optimizer == "muon" and machine.zero_stage:
        # ZeRO gives each rank a slice of all parameters in one row, of which Muon cannot see the matrices.
        raise InputError(
            f"optimizer: muon works with whole matrices, not with the parts of ZeRO stage {machine.zero_stage}; leave "
            "zero_stage and offload at 0, or take optimizer: adamw"
        )
    torch.nn.Module.to(model, ranks.device)
    model.train()
    zero: dict[str, Any] = {"stage": machine.zero_stage}
    if machine.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": accumulate,
        "zero_optimization": zero,
        # torch's fused AdamW is as fast on a CPU as DeepSpeed's, which would have to be compiled first.
        "zero_force_ds_cpu_optimizer": False,
        "torch_autocast": {
            "enabled": settings.precision == "bf16",
            "dtype": "bfloat16",
            # Else ZeRO would sum the gradients of Linear layers over the ranks in bf16 (deepspeed's torch_autocast.py).
            "lower_precision_safe_modules": [],
        },
        # Without ZeRO the loop clips, because DeepSpeed would not tell the norm.
        "gradient_clipping": settings.gradient_clip if machine.zero_stage else 0.0,
        "steps_per_print": 1 << 60,
    }
    engine, *_ = deepspeed.initialize(model=model, optimizer=make_optimizer(model, settings), config=config)
    return engine


def whole_weight(parameter: Tensor, machine: Machine) -> Tensor:
    """A parameter as one float32 tensor on the device. All ranks call it."""
    if machine.zero_stage < 3:
        return parameter.detach()  # each rank has all of it
    from deepspeed.utils import safe_get_full_fp32_param

    whole: Tensor = safe_get_full_fp32_param(parameter)
    return whole


def link_moments(engine: Any, machine: Machine) -> None:
    """Let `whole_moment` find the moments. Call it before; DeepSpeed does so when only its first group has moments."""
    if machine.zero_stage in (1, 2):
        from deepspeed.utils import lazy_init_hp_params_optimizer_state

        zero = engine.optimizer
        for parameters, part in zip(zero.bit16_groups, zero.single_partition_of_fp32_groups, strict=True):
            lazy_init_hp_params_optimizer_state(parameters, part, zero.optimizer.state)


def moment_names(engine: Any, machine: Machine, parameter: Tensor) -> list[str]:
    """What the optimizer keeps of a parameter, in tensors of its shape: nothing before the first step."""
    if machine.zero_stage == 0:
        state = engine.optimizer.state.get(parameter, {})
        return [key for key, value in state.items() if torch.is_tensor(value) and value.shape == parameter.shape]
    # A rank may have no part of this parameter, but has parts of others.
    zero = engine.optimizer
    return [name for name in ADAM_MOMENTS if any(name in state for state in zero.optimizer.state.values())]


def whole_moment(engine: Any, machine: Machine, parameter: Tensor, name: str) -> Tensor:
    """What the optimizer keeps of a parameter, as one float32 tensor on the device. All ranks call it."""
    if machine.zero_stage == 0:
        moment: Tensor = engine.optimizer.state[parameter][name]
        return moment
    from deepspeed.utils import safe_get_full_optimizer_state

    moment = safe_get_full_optimizer_state(parameter, name)
    return moment


def prepare_moments(engine: Any, machine: Machine, step: int) -> None:
    """Allocate this rank's parts of all moments after `step` steps: zeros, as the optimizer does in its first step."""
    if machine.zero_stage == 0:
        return
    zero = engine.optimizer
    parts = zero.fp32_partitioned_groups_flat if machine.zero_stage == 3 else zero.single_partition_of_fp32_groups
    for part in parts:
        moments = {name: torch.zeros_like(part, requires_grad=False) for name in ADAM_MOMENTS}
        zero.optimizer.state[part] = {"step": torch.tensor(float(step), device=part.device), **moments}
    link_moments(engine, machine)


def set_moments(engine: Any, machine: Machine, parameter: Tensor, step: int, moments: dict[str, Tensor]) -> None:
    """Have the optimizer continue with `moments` of a parameter, whole and by name; after `prepare_moments`."""
    if machine.zero_stage == 0:
        on_device = {name: moment.to(parameter.device) for name, moment in moments.items()}
        engine.optimizer.state[parameter] = {"step": torch.tensor(float(step), device=parameter.device), **on_device}
        return
    from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

    for name, moment in moments.items():
        if machine.zero_stage < 3:
            safe_set_full_optimizer_state(parameter, moment, name)
        else:
            safe_set_local_optimizer_state(parameter, _own_part(moment, parameter), name)


def _own_part(whole: Tensor, parameter: Any) -> Tensor:
    """This rank's part of a tensor, as ZeRO 3 cuts it: into equal ones, the last padded with zeros."""
    size, rank = parameter.ds_tensor.numel(), torch.distributed.get_rank()
    part = whole.flatten()[size * rank : size * (rank + 1)]
    return torch.nn.functional.pad(part, (0, size - part.numel()))
