"""The GPUs that a job asked for: the options of its command, and what is wrong where torch sees fewer."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
import subprocess

from slamflow.errors import InputError

log = logging.getLogger("slamflow")
WAY_OUT = "To go on with the CPU: snakemake --resources gpu=0, or --allow-cpu where the command is called by hand"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `check` reads."""
    parser.add_argument("--gpus", type=int, default=0, help="how many GPUs there must be; 0: one is used if there is")
    parser.add_argument("--allow-cpu", action="store_true", help="go on with the CPU where they are missing")


def check(arguments: argparse.Namespace) -> None:
    """End a job that asked for GPUs and would compute for a day on the CPU instead.

    Raises InputError, which names the driver and the CUDA that torch was built for, if torch sees fewer than --gpus;
    with --allow-cpu it is a warning.
    """
    if not arguments.gpus:
        return
    import torch

    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if seen >= arguments.gpus:
        return
    message = f"the job asked for {count(arguments.gpus)} and torch sees {count(seen) if seen else 'none'}: {reason()}"
    if not arguments.allow_cpu:
        raise InputError(f"{message}. {WAY_OUT}")
    log.warning("%s. Going on without", message)


def count(gpus: int) -> str:
    return f"{gpus} GPU{'s' if gpus > 1 else ''}"


def reason() -> str:
    """Why torch may see no GPU, or fewer than there are."""
    import torch

    parts = []
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        parts.append(f"CUDA_VISIBLE_DEVICES is {hidden!r}")
    built = torch.version.cuda
    if built is None:
        parts.append(f"torch {torch.__version__} was built for the CPU alone: install one that was built for CUDA")
    else:
        parts.append(f"torch {torch.__version__} was built for CUDA {built}")
    newest = newest_cuda()
    if built and newest and newest[0] < int(built.partition(".")[0]):
        parts.append("which is too new for the driver: update that, or install a torch that was built for its CUDA")
    return "; ".join([*parts, driver()])


def driver() -> str:
    """The driver and the cards, in words."""
    newest = newest_cuda()
    query = ["nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"]
    shown = ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        shown = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False).stdout
    cards = "; ".join(line.strip() for line in shown.splitlines() if line.strip())
    if newest is None and not cards:
        return "there is no NVIDIA driver (neither libcuda.so.1 nor nvidia-smi)"
    takes = f"takes CUDA up to {'.'.join(map(str, newest))}" if newest else "has no libcuda.so.1"
    return f"the driver {takes}; nvidia-smi says: {cards or 'nothing'}"


def newest_cuda() -> tuple[int, int] | None:
    """The newest CUDA that the driver takes, as (major, minor); None without a driver."""
    version = ctypes.c_int()
    try:
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10
