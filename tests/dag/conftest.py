"""A copy of the checkout in which the real Snakefile runs with commands that only write files."""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from .warm import Warm

ROOT = Path(__file__).parents[2]
COPIED = ("Snakefile", "config.yaml", "rules", "envs", "profiles", "recipes", "workflow_scripts", "examples")
TARGETS = ("all", "units", "rows", "calibrations", "models", "scores", "vocoders", "continuations", "leaderboard")
SMALL = {
    "corpora": {
        "stories": {
            "splits": {
                "train": {"stories": 40, "shards": 4},
                "text": {"stories": 40},
                "preference": {"stories": 8},
                "dev": {"stories": 8},
                "test": {"stories": 8},
            }
        },
        "other_voice": {"splits": {"dev": {"stories": 8}, "test": {"stories": 8}}},
    },
    "training": {"learning_rate": 1.0e-3},
}


warm = functools.cache(Warm)
"""One process for all questions of a session; it ends with the session."""


@dataclass
class Checkout:
    """A checkout and the folder that its workflow runs in."""

    code: Path
    work: Path

    @property
    def library(self) -> Path:
        """Where its commands and its slamflow lie."""
        return (self.code / "workflow_scripts").resolve()

    @property
    def environment(self) -> dict[str, str]:
        """Fake commands come first on the PATH, and write down how they were called."""
        path = f"{self.code.parent / 'bin'}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "FAKE_COMMANDS": str(self.called)}

    @property
    def called(self) -> Path:
        """What the fake commands of a run wrote down."""
        return self.work / "commands.jsonl"

    def python(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`python *command` in the working folder, by a fork of a process that has imported Snakemake."""
        return warm().run(self.library, *command, cwd=self.work, environment={**self.environment, **environment})

    def snakemake(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run snakemake in the working folder; in a new Python if variables are given, which may be for its start."""
        command = ["-m", "snakemake", "--snakefile", str(self.code / "Snakefile"), "--cores", "4"]
        command += ["--workflow-profile", str(self.code / "profiles/default"), *arguments]
        if environment:
            done = subprocess.run(
                [sys.executable, *command],
                cwd=self.work,
                env={**self.environment, **environment},
                text=True,
                capture_output=True,
                check=False,
            )
        else:
            done = self.python(*command)
        self.check_commands()
        if check and done.returncode:
            raise AssertionError(f"snakemake failed:\n{done.stdout}\n{done.stderr}")
        return done

    def check_commands(self) -> None:
        """Have the real commands' own parsers read how the fake ones were called since the last time."""
        if self.called.exists():
            done = self.python(str(Path(__file__).with_name("check_commands.py")), str(self.called))
            self.called.unlink()
            assert done.returncode == 0, f"a rule calls its command wrongly:\n{done.stdout}{done.stderr}"

    def run(self, *arguments: str) -> None:
        """Run the workflow."""
        self.snakemake(*arguments, "--configfile", "small.yaml")

    def due(self, *arguments: str) -> Counter[str]:
        """The jobs that would run, by rule."""
        text = self.snakemake(*arguments, "--dry-run", "--configfile", "small.yaml").stdout
        jobs = re.findall(r"^(?:local)?rule (\w+?)(?:_of_\w+)?:", text, flags=re.MULTILINE)
        return Counter(job for job in jobs if job not in TARGETS)

    def edit_recipe(self, **changes: object) -> None:
        """Lay further keys over the recipe of the tests."""
        path = self.work / "small.yaml"
        recipe = yaml.safe_load(path.read_text())
        merge(recipe, changes)
        path.write_text(yaml.safe_dump(recipe))

    def edit_code(self, name: str, old: str, new: str) -> None:
        """Replace text in a file of the checkout."""
        self.own_code(library=name.startswith("workflow_scripts/"))
        path = self.code / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1))

    def own_code(self, library: bool = True) -> None:
        """Move to a copy of the code, which may be edited; the code of the fixture is shared.

        library: whether the commands and slamflow too. Without, the process that has imported them serves the copy.
        """
        root = self.work.parent
        if self.code.parent != root:
            shared = "" if library else "workflow_scripts"
            shutil.copytree(self.code, root / "code", ignore=shutil.ignore_patterns(shared))
            shutil.copytree(self.code.parent / "bin", root / "bin")
            if shared:
                (root / "code" / shared).symlink_to(self.code / shared)
            self.code = root / "code"


def merge(into: dict, changes: dict) -> None:
    """Lay nested mappings over others."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def copy_checkout(target: Path) -> Path:
    """Copy what a run needs of the checkout."""
    target.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)
    binaries = target.parent / "bin"
    binaries.mkdir()
    fake = f'#!/bin/sh\nexec {sys.executable} {ROOT / "tests/dag/fake_commands.py"} "$@"\n'
    for name in ("python", "torchrun"):
        (binaries / name).write_text(fake)
        (binaries / name).chmod(0o755)
    return target


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first process of a session makes, and that all its processes read."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / name / "made").exists():
            shutil.rmtree(root / name, ignore_errors=True)
            (root / name).mkdir()
            make(root / name)
            (root / name / "made").touch()
    return root / name


def finish(code: Path, root: Path) -> None:
    """Run the workflow of a checkout."""
    (root / "work").mkdir()
    (root / "work/small.yaml").write_text(yaml.safe_dump(SMALL))
    Checkout(code, root / "work").run()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that ask a finished workflow are slow: it takes a quarter of a minute, and each question a second."""
    for item in items:
        if "finished" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of a checkout, which nobody may change: see Checkout.own_code."""
    return made_once(tmp_path_factory, "checkout", lambda root: copy_checkout(root / "code")) / "code"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, code: Path) -> Checkout:
    """A checkout whose workflow has run; copy it before changing anything."""
    root = made_once(tmp_path_factory, "finished", lambda root: finish(code, root))
    return Checkout(code, root / "work")


@pytest.fixture
def checkout(finished: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """The finished checkout with a copy of its working folder, elsewhere on the disk: so each test moves that too."""
    root = tmp_path / "copy"
    shutil.copytree(finished.work, root / "work", symlinks=True)
    before = state_of_code(finished)
    yield Checkout(finished.code, root / "work")
    assert state_of_code(finished) == before, "this test changed the code that all tests share: see Checkout.own_code"


def state_of_code(checkout: Checkout) -> dict[Path, int]:
    """When each file of a checkout was changed."""
    files = [path for path in checkout.code.rglob("*") if "__pycache__" not in path.parts]
    return {path: path.stat().st_mtime_ns for path in files}
