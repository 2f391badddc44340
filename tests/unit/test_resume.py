"""A killed training goes on where it stopped and ends with the bits of an unbroken one."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import train as command
from slamflow import files
from slamflow.errors import InputError
from slamflow.lm import export, state
from slamflow.lm.devices import Machine
from slamflow.lm.next_token_loss import NextToken
from slamflow.lm.objective import Inputs
from slamflow.shards.rows import Batch
from tests.unit.training_rows import CONTEXT, LLAMA, json_of, settings, train, write_rows

SCRIPT = Path(command.__file__)


class PowerCutError(Exception):
    """The process is gone."""


def run(folder: Path, name: str, zero_stage: int = 0, **changes: Any) -> dict[str, torch.Tensor]:
    """Train a tiny model (12 steps, a save each 4) and return its weights."""
    if not (folder / "train").exists():
        write_rows(folder / "train")
    machine = Machine(threads=1, zero_stage=zero_stage, micro_batch_tokens=2 * CONTEXT)
    places = folder / f"state.{name}", folder / name
    train(settings(**changes), Inputs(train=folder / "train"), *places, machine)
    return load_file(folder / name / "model.safetensors")


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, how: Any) -> None:
    """Call `how` when the loop asks for the rows of `step` (from 0), once."""
    original = NextToken.micro_batches
    done: list[int] = []

    def micro_batches(self: NextToken, number: int) -> Any:
        if number == step and not done:
            done.append(number)
            how()
        return original(self, number)

    monkeypatch.setattr(NextToken, "micro_batches", micro_batches)


def power_cut() -> None:
    raise PowerCutError


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert set(first) == set(second)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_dropout_draws_alike_in_a_resumed_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropping = {**LLAMA, "attention_dropout": 0.2}
    unbroken = run(tmp_path, "unbroken", architecture=dropping)
    stop_at(monkeypatch, 6, power_cut)
    with pytest.raises(PowerCutError):
        run(tmp_path, "broken", architecture=dropping)
    torch.manual_seed(99)
    assert_equal(unbroken, run(tmp_path, "broken", architecture=dropping))
    whole = run(tmp_path, "without")
    assert any(not torch.equal(whole[name], unbroken[name]) for name in whole)


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 2])
def test_a_broken_training_ends_as_an_unbroken_one(
    zero_stage: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    unbroken = run(tmp_path, "unbroken", zero_stage)
    stop_at(monkeypatch, 10, power_cut)
    with pytest.raises(PowerCutError):
        run(tmp_path, "broken", zero_stage)
    assert [path.name for path in (tmp_path / "state.broken").glob("step-*")] == ["step-8"]
    assert_equal(unbroken, run(tmp_path, "broken", zero_stage))
    assert "going on after step 8 of 12" in caplog.text
    curves = [files.read_jsonl(tmp_path / name / "metrics.jsonl") for name in ("unbroken", "broken")]
    for curve in curves:
        for line in curve:
            del line["tokens_per_second"]
    assert curves[0] == curves[1]


def test_it_goes_on_after_the_last_step_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = run(tmp_path, "unbroken")
    monkeypatch.setattr(export, "export_model", lambda *_: power_cut())
    with pytest.raises(PowerCutError):
        run(tmp_path, "broken")
    monkeypatch.undo()
    assert_equal(unbroken, run(tmp_path, "broken"))
    assert len(files.read_jsonl(tmp_path / "broken" / "metrics.jsonl")) == 12
    assert not list((tmp_path / "state.broken").glob("step-*"))


def test_sigterm_saves_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = run(tmp_path, "unbroken")
    before = signal.getsignal(signal.SIGTERM)
    stop_at(monkeypatch, 6, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, "broken")
    assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert [path.name for path in (tmp_path / "state.broken").glob("step-*")] == ["step-6"]
    assert_equal(unbroken, run(tmp_path, "broken"))


def validated(folder: Path, name: str) -> list[dict[str, Any]]:
    """Train a tiny model in 12 steps with a validation after each 6, two rows at once; returns its curve."""
    for part, seed in (("train", 0), ("validation", 1)):
        if not (folder / part).exists():
            write_rows(folder / part, seed=seed)
    machine = Machine(threads=1, micro_batch_tokens=2 * CONTEXT)
    inputs = Inputs(train=folder / "train", validation={"held/out": folder / "validation"})
    train(settings(validate_every=6, validation_share=0.25), inputs, folder / f"state.{name}", folder / name, machine)
    curve = files.read_jsonl(folder / name / "metrics.jsonl")
    for line in curve:
        del line["tokens_per_second"]
    return curve


def signal_in_loss(monkeypatch: pytest.MonkeyPatch, training: bool, call: int) -> list[bool]:
    """Send SIGTERM from within one call of the loss, counted from 1 among those of training or of validation.

    Returns a list that grows by one element with each such call.
    """
    loss = NextToken.loss
    calls: list[bool] = []

    def signalling(self: NextToken, model: Any, batch: Any) -> Any:
        if torch.is_grad_enabled() == training:
            calls.append(training)
            if len(calls) == call:
                os.kill(os.getpid(), signal.SIGTERM)
        return loss(self, model, batch)

    monkeypatch.setattr(NextToken, "loss", signalling)
    return calls


@pytest.mark.parametrize(("call", "step"), [(2, 6), (12, 12)])
def test_sigterm_during_a_long_validation_saves_and_ends(
    call: int, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one on the way, and in the last one; it is made when the training goes on."""
    unbroken = validated(tmp_path, "unbroken")
    calls = signal_in_loss(monkeypatch, training=False, call=call)
    with pytest.raises(SystemExit) as stopped:
        validated(tmp_path, "broken")
    assert stopped.value.code == 143
    assert len(calls) == call  # no micro-batch more
    assert [path.name for path in (tmp_path / "state.broken").glob("step-*")] == [f"step-{step}"]
    monkeypatch.undo()
    assert validated(tmp_path, "broken") == unbroken
    models = [load_file(tmp_path / name / "model.safetensors") for name in ("unbroken", "broken")]
    assert_equal(*models)
    records = [files.read_json(tmp_path / name / "training.json") for name in ("unbroken", "broken")]
    assert records[0]["validation_loss"] == records[1]["validation_loss"]


@pytest.mark.parametrize(("call", "step"), [(9, 4), (10, 5), (11, 5), (24, 12)])
def test_sigterm_within_a_step(call: int, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step has two micro-batches: in the first one it is left and made again, in the second one it is done."""
    unbroken = validated(tmp_path, "unbroken")
    signal_in_loss(monkeypatch, training=True, call=call)
    with pytest.raises(SystemExit) as stopped:
        validated(tmp_path, "broken")
    assert stopped.value.code == 143
    assert [path.name for path in (tmp_path / "state.broken").glob("step-*")] == [f"step-{step}"]
    monkeypatch.undo()
    assert validated(tmp_path, "broken") == unbroken
    assert_equal(*(load_file(tmp_path / name / "model.safetensors") for name in ("unbroken", "broken")))


def test_a_step_that_is_saved_is_not_saved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves = []
    original = state.save

    def counted(folder: Path, step: int, *more: Any) -> None:
        saves.append(step)
        original(folder, step, *more)

    monkeypatch.setattr(state, "save", counted)
    stop_at(monkeypatch, 8, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        run(tmp_path, "broken")
    assert saves == [4, 8]


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"seed": 1}, "settings.seed"), ({"tokens": 8 * 4 * CONTEXT}, "settings.tokens"), ({}, "data")],
)
def test_a_changed_training_starts_afresh(
    changes: dict[str, Any],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    stop_at(monkeypatch, 10, power_cut)
    with pytest.raises(PowerCutError):
        run(tmp_path, "model")
    if not changes:
        shutil.rmtree(tmp_path / "train")
        write_rows(tmp_path / "train", seed=5)
    result = run(tmp_path, "model", **changes)
    assert f"changed: {named}" in caplog.text
    assert_equal(result, run(tmp_path, "fresh", **changes))
    assert len(files.read_jsonl(tmp_path / "model" / "metrics.jsonl")) == (8 if "tokens" in changes else 12)


def test_how_often_it_saves_and_validates_is_no_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unbroken = run(tmp_path, "unbroken")
    caplog.set_level(logging.INFO)
    stop_at(monkeypatch, 10, power_cut)
    with pytest.raises(PowerCutError):
        run(tmp_path, "model")
    result = run(tmp_path, "model", save_every=3, validate_every=5)
    assert "going on after step 8" in caplog.text
    assert_equal(result, unbroken)


def test_saves_that_were_cut_short_are_left_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    unbroken = run(tmp_path, "unbroken")
    stop_at(monkeypatch, 10, power_cut)
    with pytest.raises(PowerCutError):
        run(tmp_path, "broken")
    folder = tmp_path / "state.broken"
    (folder / ".step-10.part").mkdir()
    (folder / ".step-10.part" / "state.safetensors").write_bytes(b"half")
    (folder / "step-11").mkdir()  # no record: never finished
    (folder / "step-12").mkdir()
    (folder / "step-12" / "state.json").write_text('{"fingerprint": {')
    assert_equal(unbroken, run(tmp_path, "broken"))
    assert "going on after step 8" in caplog.text


def test_a_save_never_replaces_a_good_one_with_a_part(tmp_path: Path) -> None:
    def write(to: Path) -> None:
        (to / "weights").write_text("4")

    def fail(to: Path) -> None:
        (to / "weights").write_text("8")
        raise OSError("no space left")

    state.save(tmp_path, 4, {"fingerprint": {"a": 1}}, write)
    with pytest.raises(OSError, match="no space"):
        state.save(tmp_path, 8, {"fingerprint": {"a": 1}}, fail)
    found = state.latest(tmp_path, {"a": 1})
    assert found is not None
    assert (found[0] / "weights").read_text() == "4"
    state.save(tmp_path, 8, {"fingerprint": {"a": 1}}, write)
    assert [path.name for path in tmp_path.glob("*step-*")] == ["step-8"]


HOLD = """
import sys, time
from pathlib import Path
from slamflow.lm import export
from slamflow.lm import state
with state.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_second_trainer_waits_and_is_refused_and_a_dead_one_does_not_count(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent)},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        started = time.monotonic()
        with pytest.raises(InputError, match=f"another training .process {holder.pid} on"), state.locked(tmp_path, 0.5):
            pass
        assert time.monotonic() - started >= 0.5
        holder.kill()
    with state.locked(tmp_path, 0.0):
        pass


# The real thing: processes that are killed


def launch(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the training under torchrun."""
    values = json_of(settings(tokens=400 * 4 * CONTEXT, save_every=5, validate_every=1000))
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1", str(SCRIPT)]
    options = [
        *("--settings", values, "--threads", "1"),
        *("--train", str(folder / "train"), "--state", str(folder / "state"), "--output", str(folder / "model")),
    ]
    with open(log, "ab") as stream:
        return subprocess.Popen([*start, *options], stdout=stream, stderr=stream)


def wait_for_save(folder: Path, above: int) -> int:
    """Wait for a save of a step above `above` and return its step."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = state.saves(folder / "state")
        if found and found[0][0] > above:
            return found[0][0]
        time.sleep(0.01)
    raise AssertionError("no save in two minutes")


def worker_of(process: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killing_the_worker_or_torchrun_costs_nothing(tmp_path: Path) -> None:
    write_rows(tmp_path / "train")
    log = tmp_path / "log"
    first = launch(tmp_path, log)
    step = wait_for_save(tmp_path, above=0)
    os.kill(worker_of(first), signal.SIGKILL)
    assert first.wait(timeout=60) != 0
    second = launch(tmp_path, log)
    step = wait_for_save(tmp_path, above=step)
    orphan = worker_of(second)
    second.kill()  # the worker is left without its parent, and ends by itself
    second.wait(timeout=60)
    third = launch(tmp_path, log)
    assert third.wait(timeout=120) == 0, log.read_text()
    assert not Path(f"/proc/{orphan}").exists()
    text = log.read_text()
    assert text.count("going on after step") == 2
    assert step < 400

    whole = tmp_path / "unbroken"
    changes = {"tokens": 400 * 4 * CONTEXT, "validate_every": 1000}
    train(settings(**changes), Inputs(train=tmp_path / "train"), whole, whole)
    assert_equal(load_file(whole / "model.safetensors"), load_file(tmp_path / "model" / "model.safetensors"))


def test_a_padded_batch_is_harmless() -> None:
    batch = Batch(*(torch.full((1, 4), value).numpy() for value in (0, -1)))
    assert batch.positions().tolist() == [[0, 1, 2, 3]]
    assert (batch.targets() == -100).all()
