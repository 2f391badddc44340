"""A cluster of stand-ins around a checkout: the real Snakefile, profile and SLURM plugin."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ..dag.conftest import ROOT, SMALL, Checkout, copy_checkout, made_once

STAND_IN = Path(__file__).with_name("stand_in.py")
SLURM = ("sbatch", "srun", "sacct", "sacctmgr", "sinfo", "scontrol", "scancel", "squeue")


@dataclass
class Submission:
    """One sbatch call."""

    arguments: list[str]

    @property
    def jobs(self) -> list[str]:
        """The jobs in it, as Snakemake names them: `rule:wildcard=value,...`."""
        found = re.search(r"--target-jobs ((?:'[^']*' )+)", self.arguments[-1])
        assert found
        return re.findall(r"'([^']*)'", found[1])

    @property
    def rules(self) -> list[str]:
        """The rules of its jobs, in alphabetic order."""
        return sorted(job.split(":")[0] for job in self.jobs)

    def value(self, flag: str) -> str | None:
        """What follows a flag, apart or after an equals sign; None without the flag."""
        for argument, following in zip(self.arguments, [*self.arguments[1:], ""], strict=True):
            if argument == flag:
                return following
            if argument.startswith(f"{flag}="):
                return argument.removeprefix(f"{flag}=")
        return None


@dataclass
class Cluster:
    """A checkout on a login node."""

    checkout: Checkout

    @property
    def root(self) -> Path:
        """The folder with the checkout, its working folder and the stand-ins."""
        return self.checkout.code.parent

    @property
    def records(self) -> Path:
        """What the stand-ins wrote down."""
        return self.root / "records"

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        """Run the workflow on the cluster; its output."""
        command = ["-m", "snakemake", "--snakefile", str(self.checkout.code / "Snakefile")]
        command += ["--workflow-profile", str(self.checkout.code / "profiles/slurm"), "--configfile", "small.yaml"]
        # The plugin looks every second here.
        command += ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5", *arguments]
        done = self.checkout.python(*command, STAND_IN_RECORDS=str(self.records))
        shown = done.stdout + done.stderr
        self.checkout.check_commands()
        assert not check or done.returncode == 0, shown
        return shown

    def submit_all(self, *arguments: str) -> list[Submission]:
        """Submit jobs whose outputs the stand-in writes without running them; the submissions, in their order."""
        shown = self.checkout.snakemake(*arguments, "--dry-run", "--configfile", "small.yaml").stdout
        outputs = {}
        for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", shown, flags=re.MULTILINE):
            fields = dict(line.strip().partition(": ")[::2] for line in block.splitlines())
            name = f"{rule}:{fields.get('wildcards', '').replace(', ', ',')}"
            # Snakemake writes "(update)" behind a file that a job brings up to date in place.
            outputs[name] = [
                path.removesuffix(" (update)")
                for key in ("output", "benchmark")
                if key in fields
                for path in fields[key].split(", ")
            ]
        (self.records / "outputs.json").write_text(json.dumps(outputs))
        self.snakemake(*arguments)
        (self.records / "outputs.json").unlink()
        return self.submissions()

    def submissions(self) -> list[Submission]:
        """All sbatch calls so far."""
        return [Submission(json.loads(line)) for line in (self.records / "sbatch").read_text().splitlines()]


def new_cluster(root: Path) -> Cluster:
    """A fresh checkout on a cluster, with the lines of the profile that are to be adapted put to use."""
    work = root / "work"
    work.mkdir()
    (work / "small.yaml").write_text(yaml.safe_dump({**SMALL, "compute": "device"}))
    code = copy_checkout(root / "code")
    profile = code / "profiles/slurm/config.yaml"
    profile.write_text(re.sub(r"^#(  +slurm_\w+:)", r"\1", profile.read_text(), flags=re.MULTILINE))
    for name in SLURM:
        path = root / "bin" / name
        path.write_text(f"#!{sys.executable} -S\n{STAND_IN.read_text()}")
        path.chmod(0o755)
    cluster = Cluster(Checkout(code, work))
    cluster.records.mkdir()
    return cluster


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cluster, list[Submission]]:
    """A cluster that the whole recipe was submitted to; copy it before changing anything."""
    root = made_once(tmp_path_factory, "cluster", lambda root: new_cluster(root).submit_all())
    cluster = Cluster(Checkout(root / "code", root / "work"))
    return cluster, cluster.submissions()


@pytest.fixture
def cluster(done: tuple[Cluster, list[Submission]], tmp_path: Path) -> Cluster:
    """A copy of the cluster after the whole recipe."""
    shutil.copytree(done[0].root, tmp_path / "copy", symlinks=True, copy_function=shutil.copy2)
    copy = Cluster(Checkout(tmp_path / "copy/code", tmp_path / "copy/work"))
    (copy.records / "sbatch").unlink()
    return copy


@pytest.fixture(scope="session")
def profile() -> dict:
    """The profile as it is shipped."""
    return yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
