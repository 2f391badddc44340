"""Fixed time budgets: the pace under a simulated clock, and the real loop, killed, slowed and on two ranks."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import train as command
from slamflow import files
from slamflow.lm import state
from slamflow.lm.next_token_loss import NextToken
from slamflow.lm.objective import Inputs
from slamflow.lm.objectives import ModelSettings, TrainingSettings
from slamflow.lm.objectives.dpo import DpoModel
from slamflow.lm.objectives.next_token import NextTokenModel
from slamflow.lm.pace import Clock, StepPace, TimePace
from slamflow.lm.schedule import learning_rate, learning_rate_at
from slamflow.recipe.recipe import Recipe
from tests.unit.training_rows import CONTEXT, json_of, ranks, settings, train, write_rows

SCRIPT = Path(command.__file__)
HOUR = 3600.0
Speed = Callable[[float], float]
"""Seconds of a step, by the seconds of work before it."""


class Simulated:
    """A training that only lets time pass."""

    def __init__(self, takes: Speed, validation: int, save: float, part: float = 1.0, **changes: Any) -> None:
        """The last validation takes as long as `validation` steps, others a `part` of it, a save `save` seconds."""
        self.part = part
        values = {"hours": 1.0, "learning_rate": 1.0, "min_learning_rate": 0.1, "warmup": 0.05, **changes}
        self.settings = TrainingSettings.model_validate(values)
        self.takes, self.validation, self.save = takes, validation, save
        self.now, self.worked = 0.0, 0.0
        self.rates: list[float] = []
        self.used: list[float] = []
        self.events: list[str] = []
        self.record: dict[str, Any] = {}
        self.saved_step = 0

    def wait(self, seconds: float) -> float:
        self.now += seconds
        self.worked += seconds
        return seconds

    def run(self, guess: float = 0.0, kill_at: float = float("inf")) -> bool:
        """Train until the end (True), or until `kill_at` seconds of work are done (False)."""
        step = self.saved_step
        pace = TimePace(self.settings, self.record, self.worked, guess, self.part, clock=lambda: self.now)
        while True:
            decision = pace.decide(step)
            self.rates.append(decision.learning_rate)
            self.used.append(decision.used)
            pace.add("step", self.wait(self.takes(self.worked)))
            step += 1
            if decision.validate:
                self.events.append("validation")
                steps = self.validation if decision.last else round(self.part * self.validation)
                pace.add("validation", sum(self.wait(self.takes(self.worked)) for _ in range(steps)))
            if self.worked >= kill_at:
                return False
            if decision.save:
                self.events.append("save")
                self.record, self.saved_step = json.loads(json.dumps(pace.record())), step
                pace.add("save", self.wait(self.save))
            if decision.last:
                return True


def steady(seconds: float) -> Speed:
    return lambda _now: seconds


def noisy(seconds: float, seed: int) -> Speed:
    """Now and then ten times as slow, and never twice the same."""
    draw = random.Random(seed)
    return lambda _now: seconds * draw.lognormvariate(0, 0.3) * (10 if draw.random() < 0.01 else 1)


def changing(before: float, after: float, at: float) -> Speed:
    return lambda now: before if now < at else after


SPEEDS = {
    "steady": steady(2.0),
    "slow": steady(30.0),
    "slower half-way": changing(1.5, 3.0, HOUR / 2),
    "faster half-way": changing(3.0, 1.0, HOUR / 2),
    "slower near the end": changing(1.0, 4.0, HOUR * 0.9),
    "compiles first": lambda now: 120.0 if now == 0 else 2.0,
    "noisy": noisy(2.0, 0),
}


@pytest.mark.parametrize("name", SPEEDS)
@pytest.mark.parametrize(("validation", "save"), [(0, 0.0), (12, 10.0)])
def test_the_schedule_ends_with_the_time(name: str, validation: float, save: float) -> None:
    training = Simulated(SPEEDS[name], validation, save, validate_every=100, save_every=150)
    assert training.run(guess=10.0)
    assert training.worked == pytest.approx(HOUR, rel=0.02)
    assert training.events[-2:] == ["validation", "save"]
    assert training.used == sorted(training.used)
    assert (training.used[-1], training.rates[-1]) == (1.0, 0.1)
    peak = training.rates.index(max(training.rates))
    assert max(training.rates) == pytest.approx(1.0, abs=0.03)
    assert all(first >= second for first, second in itertools.pairwise(training.rates[peak:]))
    assert all(first <= second for first, second in itertools.pairwise(training.rates[: peak + 1]))


@pytest.mark.parametrize("name", SPEEDS)
def test_no_step_takes_a_leap_in_the_schedule(name: str) -> None:
    """Each step's share is about its share of the time: nothing is left for the end to catch up."""
    training = Simulated(SPEEDS[name], 12, 10.0, validate_every=100, save_every=150)
    training.run(guess=10.0)
    leaps = [second - first for first, second in itertools.pairwise(training.used)]
    longest = {"slow": 30, "compiles first": 120, "noisy": 40}.get(name, 4)
    assert max(leaps) <= 1.2 * (longest + 12 * min(longest, 30) + 10) / HOUR


def test_a_steady_training_follows_the_schedule_of_its_steps() -> None:
    training = Simulated(steady(1.0), 0, 0.0)
    training.run()
    steps = len(training.rates)
    assert steps == pytest.approx(3600, abs=1)
    by_step = [learning_rate(step, steps, training.settings) for step in range(steps)]
    # What a step takes is known from the third on: the first may compile.
    assert training.rates[2:] == pytest.approx(by_step[2:], abs=2e-3)


@pytest.mark.parametrize("kill_at", [20.0, 700.0, 1801.0, 3300.0, 3590.0])
@pytest.mark.parametrize("name", ["steady", "slower half-way", "noisy"])
def test_what_a_killed_run_spent_counts(name: str, kill_at: float) -> None:
    training = Simulated(SPEEDS[name], 10, 5.0, validate_every=100, save_every=1000)
    assert not training.run(guess=5.0, kill_at=kill_at)
    before = len(training.rates)
    lost = training.worked - training.record.get("spent", 0.0)
    training.now += 5 * HOUR  # the pause does not
    training.run(guess=5.0)
    assert training.worked == pytest.approx(HOUR, rel=0.02)
    assert lost <= 0.04 * HOUR
    again = training.used[before:]
    assert again == sorted(again)
    assert again[0] <= training.record["reached"] if training.record else True
    assert training.rates[-1] == 0.1
    # It goes on where the save left it, although the time that was lost is gone.
    assert again[0] == pytest.approx(training.used[before - 1], abs=0.04)


def test_a_budget_that_is_used_up_ends_with_one_annealed_step() -> None:
    training = Simulated(steady(2.0), 0, 0.0)
    training.record = {"spent": 1.2 * HOUR, "used": 0.7, "reached": 0.7, "costs": {"step": 2.0}}
    training.worked = 1.2 * HOUR
    assert training.run()
    assert training.rates == [0.1]


def test_a_budget_of_less_than_a_step_makes_two() -> None:
    training = Simulated(steady(2.0), 0, 0.0, hours=1 / HOUR)
    assert training.run()
    assert training.rates == [0.0, 0.1]


def test_saves_are_never_far_apart_in_time() -> None:
    training = Simulated(steady(2.0), 0, 5.0, save_every=10**6)
    training.run()
    assert training.events.count("save") == pytest.approx(50, abs=2)


@pytest.mark.parametrize("name", SPEEDS)
def test_a_last_validation_that_is_ten_times_as_long_has_its_time(name: str) -> None:
    training = Simulated(SPEEDS[name], 60, 10.0, part=0.1, validate_every=30, save_every=150)
    assert training.run(guess=40.0)
    assert training.worked == pytest.approx(HOUR, rel=0.04)
    assert training.events[-2:] == ["validation", "save"]
    assert training.used == sorted(training.used)
    assert training.rates[-1] == 0.1


def test_steps_need_no_clock() -> None:
    values = settings(validate_every=4, save_every=5)
    pace = StepPace(6, values)
    steps = [pace.decide(step) for step in range(6)]
    assert [step.learning_rate for step in steps] == [learning_rate(step, 6, values) for step in range(6)]
    assert [step.last for step in steps] == [False] * 5 + [True]
    assert [step.validate for step in steps] == [False, False, False, True, False, True]
    assert [step.save for step in steps] == [False, False, False, False, True, True]


@pytest.mark.parametrize("schedule", ["cosine", "inverse_sqrt", "constant"])
def test_the_schedule_by_time_is_the_limit_of_that_by_steps(schedule: Any) -> None:
    values = TrainingSettings(learning_rate=1.0, min_learning_rate=0.2, warmup=0.07, schedule=schedule)
    for step in range(10_000):
        by_time = learning_rate_at((step + 1) / 10_000, values)
        assert by_time == pytest.approx(learning_rate(step, 10_000, values), abs=1e-9)


# Settings


def test_hours_stand_instead_of_tokens() -> None:
    assert settings(hours=2.0, tokens=None).tokens is None
    assert settings(tokens=7).hours is None
    timed = NextTokenModel.model_validate({"init": "m", "data": "d", "hours": 2.0})
    assert timed.tokens is None
    assert NextTokenModel.model_validate_json(timed.model_dump_json()) == timed
    with pytest.raises(ValueError, match="hours or tokens, not both"):
        settings(hours=2.0)
    with pytest.raises(ValueError, match="give tokens or hours"):
        settings(tokens=None)
    preference = {"objective": "dpo", "pairs": "p", "init": "m", "hours": 0.5}
    assert DpoModel.model_validate(preference).epochs is None
    with pytest.raises(ValueError, match="hours or epochs, not both"):
        DpoModel.model_validate({**preference, "epochs": 2})
    with pytest.raises(ValueError, match="inverse_sqrt with hours needs a warmup"):
        DpoModel.model_validate({**preference, "warmup": 0.0})


def test_a_models_own_length_stands_against_the_default() -> None:
    speech = {"encoder": "e", "train": ["c/train"]}
    base = {
        "recipe": "r",
        "corpora": {"c": {"kind": "stories", "splits": {"train": {"stories": 4}}}},
        "encoders": {"e": {"kind": "logmel", "fit": {"corpora": ["c/train"]}}},
        "datasets": {"speech": speech},
    }

    def resolved(training: dict[str, Any], model: dict[str, Any]) -> ModelSettings:
        models = {"m": {"init": "scratch", "architecture": {}, "data": "speech", **model}}
        recipe = Recipe.model_validate({**base, "training": training, "models": models})
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
        return recipe.models["m"]

    assert resolved({"tokens": 5}, {"hours": 1.0}).model_dump()["tokens"] is None
    assert resolved({"hours": 1.0}, {"tokens": 5}).hours is None
    assert resolved({"hours": 1.0}, {}).hours == 1.0
    assert resolved({"tokens": 5}, {}).model_dump()["tokens"] == 5


# The real loop

SECONDS = 6.0


def timed(**changes: Any) -> NextTokenModel:
    values = {"hours": SECONDS / HOUR, "tokens": None, "validate_every": 20, "save_every": 30, "warmup": 0.1, **changes}
    return settings(**values)


def run(folder: Path, name: str = "model", values: NextTokenModel | None = None) -> list[dict[str, Any]]:
    """Train a tiny model for some seconds and return its curve."""
    for part, seed in (("train", 0), ("validation", 1)):
        if not (folder / part).exists():
            write_rows(folder / part, seed=seed)
    inputs = Inputs(train=folder / "train", validation={"held/out": folder / "validation"})
    train(values or timed(), inputs, folder / f"state.{name}", folder / name)
    return files.read_jsonl(folder / name / "metrics.jsonl")


def check_curve(curve: list[dict[str, Any]]) -> None:
    """The schedule is whole: up, down, and at its floor in the end."""
    rates = [line["learning_rate"] for line in curve]
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(1e-3)
    assert [line["step"] for line in curve] == list(range(1, len(curve) + 1))
    assert "validation_loss" in curve[-1]
    assert max(b["budget_used"] - a["budget_used"] for a, b in itertools.pairwise(curve)) < 0.2


@pytest.mark.slow
def test_a_real_training_ends_with_its_time(tmp_path: Path) -> None:
    ranks()
    curve = run(tmp_path)
    check_curve(curve)
    record = files.read_json(tmp_path / "model" / "training.json")
    assert record["budget"]["seconds"] == pytest.approx(SECONDS, rel=0.05)
    assert record["steps"] == len(curve) > 20
    assert record["tokens"] == len(curve) * 4 * CONTEXT
    assert not (tmp_path / "state.model" / state.CLOCK).exists()
    again = run(tmp_path)  # what was trained once has used no time of the next
    assert len(again) > len(curve) / 3


@pytest.mark.slow
def test_a_slower_second_half_makes_fewer_steps_in_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, began = NextToken.micro_batches, time.monotonic()

    def micro_batches(self: NextToken, step: int) -> Any:
        if time.monotonic() - began > SECONDS / 2:
            time.sleep(0.05)
        return original(self, step)

    monkeypatch.setattr(NextToken, "micro_batches", micro_batches)
    check_curve(run(tmp_path))
    seconds = files.read_json(tmp_path / "model" / "training.json")["budget"]["seconds"]
    assert seconds == pytest.approx(SECONDS, rel=0.05)


@pytest.mark.slow
def test_sigterm_and_a_pause_keep_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, began = NextToken.micro_batches, time.monotonic()

    def micro_batches(self: NextToken, step: int) -> Any:
        if time.monotonic() - began > SECONDS / 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, step)

    monkeypatch.setattr(NextToken, "micro_batches", micro_batches)
    with pytest.raises(SystemExit):
        run(tmp_path)
    stopped = time.monotonic() - began
    monkeypatch.undo()
    time.sleep(1.0)
    again = time.monotonic()
    check_curve(run(tmp_path))
    assert stopped + time.monotonic() - again == pytest.approx(SECONDS, abs=2.0)  # loading and export included
    assert files.read_json(tmp_path / "model" / "training.json")["budget"]["seconds"] == pytest.approx(
        SECONDS, rel=0.05
    )


def test_the_clock_is_of_one_training(tmp_path: Path) -> None:
    clock = Clock(tmp_path, "a")
    assert clock.read() == 0.0
    clock.write(0.2)
    clock.write(0.9)
    assert clock.read() == 0.2
    clock.write(1.3)
    assert (Clock(tmp_path, "a").read(), Clock(tmp_path, "b").read()) == (1.3, 0.0)
    (tmp_path / state.CLOCK).write_text("{")
    assert clock.read() == 0.0


# Processes


def launch(folder: Path, processes: int, values: NextTokenModel) -> subprocess.Popen[bytes]:
    """Start the training under torchrun."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    options = [
        *("--settings", json_of(values), "--threads", "1"),
        *("--train", str(folder / "train"), "--validation", f"held/out={folder / 'validation'}"),
        *("--state", str(folder / "state"), "--output", str(folder / "model")),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(folder / "log", "ab") as stream:
        return subprocess.Popen([*start, str(SCRIPT), *options], stdout=stream, stderr=stream, env=environment)


@pytest.mark.slow
def test_two_ranks_agree_and_a_killed_run_keeps_the_time(tmp_path: Path) -> None:
    for part, seed in (("train", 0), ("validation", 1)):
        write_rows(tmp_path / part, seed=seed)
    values = timed(batch_tokens=5 * CONTEXT, hours=8 / HOUR)
    first = launch(tmp_path, 2, values)
    clock = Clock(tmp_path / "state", "")
    deadline = time.monotonic() + 120
    while not (clock.path.is_file() and json.loads(clock.path.read_text())["seconds"] > 3):
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.05)
    workers = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    for worker in workers:
        os.kill(int(worker), signal.SIGKILL)
    assert first.wait(timeout=60) != 0
    spent = json.loads(clock.path.read_text())["seconds"]
    second = launch(tmp_path, 2, values)
    assert second.wait(timeout=120) == 0, (tmp_path / "log").read_text()
    record = files.read_json(tmp_path / "model" / "training.json")
    assert record["ranks"] == 2
    assert spent < record["budget"]["seconds"] == pytest.approx(8.0, rel=0.08)
    check_curve(files.read_jsonl(tmp_path / "model" / "metrics.jsonl"))
    assert load_file(tmp_path / "model" / "model.safetensors")
