"""The tensors of a training state: whole ones in float32, whatever ZeRO stage and however many ranks wrote them.

So a training goes on with another stage or number of ranks. The file is safetensors, with `weight.<name>` and the
moments of the optimizer, `exp_avg.<name>` and so on, of each parameter. Tensors are gathered, written and read one at a
time.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedModel

from slamflow.lm.devices import Machine, Ranks
from slamflow.lm.engine import link_moments, moment_names, prepare_moments, set_moments, whole_moment, whole_weight

TENSORS = "state.safetensors"
WEIGHT = "weight"


class _Writer:
    """A safetensors file of float32 tensors that are given one after the other.

    The format (huggingface.co/docs/safetensors): the length of the header in 8 bytes, little endian; the header, JSON
    with dtype, shape and place of each tensor; the tensors' bytes. safetensors' own writer wants all tensors at once.
    """

    def __init__(self, path: Path, shapes: dict[str, torch.Size]) -> None:
        header, end = {}, 0
        for name, shape in shapes.items():
            begin, end = end, end + 4 * shape.numel()
            header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._file = open(path, "wb")  # noqa: SIM115
        self._file.write(len(text).to_bytes(8, "little") + text)

    def write(self, tensor: Tensor) -> None:
        """Write the next tensor."""
        self._file.write(tensor.to("cpu", torch.float32).contiguous().numpy().data)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()


def store(engine: Any, machine: Machine, ranks: Ranks, folder: Path) -> None:
    """Write weights and moments. All ranks call it; the main one writes."""
    if machine.zero_stage == 0 and not ranks.main:
        return
    link_moments(engine, machine)
    parts = [
        (name, parameter, kept)
        for name, parameter in engine.module.named_parameters()
        for kept in (WEIGHT, *moment_names(engine, machine, parameter))
    ]
    shapes = {f"{kept}.{name}": getattr(parameter, "ds_shape", parameter.shape) for name, parameter, kept in parts}
    with _Writer(folder / TENSORS, shapes) if ranks.main else nullcontext() as writer:
        for _, parameter, kept in parts:
            whole = (
                whole_weight(parameter, machine) if kept == WEIGHT else whole_moment(engine, machine, parameter, kept)
            )
            if writer is not None:
                writer.write(whole)


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Read the weights that `store` wrote into a model that has no engine yet."""
    with safe_open(folder / TENSORS, "pt") as file, torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(file.get_tensor(f"{WEIGHT}.{name}"))


def load_moments(engine: Any, machine: Machine, folder: Path, step: int) -> None:
    """Have the optimizer go on with the moments that `store` wrote after `step` steps. All ranks call it."""
    with safe_open(folder / TENSORS, "pt") as file:
        kept: dict[str, list[str]] = {}
        for key in file.keys():  # noqa: SIM118
            moment, _, name = key.partition(".")
            if moment != WEIGHT:
                kept.setdefault(name, []).append(moment)
        if kept:
            prepare_moments(engine, machine, step)
        for name, parameter in engine.module.named_parameters():
            if name in kept:
                moments = {moment: file.get_tensor(f"{moment}.{name}") for moment in kept[name]}
                set_moments(engine, machine, parameter, step, moments)


def whole_state_dict(engine: Any, machine: Machine, ranks: Ranks) -> dict[str, Tensor]:
    """The model's weights and buffers by name, whole and on the CPU, for the main rank. All ranks call it.

    A tensor with several names has the first of them only.
    """
    model = engine.module
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    result = {name: buffer.cpu() for name, buffer in model.state_dict().items() if name not in names}
    for name, parameter in model.named_parameters():
        whole = whole_weight(parameter, machine)
        if ranks.main:
            result[name] = whole.cpu()
    return result
