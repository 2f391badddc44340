"""GPUs of one machine for several jobs at a time: each holds the lock of those that it computes on.

Snakemake limits how many GPUs its jobs hold together (`--resources gpu=8`), but does not say which, and knows nothing
of another Snakemake beside it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from slamflow.errors import InputError

log = logging.getLogger("slamflow")


def gpus_here() -> list[str]:
    """UUIDs of this machine's GPUs, or of their parts if they are divided (MIG), as nvidia-smi lists them.

    None where there is no nvidia-smi, or no driver that it can ask.
    """
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return []
    found: list[list[str]] = []
    for uuid in re.findall(r"\(UUID: ([^)]+)\)", listed):
        if uuid.startswith("MIG-") and found:
            found[-1].append(uuid)
        else:
            found.append([uuid])
    # A divided GPU is used by its parts only.
    return [uuid for gpu, *parts in found for uuid in parts or [gpu]]


def hold(count: int, gpus: Sequence[str], folder: Path, look_again_seconds: float = 0.5) -> list[str]:
    """Wait until `count` of `gpus` are free, and hold them until this process ends, also as another program (exec).

    Locks are files in `folder`. All are taken at once or none, so two jobs never wait for each other; who waits first
    is served first. Raises InputError if there are fewer.
    """
    if count > len(gpus):
        raise InputError(
            f"the job asks for {count} GPUs, but this machine has {len(gpus)}; ask for fewer, for example with "
            f"--set-resources <rule>:gpu={len(gpus)}"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "queue", "w") as queue:
        if not _locked(queue.fileno()):
            log.info("waiting for GPUs: another job waits before this one")
            fcntl.flock(queue, fcntl.LOCK_EX)
        said = False
        while len(held := _take(count, gpus, folder)) < count:
            for descriptor in held.values():
                os.close(descriptor)
            if not said:
                log.info("waiting for %d of %d GPUs: other jobs hold them", count, len(gpus))
                said = True
            time.sleep(look_again_seconds)
    for descriptor in held.values():
        os.set_inheritable(descriptor, True)
    return list(held)


def _take(count: int, gpus: Sequence[str], folder: Path) -> dict[str, int]:
    """Lock up to `count` GPUs that are free: their open lock files."""
    held: dict[str, int] = {}
    for gpu in gpus:
        if len(held) == count:
            break
        descriptor = os.open(folder / gpu, os.O_RDWR | os.O_CREAT, 0o600)
        if _locked(descriptor):
            held[gpu] = descriptor
        else:
            os.close(descriptor)
    return held


def _locked(descriptor: int) -> bool:
    """Lock an open file, if nobody else holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
