"""Jobs side by side on one machine: each gets GPUs of its own. The GPUs are a fake nvidia-smi's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from slamflow.device_slots import gpus_here, hold
from slamflow.errors import InputError
from slamflow.jobs.workflow import Jobs
from slamflow.recipe.loading import load_assets, load_recipe
from slamflow.strict_yaml import load_yaml

LAUNCHER = Path(__file__).parents[2] / "workflow_scripts/on_gpus.py"
DIVIDED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa-0)
  MIG 3g.20gb     Device  0: (UUID: MIG-bbbb-1)
  MIG 3g.20gb     Device  1: (UUID: MIG-bbbb-2)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa-1)
"""
# Says which GPUs it has, and when.
JOB = """
import os, sys, time
began = time.monotonic()
time.sleep(float(sys.argv[2]))
with open(sys.argv[1], "a") as file:
    file.write(f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {began} {time.monotonic()}\\n")
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two GPUs, and with locks of its own."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    gpus = "".join(f"GPU {number}: NVIDIA A5000 (UUID: GPU-{number})\n" for number in range(2))
    nvidia_smi(tmp_path, gpus)
    return tmp_path


def nvidia_smi(folder: Path, says: str) -> None:
    """Install a fake one."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}END\n")
    path.chmod(0o755)


def start(folder: Path, count: int, seconds: float = 0.0) -> subprocess.Popen[str]:
    """Start a job on `count` GPUs."""
    command = [sys.executable, str(LAUNCHER), "--count", str(count), "--", sys.executable, "-c", JOB]
    return subprocess.Popen([*command, str(folder / "jobs"), str(seconds)], stderr=subprocess.PIPE, text=True)


def jobs(folder: Path) -> list[tuple[list[str], float, float]]:
    """GPUs, beginning and end of each job so far."""
    lines = [line.split() for line in (folder / "jobs").read_text().splitlines()]
    return [(gpus.split(","), float(began), float(ended)) for gpus, began, ended in lines]


def test_jobs_side_by_side_never_share_a_gpu(machine: Path) -> None:
    running = [start(machine, count, 0.2) for count in (1, 1, 2, 1, 2, 1)]
    assert [job.wait(60) for job in running] == [0] * 6
    done = jobs(machine)
    assert sorted(len(gpus) for gpus, _, _ in done) == [1, 1, 1, 1, 2, 2]
    for number, (gpus, began, ended) in enumerate(done):
        assert set(gpus) <= {"GPU-0", "GPU-1"}
        for others, other_began, other_ended in done[:number]:
            assert not set(gpus) & set(others) or other_ended <= began or ended <= other_began


def test_two_jobs_run_at_once_and_the_third_waits(machine: Path) -> None:
    first, second = (start(machine, 1, 60) for _ in range(2))
    deadline = time.monotonic() + 30
    while len([path for path in machine.glob("slamflow-gpus-*/GPU-*") if is_held(path)]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    third = start(machine, 1)
    with pytest.raises(subprocess.TimeoutExpired):
        third.wait(1.5)
    first.kill()  # the kernel gives its lock back
    assert third.wait(30) == 0
    assert "waiting for 1 of 2 GPUs" in third.communicate()[1]
    second.kill()
    for job in (first, second):
        job.communicate()
    assert len(jobs(machine)) == 1


def is_held(path: Path) -> bool:
    import fcntl

    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_choice_that_was_made_stays(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert start(machine, 8).wait(30) == 0
    assert jobs(machine)[0][0] == ["3"]
    assert not list(machine.glob("slamflow-gpus-*"))


def test_where_there_is_no_gpu_nothing_is_set(machine: Path) -> None:
    nvidia_smi(machine, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n")
    assert start(machine, 2).wait(30) == 0
    (machine / "nvidia-smi").unlink()
    assert start(machine, 2).wait(30) == 0
    assert [gpus for gpus, _, _ in jobs(machine)] == [["None"]] * 2


def test_more_than_there_are_is_an_error(machine: Path) -> None:
    job = start(machine, 3)
    assert job.wait(30) == 1
    error = job.communicate()[1]
    assert "asks for 3 GPUs, but this machine has 2" in error
    assert "Traceback" not in error
    with pytest.raises(InputError, match="asks for 1 GPUs, but this machine has 0"):
        hold(1, [], machine)


def test_a_command_that_is_not_there_is_named(machine: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(LAUNCHER), "--count", "1", "--", "no_such_command", "--flag"],
        capture_output=True,
        text=True,
        check=False,
        cwd=machine,
    )
    assert done.returncode == 1
    assert "no_such_command: No such file or directory" in done.stderr


def test_of_a_divided_gpu_the_parts_count(machine: Path) -> None:
    nvidia_smi(machine, DIVIDED)
    assert gpus_here() == ["MIG-bbbb-1", "MIG-bbbb-2", "GPU-aaaa-1"]


class Resources(dict[str, Any]):
    """As Snakemake gives them to a function of params."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"gpu": 0, "processes": 0}, "CUDA_VISIBLE_DEVICES= torchrun --standalone --nproc_per_node=1 SCRIPT"),
        ({"gpu": 0, "processes": 4}, "CUDA_VISIBLE_DEVICES= torchrun --standalone --nproc_per_node=4 SCRIPT"),
        (
            {"gpu": 2, "processes": 0},
            "python LAUNCHER --count 2 -- torchrun --standalone --nproc_per_node=2 SCRIPT --gpus 2",
        ),
        (
            {"gpu": 16, "processes": 0, "nodes": 2, "torchrun": "srun --nodes=2 torchrun --nnodes=2"},
            "python LAUNCHER --count 8 -- srun --nodes=2 torchrun --nnodes=2 --nproc_per_node=8 SCRIPT --gpus 8",
        ),
    ],
)
def test_as_many_processes_as_a_node_has_gpus(resources: dict[str, Any], expected: str) -> None:
    root = LAUNCHER.parents[1]
    recipe = load_recipe(load_yaml(root / "config.yaml"), [])
    jobs_of_recipe = Jobs(recipe, load_assets(root / "recipes/assets.yaml", {}), LAUNCHER.parent)
    given = Resources({"torchrun": "torchrun --standalone", **resources})
    command = jobs_of_recipe.torchrun("train")(None, None, resources=given)
    found = [word if not word.endswith(".py") else word.rpartition("/")[2] for word in command.split()]
    assert " ".join(found) == expected.replace("SCRIPT", "train.py").replace("LAUNCHER", "on_gpus.py")
