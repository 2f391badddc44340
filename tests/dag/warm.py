"""A process that has imported Snakemake and the code of a checkout, and forks for each question.

Importing Snakemake takes longer than building the graph of a small recipe, and so do reading and digesting the code of
the checkout. There is one process with Snakemake, forks of it that know the code of one checkout each, as it is, and a
fork of these for each question: nothing is left over for the next one, and edited code is read anew.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import importlib
import json
import logging
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

IMPORTED = ("jinja2", "pydantic", "requests", "snakemake.cli", "snakemake.report", "yaml")
SNAKEMAKE = ["-m", "snakemake"]
KEPT = 3
"""How many checkouts are kept in memory."""
LIMIT_SECONDS = 600
"""A command that takes longer hangs: it ends, and says where it hung."""


class Warm:
    """The process, from outside."""

    def __init__(self) -> None:
        self.asked, theirs = Pipe()
        number = theirs.fileno()
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(number)], stdin=subprocess.DEVNULL, pass_fds=[number]
        )
        theirs.close()
        atexit.register(self.stop)

    def run(
        self, library: Path, *command: str, cwd: Path, environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run does `python *command`: a file, or `-m snakemake`, and arguments.

        library: the folder that the checkout's slamflow lies in.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.asked.send((str(library), list(command), str(cwd), environment, folder))
            status = self.asked.recv()
            stdout, stderr = (Path(folder, name).read_text() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(command, status, stdout, stderr)

    def stop(self) -> None:
        """End it."""
        self.asked.close()
        self.process.wait()


class Server(NamedTuple):
    """A process that serves one checkout."""

    asked: Connection
    process: int

    def end(self) -> None:
        """End it: nobody can ask it any more."""
        self.asked.close()
        os.waitpid(self.process, 0)


def code_state(library: Path) -> tuple[object, ...]:
    """What tells whether code is as it was."""
    files = sorted(library.rglob("*.py"))
    return tuple((str(file), status.st_size, status.st_mtime_ns) for file in files for status in [file.stat()])


def serve(asked: Connection) -> None:
    """Pass each question to the process that knows the code of its checkout, and its answer back."""
    for name in IMPORTED:
        importlib.import_module(name)
    # Loads the plugins too, which parsing the arguments would do each time.
    sys.modules["snakemake.cli"].get_argument_parser()
    servers: dict[tuple[object, ...], Server] = {}
    modules: list[str] = []
    with contextlib.suppress(EOFError):
        while True:
            question = asked.recv()
            state = code_state(Path(question[0]))
            if state not in servers:
                if len(servers) == KEPT:
                    servers.pop(next(iter(servers))).end()
                servers[state] = start_server(Path(question[0]), list(servers.values()))
            servers[state] = servers.pop(state)  # the last used is the last to go
            servers[state].asked.send((question, modules))
            status, modules = servers[state].asked.recv()
            asked.send(status)
    for server in servers.values():
        server.end()


def start_server(library: Path, others: list[Server]) -> Server:
    """Fork a process that serves the checkout that `library` belongs to."""
    ours, theirs = Pipe()
    process = os.fork()
    if not process:
        for connection in (ours, *(other.asked for other in others)):
            connection.close()
        with contextlib.suppress(EOFError):
            serve_checkout(library, theirs)
        os._exit(0)
    theirs.close()
    return Server(ours, process)


def serve_checkout(library: Path, asked: Connection) -> None:
    """Answer each question by the exit status of a fork, and by the modules of the library that are worth importing."""
    sys.path.insert(1, str(library))
    while True:
        question, modules = asked.recv()
        read_code(library, modules)
        process = os.fork()
        if not process:
            run(*question)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        found = Path(question[-1], "modules")
        asked.send((status, json.loads(found.read_text()) if found.exists() else modules))


def read_code(library: Path, modules: list[str]) -> None:
    """Import modules of a checkout, and have it digest its code, which it remembers. Errors are for a fork to tell."""
    new = [name for name in modules if name not in sys.modules]
    for name in new:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if "slamflow.code_digest" in new:
        for file in library.glob("*.py"):
            with contextlib.suppress(Exception):
                sys.modules["slamflow.code_digest"].code_digest(file)
    gc.freeze()


def run(library: str, command: list[str], cwd: str, environment: dict[str, str], folder: str) -> None:
    """Run a command in this process, which ends with it; what it writes goes to `folder`."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT), number)
    faulthandler.dump_traceback_later(LIMIT_SECONDS, exit=True)
    status = 1
    try:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        if command[:2] == SNAKEMAKE:
            sys.argv, sys.path[0] = command[1:], cwd
            sys.modules["snakemake.cli"].main(command[2:])
        else:
            sys.argv, sys.path[0] = command, str(Path(command[0]).parent)
            runpy.run_path(command[0], run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    if command[:2] == SNAKEMAKE:
        files: dict[str, Any] = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
        loaded = [name for name, file in files.items() if file and file.startswith(f"{library}/")]
        Path(folder, "modules").write_text(json.dumps(loaded))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not as Python ends otherwise: libraries would wait for threads of theirs, which a fork does not have.
    os._exit(status)


if __name__ == "__main__":
    os.set_inheritable(int(sys.argv[1]), False)  # by the programs that a fork runs
    serve(Connection(int(sys.argv[1])))
