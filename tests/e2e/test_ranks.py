"""Several ranks through the workflow: the pocket's text model, tiny, trained on a CPU whose processes talk by gloo."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.e2e.test_tiny import TINY, snakemake

STEPS = 6

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with rows to train on."""
    folder = tmp_path_factory.mktemp("ranks")
    models = {"story_text": {"tokens": STEPS * 1792}}
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "models": models}))
    snakemake(folder, "results/rows/story_text/train/manifest.json", "--cores", "1")
    return folder


def train(folder: Path, *resources: str) -> tuple[list[float], dict]:
    """Train the text model anew: the loss of each step, and what training.json says."""
    model = folder / "results/models/pocket/story_text"
    shutil.rmtree(model, ignore_errors=True)
    asked = ["--set-resources", *(f"train:{resource}" for resource in resources)] if resources else []
    snakemake(folder, "results/models/pocket/story_text/model.safetensors", "--cores", "4", *asked)
    lines = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines], json.loads((model / "training.json").read_text())


def test_ranks_zero_and_offload_are_resources(rows: Path) -> None:
    alone, record = train(rows)
    assert (record["ranks"], record["steps"]) == (1, STEPS)
    for resources in (
        ("processes=2",),
        ("processes=4", "zero_stage=2"),
        ("processes=2", "zero_stage=3", "offload=1"),
        ("offload=1",),
    ):
        losses, record = train(rows, *resources)
        assert record["ranks"] == int(dict(item.split("=") for item in resources).get("processes", 1))
        assert losses == pytest.approx(alone, abs=1e-6), resources


def test_an_offload_without_zero_is_refused(rows: Path) -> None:
    with pytest.raises(AssertionError, match="--offload 1 needs ZeRO, but --zero-stage is 0"):
        train(rows, "offload=1", "zero_stage=0")


def test_nothing_is_due_with_other_resources(rows: Path) -> None:
    train(rows, "processes=2")
    done = snakemake(rows, "results/models/pocket/story_text/model.safetensors", "--cores", "1", "--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr
