"""What every kind of source shares: the failure of one source, secrets kept out of messages, locks, progress lines."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from slamflow.errors import InputError

log = logging.getLogger("slamflow")

MB = 1_000_000
PIECE = 1 << 20
SECRET_NAME = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|CREDENTIAL", re.IGNORECASE)


class SourceError(Exception):
    """One source failed; the next one is tried."""


class LoginError(SourceError):
    """A source wants a login, or refuses the one that it got."""


def scrub(text: str) -> str:
    """`text` without secrets: values of environment variables named like one, user names, passwords, queries of URLs.

    Queries go because signed addresses carry their signature there.
    """
    secrets = {value for name, value in os.environ.items() if SECRET_NAME.search(name) and len(value) >= 6}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    # In npm://name@version the @ follows a package's name.
    text = re.sub(r"\b(?!npm:)(\w+://)[^/@\s'\"]+@", r"\1***@", text)
    return re.sub(r"(https?://[^\s'\"?]*)\?[^\s'\")]*", r"\1?***", text)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` as a lock, so that two jobs do not download the same thing at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: another job is downloading this; waiting for it", path.stem)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def full_disk_is_named(path: Path) -> Iterator[None]:
    """Turn a full disk or an exhausted quota into an InputError that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(disk_is_full(path)) from None
        raise


def disk_is_full(path: Path) -> str:
    """The message for a full disk."""
    return f"{path}: no space left on the device (or over quota); free some space and run again"


def require_space(folder: Path, needed: int) -> None:
    """Raise InputError if the disk that holds `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {needed / MB:.1f} MB are needed and {free / MB:.1f} MB are free; free some space and run again"
        )


class ByteProgress:
    """Logs bytes, rate and time left at intervals."""

    def __init__(self, what: str, total: int | None, done: int = 0, every_seconds: float = 10.0) -> None:
        self.what, self.total, self.done, self.every_seconds = what, total, done, every_seconds
        self.begun_at = done
        self.started = self.last = time.monotonic()

    def add(self, count: int) -> None:
        """Count `count` bytes more."""
        self.done += count
        now = time.monotonic()
        if now - self.last >= self.every_seconds:
            self.last = now
            self.report(now)

    def report(self, now: float) -> None:
        """Write one line."""
        rate = (self.done - self.begun_at) / max(now - self.started, 1e-9)
        line = f"{self.what}: {self.done / MB:.1f} MB"
        if self.total:
            line += f" of {self.total / MB:.1f} MB"
        line += f", {rate / MB:.2f} MB/s"
        if self.total and rate > 0:
            line += f", {max(0, self.total - self.done) / rate:.0f} s left"
        log.info("%s", line)

    def over(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `pieces`, counting them."""
        for piece in pieces:
            yield piece
            self.add(len(piece))
