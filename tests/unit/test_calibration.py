"""Measuring a device: which micro-batches are tried, which is chosen, and who reads what was found."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch

import calibrate as command
from slamflow import files
from slamflow.errors import InputError
from slamflow.lm import calibration, devices
from slamflow.lm.calibration import Measured, calibrate, choose, micro_batches, random_rows
from slamflow.lm.devices import Machine
from slamflow.lm.objective import Inputs
from slamflow.shards.rows import Rows
from tests.unit.training_rows import CONTEXT, UNITS, job, json_of, ranks, settings, write_rows


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
