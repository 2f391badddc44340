"""Resumable training state: saves that are whole or absent, a lock, and a fingerprint of what is trained.

A state folder holds `lock`, perhaps a clock, at most one `step-<n>` (a few moments two) and the log of the metrics so
far. A save is written beside under another name, synced and renamed, so one that was cut short is never taken for a
good one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from slamflow import files
from slamflow.errors import InputError

log = logging.getLogger("slamflow")
RECORD = "state.json"
CLOCK = "clock.json"
"""What a training with a fixed time budget has spent; see slamflow.lm.pace.Clock."""


@contextlib.contextmanager
def locked(folder: Path, wait_seconds: float = 60.0) -> Iterator[None]:
    """Hold the folder's lock, which the system gives back when its holder dies, however it dies.

    Another trainer may be writing its last save: waits up to `wait_seconds` for it, then raises InputError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+") as handle:
        deadline = time.monotonic() + wait_seconds
        said = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                handle.seek(0)
                holder = handle.read().strip() or "unknown"
                if time.monotonic() >= deadline:
                    raise InputError(
                        f"{folder}: another training (process {holder}) holds this state; wait for it or stop it"
                    ) from None
                if not said:
                    log.info("waiting for process %s to leave %s", holder, folder)
                    said = True
                time.sleep(0.2)
        handle.truncate(0)
        handle.write(f"{os.getpid()} on {os.uname().nodename}\n")
        handle.flush()
        yield


def saves(folder: Path) -> list[tuple[int, Path]]:
    """The complete saves as (step, folder), newest first."""
    found = []
    for path in folder.glob("step-*"):
        number = path.name.removeprefix("step-")
        if number.isdigit() and (path / RECORD).is_file():
            found.append((int(number), path))
    return sorted(found, reverse=True)


def latest(folder: Path, fingerprint: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """The newest save of the same training and its record; None if there is none.

    A save of another training stays until the first new one; what has changed goes to the log.
    """
    for step, path in saves(folder):
        try:
            record = json.loads((path / RECORD).read_text(encoding="utf-8"))
            saved = record["fingerprint"]
        except (OSError, ValueError, KeyError):
            log.warning("%s cannot be read and is left aside", path)
            continue
        if saved == fingerprint:
            return path, record
        changed = sorted(key for key in {*saved, *fingerprint} if saved.get(key) != fingerprint.get(key))
        log.info("the saved step %d is of another training (changed: %s); not used", step, ", ".join(changed))
    return None


def save(
    folder: Path,
    step: int,
    record: dict[str, Any],
    write: Callable[[Path], None],
    main: bool = True,
    barrier: Callable[[], None] = lambda: None,
) -> None:
    """Save a step: `write` fills a new folder, `record` goes beside it, then older saves are removed.

    `record` must be JSON and hold `fingerprint`. All ranks call this and all run `write`; the `main` one does the rest.
    """
    temporary = folder / f".step-{step}.part"
    if main:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    barrier()
    write(temporary)
    barrier()
    if not main:
        return
    files.write_json(temporary / RECORD, record)
    for path in sorted(temporary.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    target = folder / f"step-{step}"
    if target.exists():  # of another training, or one that could not be read
        shutil.rmtree(target)
    temporary.rename(target)
    files.fsync_directory(folder)
    for _, path in saves(folder):
        if path != target:
            shutil.rmtree(path, ignore_errors=True)


def clear(folder: Path) -> None:
    """Remove the saves and the clock; the lock and the logs stay."""
    (folder / CLOCK).unlink(missing_ok=True)
    for path in [*folder.glob("step-*"), *folder.glob(".step-*.part")]:
        shutil.rmtree(path, ignore_errors=True)
