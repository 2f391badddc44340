"""Whether this machine can compile models, found out by compiling, and how a model computes on it.

torch.compile writes kernels in Triton for a GPU and in C++ for a CPU. Triton builds the calls of its kernels with a C
compiler and Python.h, so a machine without them has none.
"""

from __future__ import annotations

import functools
import logging
import os
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedModel

from slamflow.errors import InputError
from slamflow.lm.attention import Attention, choose_attention

if TYPE_CHECKING:
    from slamflow.lm.devices import Machine

log = logging.getLogger("slamflow")
SAY = 300
"""So many characters of a compiler's error are shown."""


@dataclass(frozen=True)
class Way:
    """How a model computes."""

    attention: Attention
    compiled: bool

    @property
    def fixed_shapes(self) -> bool:
        """Whether a batch of another shape would be compiled anew."""
        return self.compiled or self.attention == "flex_attention"


def make_fast(model: PreTrainedModel, machine: Machine, device: torch.device, precision: str) -> Way:
    """Have `model` attend and compute as fast as this machine can, or as it was asked; returns how.

    By default it is compiled on a GPU. `documents` attention is never compiled, since each batch has blocks of its own
    shapes, and ZeRO 3 is not, because it collects weights in hooks between the layers. Raises InputError if what was
    asked for is not possible, and as `slamflow.lm.attention.use_attention` does.
    """
    problem = compiler_problem(device.type) if device.type == "cuda" or machine.compile else None
    if machine.compile and problem:
        raise InputError(f"--compile: nothing can be compiled here: {problem}")
    if machine.compile and machine.attention == "documents":
        raise InputError("--compile: documents attention has other shapes in each batch; take --attention sdpa")
    if machine.compile and machine.zero_stage == 3:
        raise InputError("--compile: ZeRO 3 collects weights in hooks, which are not compiled; take --no-compile")
    asked, left_out = machine.attention, problem
    if device.type == "cuda" and asked in (None, "flex_attention"):
        left_out = problem or flex_problem(model, device, precision)
        if left_out and asked:
            raise InputError(f"--attention flex_attention: {left_out}")
    if machine.compile and device.type != "cuda" and asked is None:
        asked = "sdpa"
    attention = choose_attention(model, asked, device, without_flex=bool(left_out))
    compiled = machine.compile
    if compiled is None:
        compiled = device.type == "cuda" and not problem and machine.zero_stage != 3
    if device.type == "cuda" and left_out:
        log.warning("attention is %s, and the model is %scompiled: %s", attention, "" if compiled else "not ", left_out)
    _keep_order_of_sums(compiled)
    if compiled:
        model.compile(dynamic=False)
    return Way(attention, compiled)


def _keep_order_of_sums(compiled: bool) -> None:
    """Have compiled kernels sum in one order, so that a resumed training ends with the same bits.

    Else they add to the gradients of embeddings in whatever order threads come (inductor's lowering of index_put_).
    Eager kernels of these models keep an order by themselves. What has no such kernel warns once.
    """
    torch.use_deterministic_algorithms(compiled, warn_only=True)
    # The rest of that mode, new memory full of NaN, only finds mistakes and takes time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@functools.cache
def compiler_problem(device: str) -> str | None:
    """Why nothing can be compiled for a kind of device; None if it can. A few seconds, once in a process."""
    if device == "cuda":
        if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
            return "there is no C compiler, which Triton needs (apt install gcc python3-dev)"
        if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
            return "there is no Python.h, which Triton needs (apt install gcc python3-dev)"
    try:
        torch.compile(_something, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # whatever a compiler or a library of a machine comes to
        return _short(error)
    return None


def _something(values: Tensor) -> Tensor:
    return values.sin() + 1


def flex_problem(model: PreTrainedModel, device: torch.device, precision: str) -> str | None:
    """Why flex_attention does not run forwards and backwards with heads like the model's; None if it does.

    Its kernels are compiled for a width, and on smaller cards may ask for more shared memory than there is.
    """
    heads = getattr(model.config, "num_attention_heads", None)
    if heads is None:
        return None
    width = getattr(model.config, "head_dim", None) or model.config.hidden_size // heads
    return _flex_problem(device, width, torch.bfloat16 if precision == "bf16" else torch.float32)


@functools.cache
def _flex_problem(device: torch.device, width: int, dtype: torch.dtype) -> str | None:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def causal(_row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return query >= key

    try:
        mask = create_block_mask(causal, 1, None, 256, 256, device=device)
        states = torch.ones(1, 2, 256, width, dtype=dtype, device=device, requires_grad=True)
        torch.compile(flex_attention, dynamic=False)(states, states, states, block_mask=mask).sum().backward()
    except Exception as error:  # as above
        return f"flex_attention does not run with heads of width {width} in {dtype}: {_short(error)}"
    return None


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:SAY]}"
