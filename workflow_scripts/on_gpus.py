"""Run a command on GPUs that no other job on this machine holds.

    python on_gpus.py --count N -- COMMAND ...

Sets  CUDA_VISIBLE_DEVICES to N of the machine's GPUs, and becomes the command, which holds them until it ends. Where
      the variable is set, by SLURM or by hand, it stays, and where there is no GPU nothing is set: then the command
      starts at once.
The locks lie in slamflow-gpus-<user id> of the folder for temporary files.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from slamflow import commands
from slamflow.device_slots import gpus_here, hold
from slamflow.errors import InputError

VARIABLE = "CUDA_VISIBLE_DEVICES"


def main(argv: list[str]) -> None:
    """Wait for GPUs, then become the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, required=True, help="how many GPUs the command computes on")
    parser.add_argument("command", nargs="+", help="the command and its arguments, behind --")
    arguments = parser.parse_args(argv)
    if VARIABLE not in os.environ and (gpus := gpus_here()):
        locks = Path(tempfile.gettempdir()) / f"slamflow-gpus-{os.getuid()}"
        os.environ[VARIABLE] = ",".join(hold(arguments.count, gpus, locks))
    try:
        os.execvp(arguments.command[0], arguments.command)
    except OSError as error:
        raise InputError(f"{arguments.command[0]}: {error.strerror}") from None


if __name__ == "__main__":
    commands.run(main)
