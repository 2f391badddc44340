"""Rehearse recipes against a stand-in of the internet on 127.0.0.1: downloads to scores, offline, in minutes.

    python -m stand_in FOLDER [RECIPE ...] [--kill RULE ...]

Makes what the recipes download from seeds, serves it (an ordinary web server and the Hugging Face hub), and runs the
whole workflow of each in FOLDER, with recipes/rehearsal.yaml and an overlay that names the stand-in laid over it.
Without a recipe it takes every one that is shipped. With --kill, snakemake and all its jobs are killed (as a machine
that loses power kills them) once a job of each of these rules is under way, and started again. Ends with a table; with
1 if a recipe failed.

What a package index serves stays real: Whisper tiny.en, SmolLM2 and Kokoro come through pip and npm as always.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from slamflow.files import atomic_path, sha256_file, sha256_json
from slamflow.strict_yaml import load_yaml
from stand_in.content import ROOT, Content, whole
from stand_in.server import StandIn, start

KILL_AFTER_S = 1.0
"""A job is killed so long after its log appeared."""


def shipped() -> list[Path]:
    """The whole recipes of the checkout, the default one first."""
    found = sorted(path for path in ROOT.glob("recipes/*.yaml") if "recipe" in load_yaml(path))
    return [ROOT / "config.yaml", *found]


def made(recipes: list[Path], folder: Path) -> Content:
    """What the recipes download; kept in `folder` for the next time."""
    sources = [
        *sorted(Path(__file__).parent.glob("*.py")),
        ROOT / "recipes/assets.yaml",
        ROOT / "config.yaml",
        *recipes,
    ]
    kept = folder / f"content-{sha256_json([sha256_file(path) for path in sources])[:16]}.pickle"
    if kept.exists():
        return pickle.loads(kept.read_bytes())  # its own
    content = Content()
    for path in recipes:
        content.add(whole(path))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(kept) as temporary:
        temporary.write_bytes(pickle.dumps(content))
    return content


def serve(recipes: list[Path], folder: Path) -> tuple[StandIn, dict[str, str]]:
    """Serve what the recipes download, and write the overlay; returns the server and the environment that names it."""
    content = made(recipes, folder)
    for place, files in content.folders.items():
        for name, data in files.items():
            path = folder / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(data)
    state = StandIn(files=content.files)
    # The same port as the last time: an address is part of the settings that a summary shows.
    port = folder / "port"
    try:
        start(state, int(port.read_text()) if port.exists() else 0)
    except OSError:
        start(state)
    port.write_text(state.url.rpartition(":")[2])
    for path in recipes:
        overlay = yaml.safe_dump(content.overlay(whole(path), state.url))
        overlay_of(path, folder).write_text(overlay, encoding="utf-8")
    outside = {name for name in os.environ if name.startswith(("HF_", "HUGGING_FACE"))}
    environment = {name: value for name, value in os.environ.items() if name not in outside}
    environment |= {"HF_ENDPOINT": state.url, "HF_HOME": str(folder / "hub"), "NO_PROXY": "127.0.0.1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return state, environment


def overlay_of(recipe: Path, folder: Path) -> Path:
    """Where the stand-in's overlay for a recipe is."""
    return folder / f"{name_of(recipe)}.stand_in.yaml"


def name_of(recipe: Path) -> str:
    """What a recipe's file is called."""
    return "pocket" if recipe == ROOT / "config.yaml" else recipe.stem


def command(recipe: Path, folder: Path, *arguments: str) -> list[str]:
    """The command line that rehearses a recipe in `folder`."""
    words = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    words += ["--workflow-profile", ROOT / "profiles/default", "--resources", "gpu=0", *arguments]
    words += ["--configfile", recipe, ROOT / "recipes/rehearsal.yaml", overlay_of(recipe, folder)]
    return [str(word) for word in words]


@contextlib.contextmanager
def running(
    recipe: Path, folder: Path, environment: dict[str, str], arguments: list[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Snakemake and all that it starts; what is left of it at the end of the block is killed."""
    with open(folder / f"{name_of(recipe)}.log", "ab") as log:
        process = subprocess.Popen(
            command(recipe, folder, *arguments),
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            unfinished = process.poll() is None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if unfinished:  # it held the folder
                subprocess.run(command(recipe, folder, "--unlock"), env=environment, capture_output=True, check=True)


def rehearse(recipe: Path, folder: Path, environment: dict[str, str], arguments: list[str], kill: list[str]) -> int:
    """Run one recipe; returns snakemake's exit status. kill: rules in whose midst everything is killed, in order."""
    (folder / f"{name_of(recipe)}.log").unlink(missing_ok=True)
    for rule in kill:
        logs = folder / "results/rehearsal/logs" / rule
        before = set(logs.rglob("*.log"))
        with running(recipe, folder, environment, arguments) as process:
            while process.poll() is None and not set(logs.rglob("*.log")) - before:
                time.sleep(0.05)
            time.sleep(KILL_AFTER_S)
            if process.poll() is not None:
                print(f"{rule}: none of its jobs was there to be killed", flush=True)
                return process.returncode or 1
    with running(recipe, folder, environment, arguments) as process:
        return process.wait()


def jobs_of(log: str) -> int:
    """How many jobs the runs of snakemake in a log finished, the target rule not counted."""
    return len(re.findall(r"^Finished jobid: (?!0 )", log, re.MULTILINE))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to run; what is there already is not made again")
    parser.add_argument("recipes", type=Path, nargs="*")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--kill", nargs="+", default=[], metavar="RULE", help="kill all in the midst of these rules")
    parser.add_argument(
        "--set-resources", nargs="+", default=[], metavar="RULE:NAME=VALUE", help="as for snakemake: train:zero_stage=2"
    )
    options = parser.parse_intermixed_args(argv)
    arguments = ["--cores", options.cores]
    if options.set_resources:
        arguments += ["--set-resources", *options.set_resources]
    folder = options.folder.resolve()
    recipes = [path.resolve() for path in options.recipes] or shipped()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _, environment = serve(recipes, folder)
    failed = 0
    table = [("recipe", "minutes", "jobs", "")]
    for recipe in recipes:
        name = name_of(recipe)
        log = folder / f"{name}.log"
        print(f"{name}: {shlex.join(command(recipe, folder, *arguments))}", flush=True)
        began = time.monotonic()
        status = rehearse(recipe, folder, environment, arguments, options.kill)
        minutes = (time.monotonic() - began) / 60
        failed += status != 0
        outcome = f"failed, see {log}" if status else ""
        table.append((name, f"{minutes:.1f}", str(jobs_of(log.read_text(encoding="utf-8"))), outcome))
    print()
    for row in table:
        print(f"{row[0]:24}{row[1]:>9}{row[2]:>7}  {row[3]}".rstrip())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
