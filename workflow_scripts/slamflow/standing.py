"""A command that stays: what it has loaded for one call serves the next.

A job a shard keeps a deleted shard from taking others along; but a process a shard would load torch, CUDA and a
network each time. So the first call starts the same command once more, to serve, and hands its arguments to it through
a socket. That process runs one call after another, sends back what it logs and the exit status, and ends
when no call came for a while. A call that finds none, or loses it, does the work itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from slamflow.errors import InputError
from slamflow.files import sha256_json

log = logging.getLogger("slamflow")
SERVE = "--serve"
START_SECONDS = 10.0
"""How long a call waits for the other process to listen, which it does before it loads anything."""
LONGEST_PLACE = 100
"""Bytes in the name of a socket; Linux takes 107."""


def has_gpu() -> bool:
    """Whether this process may see an NVIDIA GPU; asks no driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") != ""
    return visible and any(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia*"))


def place_of(command: Path) -> Path | None:
    """The socket of a command's process: for this user, device, working folder and state of the code alone.

    None if the folder for it cannot be had for this user alone, or its name is too long.
    """
    folder = Path(tempfile.gettempdir()) / f"slamflow-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
    try:
        about = folder.lstat()
    except OSError:
        return None
    if not folder.is_dir() or folder.is_symlink() or about.st_uid != os.getuid() or about.st_mode & 0o077:
        return None
    sources = [command, *(Path(__file__).parent).rglob("*.py")]
    names = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "PYTHONPATH", "LD_LIBRARY_PATH")
    about_process = [
        *(sys.executable, str(command.resolve()), str(Path.cwd())),
        *(max(path.stat().st_mtime_ns for path in sources), [os.environ.get(name) for name in names]),
    ]
    place = folder / sha256_json(about_process)[:16]
    return place if len(os.fsencode(place)) <= LONGEST_PLACE else None


def ask(place: Path, start: list[str], arguments: list[str]) -> int | None:
    """Have the process at `place` run `arguments`, starting it by the command `start` if there is none.

    Returns the exit status; None if it could not be asked, or was lost on the way.
    """
    connection = _connect(place) or _start(place, start)
    if connection is None:
        return None
    with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rw", encoding="utf-8") as stream:
        _send(stream, arguments)
        for line in stream:
            message = json.loads(line)
            if "status" in message:
                return int(message["status"])
            log.log(message["level"], "%s", message["text"])
    log.warning("the process that stays was lost; doing its work here")
    return None


def _connect(place: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(place))
    except OSError:
        connection.close()
        return None
    return connection


def _start(place: Path, start: list[str]) -> socket.socket | None:
    """Start the process and connect to it, or to one that another call started at the same time."""
    nothing = subprocess.DEVNULL
    # A session of its own, so that it does not end with this call; and no stream of this job's, which would not end.
    process = subprocess.Popen(start, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    ended = False
    while time.monotonic() < deadline:
        if connection := _connect(place):
            return connection
        if not ended and process.poll() is not None:  # the other one may be about to listen
            ended, deadline = True, time.monotonic() + 1.0
        time.sleep(0.05)
    log.warning("no process to stay could be started; working without")
    return None


def serve(place: Path, run: Callable[[list[str]], None], idle_seconds: float) -> None:
    """Run calls that come to `place`, one after another, until none comes for `idle_seconds`.

    A call whose other side is gone ends the process (SIGTERM), and so does an unexpected error: nobody knows then
    what state it left. Returns at once if another process serves this place.
    """
    signal.signal(signal.SIGTERM, _leave)
    with open(place.with_suffix(".lock"), "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        place.unlink(missing_ok=True)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place))
            listener.listen()
            listener.settimeout(idle_seconds)
            try:
                while True:
                    connection, _ = listener.accept()
                    connection.settimeout(None)
                    with connection:
                        _answer(connection, run)
            except TimeoutError:
                return
            finally:
                place.unlink(missing_ok=True)


def _leave(number: int, _frame: Any) -> None:
    raise SystemExit(128 + number)


def _answer(connection: socket.socket, run: Callable[[list[str]], None]) -> None:
    with connection.makefile("rw", encoding="utf-8") as stream:
        arguments = json.loads(stream.readline() or "null")
        if arguments is None:
            return
        over = threading.Event()

        def watch() -> None:
            # The other side says nothing more: what ends this wait is that it is gone.
            with contextlib.suppress(OSError):
                connection.recv(1)
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, daemon=True).start()
        status = 1
        try:
            with _forwarded(stream):
                try:
                    run(arguments)
                    status = 0
                except InputError as error:
                    log.error("%s", error)
                except Exception:
                    log.error("%s", traceback.format_exc())
                    raise
        finally:
            over.set()
            with contextlib.suppress(OSError):
                _send(stream, {"status": status})


@contextlib.contextmanager
def _forwarded(stream: Any) -> Iterator[None]:
    """Send what is logged to the other side."""

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with contextlib.suppress(OSError):
                _send(stream, {"level": record.levelno, "text": record.getMessage()})

    handler = Forward()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _send(stream: Any, message: Any) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()
