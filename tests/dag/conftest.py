"""A copy of the checkout in which the real Snakefile runs with commands that only write files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COPIED = ("Snakefile", "config.yaml", "rules", "envs", "profiles", "recipes", "workflow_scripts", "examples")
TARGETS = ("all", "units", "rows", "calibrations", "models", "scores", "vocoders", "continuations")
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


@dataclass
class Checkout:
    """A checkout and the folder that its workflow runs in."""

    code: Path
    work: Path

    def snakemake(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run snakemake in the working folder with fake commands first on the PATH."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.code / "Snakefile"), "--cores", "4"]
        path = f"{self.code.parent / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            [*command, "--workflow-profile", str(self.code / "profiles/default"), *arguments],
            cwd=self.work,
            env={**os.environ, "PATH": path, **environment},
            text=True,
            capture_output=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"snakemake failed:\n{done.stdout}\n{done.stderr}")
        return done

    def run(self, *arguments: str) -> None:
        """Run the workflow."""
        self.snakemake(*arguments, "--configfile", "small.yaml")

    def due(self, *arguments: str) -> Counter[str]:
        """The jobs that would run, by rule."""
        text = self.snakemake(*arguments, "--dry-run", "--configfile", "small.yaml").stdout
        jobs = re.findall(r"^(?:local)?rule (\w+):", text, flags=re.MULTILINE)
        return Counter(job for job in jobs if job not in TARGETS)

    def edit_recipe(self, **changes: object) -> None:
        """Lay further keys over the recipe of the tests."""
        path = self.work / "small.yaml"
        recipe = yaml.safe_load(path.read_text())
        merge(recipe, changes)
        path.write_text(yaml.safe_dump(recipe))

    def edit_code(self, name: str, old: str, new: str) -> None:
        """Replace text in a file of the checkout."""
        path = self.code / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1))


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


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose workflow has run; copy it before changing anything."""
    root = tmp_path_factory.mktemp("finished")
    work = root / "work"
    work.mkdir()
    (work / "small.yaml").write_text(yaml.safe_dump(SMALL))
    checkout = Checkout(copy_checkout(root / "code"), work)
    checkout.run()
    return checkout


@pytest.fixture
def checkout(finished: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the finished checkout, elsewhere on the disk: so each test moves it too."""
    root = tmp_path / "copy"
    shutil.copytree(finished.code.parent, root, symlinks=True, copy_function=shutil.copy2)
    return Checkout(root / "code", root / "work")
