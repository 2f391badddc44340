"""Measuring a device: which micro-batches are tried, which is chosen, and who reads what was found."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed

import calibrate as command
from slamflow import files
from slamflow.errors import InputError
from slamflow.lm import calibration, devices
from slamflow.lm.calibration import Measured, calibrate, choose, micro_batches, random_rows
from slamflow.lm.compilation import Way
from slamflow.lm.devices import Machine, Ranks
from slamflow.lm.initial import build_model
from slamflow.lm.objective import Inputs, Prepared
from slamflow.lm.objectives import OBJECTIVES
from slamflow.shards.rows import Rows
from tests.unit.training_rows import CONTEXT, UNITS, VOCABULARY, job, json_of, ranks, settings, write_rows


def measured(*times: float, memory: tuple[int, ...] = ()) -> list[Measured]:
    """Micro-batches of 1, 2, 4, ... rows."""
    memory = memory or (100,) * len(times)
    return [Measured(2**number, time, memory[number]) for number, time in enumerate(times)]


def test_micro_batches_divide_a_step_evenly() -> None:
    assert micro_batches(1) == [1]
    assert micro_batches(4) == [1, 2, 4]
    assert micro_batches(78) == [1, 2, 4, 8, 16, 26, 39, 78]
    for count in range(1, 200):
        sizes = micro_batches(count)
        assert (sizes[0], sizes[-1]) == (1, count)
        assert sizes == sorted(set(sizes))
        # One part less would need more rows at once.
        assert all(-(-count // -(-count // size)) == size for size in sizes)


def test_the_largest_of_the_fastest_that_fit_is_chosen() -> None:
    chosen = choose(measured(4.0, 2.0, 2.01, 2.5), None)
    assert chosen is not None
    assert chosen.rows == 4
    chosen = choose(measured(4.0, 2.0, 1.0, memory=(100, 900, 930)), 1000)
    assert chosen is not None
    assert chosen.rows == 2
    assert choose(measured(4.0, memory=(999,)), 1000) is None


@pytest.mark.slow
def test_a_calibration_is_of_this_device(tmp_path: Path) -> None:
    inputs = Inputs(train=write_rows(tmp_path / "a"))
    found = calibrate(job(settings(tokens=None, hours=2.0)), inputs, Machine(), ranks())
    assert found["device"] == devices.device_name(ranks().device)
    assert found["micro_batch_tokens"] in (CONTEXT, 2 * CONTEXT, 4 * CONTEXT)
    assert found["accumulation"] * found["micro_batch_tokens"] == 4 * CONTEXT == found["tokens_per_step"]
    assert found["zero_stage"] == 0
    assert found["steps"] == pytest.approx(7200 / found["seconds_per_step"], rel=0.01)
    assert found["hours"] == pytest.approx(2.0, rel=0.01)
    assert {one["rows"] for one in found["tried"]} <= {1, 2, 4}
    fixed = calibrate(job(settings()), inputs, Machine(), ranks(), most_seconds=0)
    assert (fixed["steps"], fixed["tokens"]) == (12, 12 * 4 * CONTEXT)
    assert len(fixed["tried"]) == 1


@pytest.mark.slow
def test_too_much_for_the_memory_ends_the_ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = calibration._measure

    def measure(prepared: Any, values: Any, machine: Machine, all_ranks: Any) -> tuple[float, int]:
        if machine.micro_batch_tokens > limit * CONTEXT:
            raise torch.OutOfMemoryError
        return original(prepared, values, machine, all_ranks)

    monkeypatch.setattr(calibration, "_measure", measure)
    limit = 2
    inputs = Inputs(train=write_rows(tmp_path / "a"))
    found = calibrate(job(settings()), inputs, Machine(), ranks())
    assert found["micro_batch_tokens"] <= 2 * CONTEXT
    limit = 0
    monkeypatch.setattr(calibration, "_memory_mb", lambda _: 1000.0)
    with pytest.raises(InputError, match="not even one row of 48 positions fits"):
        calibrate(job(settings()), inputs, Machine(), ranks())
    with pytest.raises(InputError, match="give --train"):
        calibrate(job(settings()), Inputs(), Machine(), ranks())


class Faked:
    """A GPU of 1,000 MB on which steps take as long, and as much memory, as a test says."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, of: Callable[[Machine, int], tuple[float, int]], memory: float = 1000
    ) -> None:
        self.of, self.tried = of, list[Machine]()
        monkeypatch.setattr(calibration, "_memory_mb", lambda _: memory)
        monkeypatch.setattr(calibration, "_free", lambda _: None)
        monkeypatch.setattr(calibration, "device_name", lambda _: "a card")
        monkeypatch.setattr(calibration, "peak_of", lambda *_: 1e12)
        monkeypatch.setattr(calibration, "_measure", self.measure)
        monkeypatch.setitem(sys.modules, OBJECTIVES.module_name("next_token"), SimpleNamespace(prepare=self.prepare))

    def prepare(self, _job: Any, _inputs: Inputs, machine: Machine, _ranks: Ranks) -> Prepared:
        compiled = machine.compile is not False
        way = Way(machine.attention or "flex_attention", compiled)
        objective: Any = SimpleNamespace(tokens_per_step=64 * CONTEXT, steps=10)
        return Prepared(build_model(settings(), VOCABULARY, CONTEXT, None), objective, {}, {}, {}, way)

    def measure(self, _prepared: Prepared, _values: Any, machine: Machine, _ranks: Ranks) -> tuple[float, int]:
        self.tried.append(machine)
        rows = machine.micro_batch_tokens // CONTEXT
        seconds, memory = self.of(machine, rows)
        if memory > 1000:
            raise torch.OutOfMemoryError
        return seconds, memory

    def calibrate(self, tmp_path: Path, machine: Machine | None = None) -> dict[str, Any]:
        gpu = Ranks(0, 1, torch.device("cuda", 0))
        return calibrate(job(settings()), Inputs(train=write_rows(tmp_path / "a")), machine or Machine(), gpu)


def test_a_gpu_begins_near_the_default_and_goes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "micro_batch_tokens", 8 * CONTEXT)
    faked = Faked(monkeypatch, lambda _, rows: (1 + 8 / rows, 10 * rows))
    found = faked.calibrate(tmp_path)
    assert [(one["rows"], one["attention"]) for one in found["tried"]] == [
        *((rows, "flex_attention") for rows in (8, 16, 32, 64)),
        (64, "sdpa"),
    ]
    assert (found["micro_batch_tokens"], found["accumulation"]) == (64 * CONTEXT, 1)
    assert (found["attention"], found["compile"]) == ("flex_attention", True)
    assert found["mfu"] == pytest.approx(found["flops_per_token"] * found["tokens_per_second"] / 1e12, abs=1e-4)


def test_a_gpu_that_is_too_small_for_the_default_goes_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "micro_batch_tokens", 8 * CONTEXT)
    faked = Faked(monkeypatch, lambda _, rows: (1.0, 300 * rows))
    found = faked.calibrate(tmp_path)
    assert found["micro_batch_tokens"] == 2 * CONTEXT
    assert [machine.micro_batch_tokens // CONTEXT for machine in faked.tried] == [8, 4, 2, 2]


@pytest.mark.parametrize(("sdpa_seconds", "chosen"), [(0.5, "sdpa"), (2.0, "flex_attention")])
def test_the_faster_attention_is_chosen(
    sdpa_seconds: float, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faked = Faked(monkeypatch, lambda machine, _: (sdpa_seconds if machine.attention == "sdpa" else 1.0, 10))
    assert faked.calibrate(tmp_path)["attention"] == chosen
    assert {machine.attention for machine in faked.tried} == {None, "sdpa"}
    faked.tried.clear()
    assert faked.calibrate(tmp_path, Machine(attention="flex_attention"))["attention"] == "flex_attention"
    assert {machine.attention for machine in faked.tried} == {"flex_attention"}


def test_a_model_that_cannot_be_compiled_is_measured_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(machine: Machine, _rows: int) -> tuple[float, int]:
        if machine.compile is not False:
            raise BackendCompilerFailed("inductor", RuntimeError("out of shared memory"), None)
        return 1.0, 10

    faked = Faked(monkeypatch, fails)
    found = faked.calibrate(tmp_path)
    assert (found["attention"], found["compile"]) == ("sdpa", False)
    assert "out of shared memory" in caplog.text
    with pytest.raises(BackendCompilerFailed):
        faked.calibrate(tmp_path, Machine(compile=True))


class Two(Ranks):
    """One rank of two, and what the other one says in turn."""

    other: list[float] = []

    def largest(self, number: float) -> float:
        return max(number, self.other.pop(0))


def test_too_much_for_one_rank_is_too_much_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a peak is the largest of all, so that all choose the same."""
    faked = Faked(monkeypatch, lambda _machine, rows: (1.0, 10 * rows))
    two = Two(0, 2, torch.device("cuda", 0))
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)
    attempt = partial(calibration._attempt, partial(faked.prepare, None, Inputs()), settings(), CONTEXT, 64 * CONTEXT)
    monkeypatch.setattr(Two, "other", [0.0, 700.0])
    assert attempt(two, Machine(), 4) == Measured(4, 1.0, 700, "flex_attention", True)
    monkeypatch.setattr(Two, "other", [1.0])
    assert attempt(two, Machine(), 4) is None
    # The same memory for all: here 600 of 1,000 are free, on the other rank 500 of 1,000.
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (600, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 0)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, _: shares.append(share))
    monkeypatch.setattr(Two, "other", [-0.5])
    calibration.share_memory(two)
    calibration.share_memory(Ranks(0, 1, torch.device("cuda", 0)))
    assert shares == [0.5]


def test_random_rows_have_documents_of_the_given_length(tmp_path: Path) -> None:
    short = Rows(random_rows(tmp_path / "short", CONTEXT, UNITS, 10))
    batch = short.read(range(len(short)))
    lengths = torch.bincount(torch.from_numpy(batch.document[0][batch.document[0] >= 0]))
    assert set(lengths.tolist()) == {12}  # BOS and EOS
    assert short.vocabulary.units == UNITS
    whole = Rows(random_rows(tmp_path / "whole", CONTEXT, UNITS, 10**9))
    assert (whole.read(range(len(whole))).document == 0).all()


def test_the_command_needs_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks()
    monkeypatch.setattr(devices, "stop", lambda: None)
    options = ["--context", str(CONTEXT), "--output", str(tmp_path / "found.json"), "--settings", json_of(settings())]
    options += ["--threads", "1", "--most-seconds", "0"]
    command.main([*options, "--units", str(UNITS)])
    assert files.read_json(tmp_path / "found.json")["context"] == CONTEXT
    with pytest.raises(InputError, match="--units"):
        command.main(options)


# Who reads what was found


def machine(*options: str) -> Machine:
    parser = argparse.ArgumentParser()
    devices.add_machine_options(parser)
    return devices.read_machine(parser.parse_args(options), ranks())


def test_it_fills_what_the_options_leave_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "found.json"
    assert machine("--calibration", str(path)) == Machine()
    here = {"device": devices.device_name(ranks().device), "ranks": 1, "micro_batch_tokens": 512, "zero_stage": 2}
    files.write_json(path, here)
    assert machine("--calibration", str(path)) == Machine(micro_batch_tokens=512, zero_stage=2)
    forced = machine("--calibration", str(path), "--micro-batch-tokens", "64", "--zero-stage", "0")
    assert forced == Machine(micro_batch_tokens=64, zero_stage=0)
    files.write_json(path, {**here, "attention": "sdpa", "compile": False})
    found = machine("--calibration", str(path))
    assert (found.attention, found.compile) == ("sdpa", False)
    found = machine("--calibration", str(path), "--attention", "eager", "--compile")
    assert (found.attention, found.compile) == ("eager", True)
    for other in ({"device": "another"}, {"ranks": 2}):
        files.write_json(path, {**here, **other})
        caplog.clear()
        assert machine("--calibration", str(path)) == Machine()
        assert "not of this device" in caplog.text


def test_an_offload_brings_zero_along(tmp_path: Path) -> None:
    assert machine("--offload", "1") == Machine(zero_stage=2, offload=True)
    assert machine("--offload", "1", "--zero-stage", "3") == Machine(zero_stage=3, offload=True)
    with pytest.raises(InputError, match="--offload 1 needs ZeRO, but --zero-stage is 0"):
        machine("--offload", "1", "--zero-stage", "0")
    path = tmp_path / "found.json"
    here = {"device": devices.device_name(ranks().device), "ranks": 1}
    files.write_json(path, {**here, "micro_batch_tokens": 512, "zero_stage": 2, "offload": True})
    found = ("--calibration", str(path))
    assert machine(*found) == Machine(micro_batch_tokens=512, zero_stage=2, offload=True)
    assert machine(*found, "--zero-stage", "0") == Machine(micro_batch_tokens=512)
    assert machine(*found, "--offload", "0") == Machine(micro_batch_tokens=512, zero_stage=2)
    assert machine(*found, "--zero-stage", "-1", "--offload", "-1") == machine(*found)


@pytest.mark.slow
def test_what_does_not_fit_the_device_is_offloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = calibration._measure

    def measure(prepared: Any, values: Any, there: Machine, all_ranks: Any) -> tuple[float, int]:
        if not there.offload:
            raise torch.OutOfMemoryError
        return original(prepared, values, there, all_ranks)

    monkeypatch.setattr(calibration, "_measure", measure)
    monkeypatch.setattr(calibration, "candidates", lambda *_: [(0, False), (2, True)])
    found = calibrate(job(settings()), Inputs(train=write_rows(tmp_path / "a")), Machine(), ranks())
    assert (found["zero_stage"], found["offload"]) == (2, True)
    assert {(one["zero_stage"], one["offload"]) for one in found["tried"]} == {(2, True)}
