"""The processes of a training and what they run on."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
import platform
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
import torch.distributed
import transformers

from slamflow import files
from slamflow.errors import InputError
from slamflow.lm.attention import Attention

log = logging.getLogger("slamflow")
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Machine:
    """What is machine-specific: results do not depend on it."""

    micro_batch_tokens: int = 8192
    """Positions that a device takes at once; more are accumulated."""
    threads: int = 2
    """Intra-op threads of a process on a CPU."""
    zero_stage: int = 0
    """DeepSpeed's ZeRO stage: 0 to 3."""
    attention: Attention | None = None
    """How documents are kept apart; None takes what is fastest on the device."""
    compile: bool | None = None
    """Whether the model is compiled (torch.compile); None: on a GPU, if it can be."""
    offload: bool = False
    """Whether the optimizer's state lies in the CPU's memory and the CPU computes its steps; with ZeRO 1 to 3."""


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that fill a Machine."""
    parser.add_argument(
        "--micro-batch-tokens",
        type=int,
        default=0,
        help=f"positions a device takes at once; 0: as --calibration says, or else {Machine.micro_batch_tokens}",
    )
    parser.add_argument("--threads", type=int, default=Machine.threads, help="threads of each process")
    parser.add_argument(
        "--zero-stage",
        type=int,
        choices=(-1, 0, 1, 2, 3),
        default=-1,
        help="DeepSpeed's ZeRO stage; -1: as --calibration says, or else 0 (with --offload 1: 2)",
    )
    parser.add_argument(
        "--offload",
        type=int,
        choices=(-1, 0, 1),
        default=-1,
        help="1: the optimizer's state in the CPU's memory; -1: as --calibration says, or else not",
    )
    parser.add_argument("--attention", choices=get_args(Attention), help="how documents of a row are kept apart")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="compile the model; as --calibration says, or else on a GPU",
    )
    parser.add_argument("--calibration", type=Path, help="what calibrate found for this device; need not exist")


def read_machine(arguments: argparse.Namespace, ranks: Ranks) -> Machine:
    """The Machine of parsed options; what they leave open is as the calibration says, if it is of this device.

    Raises InputError for an offload without ZeRO.
    """
    path = arguments.calibration
    found = files.read_json(path) if path is not None and path.is_file() else {}
    here = {"device": device_name(ranks.device), "ranks": ranks.count}
    if found and any(found.get(key) != value for key, value in here.items()):
        log.warning("%s is of %s (%d), not of this device; not used", path, found["device"], found["ranks"])
        found = {}
    asked_stage, asked_offload = arguments.zero_stage, arguments.offload
    if asked_stage == 0 and asked_offload == 1:
        raise InputError("--offload 1 needs ZeRO, but --zero-stage is 0; give 1, 2 or 3, or leave it out for 2")
    stage = asked_stage if asked_stage >= 0 else int(found.get("zero_stage", Machine.zero_stage))
    offload = bool(asked_offload if asked_offload >= 0 else found.get("offload", Machine.offload))
    if asked_stage == 0:
        offload = False
    elif offload and stage == 0:
        stage = 2
    return Machine(
        arguments.micro_batch_tokens or found.get("micro_batch_tokens", Machine.micro_batch_tokens),
        arguments.threads,
        stage,
        arguments.attention or found.get("attention"),
        arguments.compile if arguments.compile is not None else found.get("compile"),
        offload,
    )


@dataclass(frozen=True)
class Ranks:
    """This process among all of a training."""

    rank: int
    count: int
    device: torch.device

    @property
    def main(self) -> bool:
        return self.rank == 0

    def sum(self, *numbers: float) -> list[float]:
        """Sums over all ranks, in double precision."""
        if self.count == 1:
            return [float(number) for number in numbers]  # without waiting for the device
        total = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return [float(number) for number in total.tolist()]

    def largest(self, number: float) -> float:
        """The largest over all ranks."""
        if self.count == 1:
            return float(number)
        result = torch.tensor(number, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(result, torch.distributed.ReduceOp.MAX)
        return float(result)

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.count > 1:
            torch.distributed.barrier()


def start(threads: int) -> Ranks:
    """Join the training that torchrun launched, or be one of one process.

    Call it once in a process, before deepspeed is imported anywhere.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _die_with_parent()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    cuda = torch.cuda.is_available()
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    if "RANK" not in os.environ:
        os.environ.update(alone)
    if cuda:
        # Without it cuBLAS does not keep the order of its sums; it is read when CUDA starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    deepspeed.utils.logger.setLevel("WARNING")
    if not cuda:
        # On a CPU DeepSpeed would compile an operator for inference with g++ (half a minute, and a lock that a killed
        # build leaves behind for ever). Training never calls it: gloo does the work.
        deepspeed.ops.__compatible_ops__ = {}
    deepspeed.init_distributed(dist_backend="nccl" if cuda else "gloo", verbose=False)
    return Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), device)


def stop() -> None:
    """Leave the training; for the end of a process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _die_with_parent() -> None:
    """Have the kernel stop this process when torchrun dies, even by kill -9: an orphan would keep training
    unnoticed."""
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def device_name(device: torch.device) -> str:
    """The name of the device, as reports give it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    on = f"{threads} thread{'s' if threads > 1 else ''}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {on}"
    return f"{platform.machine()} CPU, {on}"
