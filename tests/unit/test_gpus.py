"""A job that asked for a GPU and sees none says why; one that asked for none sees none."""

from __future__ import annotations

import argparse
import ctypes
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from slamflow import gpus
from slamflow.errors import InputError
from slamflow.jobs.workflow import on_gpus

ROOT = Path(__file__).parents[2]


def asked(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    gpus.add_options(parser)
    return parser.parse_args(options)


def machine(
    monkeypatch: pytest.MonkeyPatch,
    seen: int = 0,
    built: str | None = "13.0",
    newest: int | None = None,
    cards: str | None = None,
    visible: str | None = None,
) -> None:
    """Fake what torch, the driver (CUDA as 1000 major + 10 minor) and nvidia-smi say; None: not installed."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    class Library:
        def cuDriverGetVersion(self, reference: Any) -> int:  # noqa: N802
            reference._obj.value = newest
            return 0

    def load(name: str) -> Library:
        if newest is None:
            raise OSError(name)
        return Library()

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if cards is None:
            raise FileNotFoundError(command[0])
        return subprocess.CompletedProcess(command, 0, stdout=cards)

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize(
    ("fakes", "words"),
    [
        (
            {"newest": 12020, "cards": "535.104.05, NVIDIA A100-SXM4-80GB\n"},
            r"asked for 1 GPU and torch sees none: torch .* built for CUDA 13\.0; which is too new for the driver: "
            r".*takes CUDA up to 12\.2; .*535\.104\.05, NVIDIA A100-SXM4-80GB\. .*gpu=0.*--allow-cpu",
        ),
        ({}, r"built for CUDA 13\.0; there is no NVIDIA driver \(neither libcuda\.so\.1 nor nvidia-smi\)"),
        ({"built": None}, "built for the CPU alone: install one"),
        ({"built": None, "newest": 13000, "cards": "580, A\n580, B\n"}, r"CPU alone.*up to 13\.0; .*580, A; 580, B"),
        ({"newest": 13000, "cards": "580.1, NVIDIA L4\n", "visible": ""}, "CUDA_VISIBLE_DEVICES is ''; .*NVIDIA L4"),
        ({"cards": "580.1, NVIDIA L4\n"}, r"the driver has no libcuda\.so\.1; nvidia-smi says: 580\.1, NVIDIA L4"),
        ({"newest": 13000, "cards": ""}, r"takes CUDA up to 13\.0; nvidia-smi says: nothing"),
    ],
)
def test_a_missing_gpu_ends_the_job_and_says_why(
    fakes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine(monkeypatch, **fakes)
    with pytest.raises(InputError, match=f"(?s){words}"):
        gpus.check(asked("--gpus", "1"))
    caplog.set_level(logging.WARNING)
    gpus.check(asked("--gpus", "1", "--allow-cpu"))
    assert "Going on without" in caplog.text


def test_a_new_enough_driver_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, newest=13000)
    assert "too new" not in gpus.reason()
    machine(monkeypatch, built="12.6", newest=12020)  # CUDA runs with any driver of its major version
    assert "too new" not in gpus.reason()


def test_as_many_as_asked_for_or_more_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, seen=2)
    for number in "012":
        gpus.check(asked("--gpus", number))
    with pytest.raises(InputError, match="asked for 3 GPUs and torch sees 2 GPUs"):
        gpus.check(asked("--gpus", "3"))
    machine(monkeypatch, seen=0)
    gpus.check(asked())


def test_a_job_without_a_gpu_sees_none() -> None:
    launcher = str(ROOT / "workflow_scripts/on_gpus.py")
    python = f"{sys.executable} -c 'import os; print(repr(os.environ.get(\"CUDA_VISIBLE_DEVICES\")))' x.py"
    shown = [
        subprocess.run(on_gpus(number, launcher, python), shell=True, capture_output=True, text=True, check=True).stdout
        for number in (0, 1)
    ]
    assert shown[0] == "''\n"
    assert shown[1] != "''\n"
    assert on_gpus(2, "l.py", "python x.py") == "python l.py --count 2 -- python x.py --gpus 2"


def test_commands_of_rules_with_a_gpu_check_it() -> None:
    """A command that did not know --gpus would fail in the tests of the graph; one that forgot to check would not."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    blocks = re.split(r"\n(?= *rule\b)", text)
    named = {match[1] for block in blocks if "gpu=" in block for match in re.finditer(r'JOBS\.\w+\("(\w+)"\)', block)}
    assert {"train", "calibrate", "extract_units", "score_benchmarks", "score_baselines"} <= named
    for name in named:
        assert "gpus.check(arguments)" in (ROOT / f"workflow_scripts/{name}.py").read_text(), name
