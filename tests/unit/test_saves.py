"""The tensors of a training state: one file, whatever ZeRO stage and number of ranks; whole, and one at a time."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from slamflow import files
from slamflow.lm import saves, state
from slamflow.lm.next_token_loss import NextToken
from slamflow.lm.saves import _Writer
from tests.unit.many_trainings import run
from tests.unit.training_rows import CONTEXT, LLAMA, write_rows

WORKER = Path(__file__).with_name("many_trainings.py")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A folder with rows to train on."""
    for part, seed in (("train", 0), ("validation", 1)):
        write_rows(tmp_path / part, seed=seed)
    return tmp_path


def saved(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """The tensors of the only save of a training."""
    [(_, path)] = state.saves(folder / f"state.{name}")
    return load_file(path / saves.TENSORS)


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], atol: float) -> None:
    assert set(one) == set(other)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=atol, msg=name)


def losses(folder: Path, name: str) -> list[float]:
    return [line["loss"] for line in files.read_jsonl(folder / name / "metrics.jsonl")]


def test_the_file_is_as_safetensors_reads_and_writes_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {"b": torch.randn(3, 5), "a.x": torch.randn(()), "none": torch.zeros(0, 4), "é": torch.randn(7)[::2]}
    with _Writer(tmp_path / "file", {name: tensor.shape for name, tensor in tensors.items()}) as writer:
        for tensor in tensors.values():
            writer.write(tensor)
    assert_close(load_file(tmp_path / "file"), {name: tensor.contiguous() for name, tensor in tensors.items()}, 0)
    with _Writer(tmp_path / "one", {"b": tensors["b"].shape}) as writer:
        writer.write(tensors["b"])
    assert (tmp_path / "one").read_bytes()[-60:] == save({"b": tensors["b"]})[-60:]
    assert ((tmp_path / "one").stat().st_size - 60) % 8 == 0


def test_a_save_of_a_step_that_was_not_made_has_no_moments(rows: Path) -> None:
    original, asked = NextToken.micro_batches, [0]

    def micro_batches(self: NextToken, step: int) -> Any:
        asked[0] += 1
        if asked[0] == 2:  # the first time is before the first step
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NextToken, "micro_batches", micro_batches)
        with pytest.raises(SystemExit):
            run(rows, "stopped")
    assert {name.partition(".")[0] for name in saved(rows, "stopped")} == {"weight"}
    run(rows, "stopped")
    run(rows, "whole")
    assert losses(rows, "stopped") == losses(rows, "whole")


@pytest.mark.slow
def test_every_stage_writes_the_same_file_and_goes_on_from_it(rows: Path, caplog: pytest.LogCaptureFixture) -> None:
    # A small rate: Adam makes a tiny difference of a tiny gradient a large one of the weight.
    tied = {"architecture": {**LLAMA, "tie_word_embeddings": True}, "learning_rate": 1e-3}
    caplog.set_level(logging.INFO)
    written = {}
    for stage in (0, 1, 2, 3):
        machine = {"zero_stage": stage}
        run(rows, f"{stage}", stop=10, settings=tied, machine=machine)
        written[stage] = saved(rows, f"{stage}")
        with safe_open(state.saves(rows / f"state.{stage}")[0][1] / saves.TENSORS, "pt") as file:
            assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F32"}  # noqa: SIM118
    for stage in (1, 2, 3):
        assert_close(written[0], written[stage], atol=2e-5)
    run(rows, "whole", settings=tied)
    for before, after, offload in ((0, 2, True), (2, 0, False), (1, 3, True), (3, 1, False)):
        caplog.clear()
        run(rows, f"{before}", settings=tied, machine={"zero_stage": after, "offload": offload})
        assert "going on after step 8 of 12" in caplog.text
        assert losses(rows, f"{before}") == pytest.approx(losses(rows, "whole"), abs=1e-6)
        whole, other = (load_file(rows / name / "model.safetensors") for name in ("whole", f"{before}"))
        assert_close(whole, other, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_an_offload_makes_no_difference_and_goes_on(stage: int, rows: Path) -> None:
    offload = {"machine": {"zero_stage": stage, "offload": True}, "settings": {"gradient_clip": 0.05}}
    run(rows, "whole", settings=offload["settings"])
    run(rows, "unbroken", **offload)
    run(rows, "resumed", stop=6, **offload)
    run(rows, "resumed", **offload)
    assert losses(rows, "unbroken") == losses(rows, "resumed")
    assert losses(rows, "unbroken") == pytest.approx(losses(rows, "whole"), abs=1e-6)


# Ranks, as torchrun starts them; on a CPU they talk by gloo


def launch(folder: Path, count: int, runs: list[dict[str, Any]]) -> None:
    """Do some trainings with `count` ranks."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}", str(WORKER)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*start, str(folder), json.dumps(runs)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


TOLERANCE = {"fp32": 1e-6, "bf16": 3e-4}
"""Of the loss of each step, against one rank without ZeRO."""


def configurations(stages: tuple[int, ...], **more: Any) -> list[dict[str, Any]]:
    """A training of 24 steps for each precision and ZeRO stage."""
    return [
        {
            "name": f"{precision}.{stage}",
            "settings": {"precision": precision, "tokens": 24 * 4 * CONTEXT, "learning_rate": 1e-3},
            "machine": {"zero_stage": stage},
            **more,
        }
        for precision in TOLERANCE
        for stage in stages
    ]


def alone(rows: Path) -> dict[str, list[float]]:
    """The losses of one rank without ZeRO, by precision."""
    for options in configurations((0,)):
        run(rows, options["name"] + ".alone", settings=options["settings"])
    return {precision: losses(rows, f"{precision}.0.alone") for precision in TOLERANCE}


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_ranks_and_stages_make_no_difference(count: int, rows: Path) -> None:
    expected = alone(rows)
    launch(rows, count, configurations((0, 1, 2, 3)))
    worst = {}
    for precision in TOLERANCE:
        for stage in (0, 1, 2, 3):
            found = losses(rows, f"{precision}.{stage}")
            assert len(found) == 24
            differences = [abs(one - other) for one, other in zip(found, expected[precision], strict=True)]
            worst[precision, stage] = max(differences)
    assert [f"{key}: {value}" for key, value in worst.items() if not value <= TOLERANCE[key[0]]] == []


@pytest.mark.slow
def test_a_killed_training_goes_on_with_other_ranks_and_stages(rows: Path) -> None:
    expected = alone(rows)
    names = [options["name"] for options in configurations((0, 1, 2, 3))]
    # 4 ranks, then 1, then 2; and each time another stage.
    launch(rows, 4, configurations((0, 1, 2, 3), stop=10))
    assert {state.saves(rows / f"state.{name}")[0][0] for name in names} == {8}
    turned = [
        {**options, "machine": {"zero_stage": 3 - options["machine"]["zero_stage"]}, "stop": 18}
        for options in configurations((0, 1, 2, 3))
    ]
    for options in turned:
        run(rows, **options)
    assert {state.saves(rows / f"state.{name}")[0][0] for name in names} == {16}
    launch(rows, 2, configurations((0, 1, 2, 3)))
    for name in names:
        precision = name.partition(".")[0]
        assert losses(rows, name) == pytest.approx(expected[precision], abs=TOLERANCE[precision]), name


def test_the_fingerprint_says_nothing_of_the_machine(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = state.latest

    def latest(folder: Path, fingerprint: dict[str, Any]) -> Any:
        seen.append(fingerprint)
        return original(folder, fingerprint)

    monkeypatch.setattr(state, "latest", latest)
    run(rows, "one", stop=1)
    run(rows, "other", stop=1, machine={"zero_stage": 2, "micro_batch_tokens": CONTEXT})
    assert seen[0] == seen[1]
