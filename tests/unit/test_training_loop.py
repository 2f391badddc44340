"""The loop: schedule, accumulation, ranks, precision, curves, and what it does when the loss is no number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import pytest
import torch
from deepspeed.runtime.torch_autocast import get_comm_dtype
from safetensors.torch import load_file

from slamflow import commands, files
from slamflow.errors import InputError
from slamflow.lm.devices import Machine
from slamflow.lm.engine import make_engine
from slamflow.lm.initial import build_model
from slamflow.lm.next_token_loss import NextToken
from slamflow.lm.objective import Inputs
from slamflow.lm.objectives import TrainingSettings
from slamflow.lm.schedule import learning_rate
from slamflow.shards.rows import Rows
from slamflow.vocabulary import Vocabulary
from tests.unit.training_rows import CONTEXT, UNITS, VOCABULARY, json_of, ranks, settings, train, write_rows

SCRIPT = Path(__file__).parents[2] / "workflow_scripts/train.py"


def run(folder: Path, name: str = "model", machine: Machine | None = None, **changes: Any) -> dict[str, torch.Tensor]:
    """Train a tiny model on rows under `folder` and return its weights."""
    for part, seed in (("train", 0), ("validation", 1)):
        if not (folder / part).exists():
            write_rows(folder / part, seed=seed)
    inputs = Inputs(train=folder / "train", validation={"held/out": folder / "validation"})
    train(settings(**changes), inputs, folder / f"state.{name}", folder / name, machine)
    return load_file(folder / name / "model.safetensors")


def lines(folder: Path) -> list[dict[str, Any]]:
    return files.read_jsonl(folder / "metrics.jsonl")


def assert_close(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], atol: float) -> None:
    assert set(first) == set(second)
    for name, weight in first.items():
        torch.testing.assert_close(weight, second[name], rtol=0, atol=atol, msg=name)


# Schedule


def rates(steps: int, **values: Any) -> list[float]:
    return [learning_rate(step, steps, TrainingSettings(learning_rate=1.0, **values)) for step in range(steps)]


def test_cosine_by_hand() -> None:
    assert rates(6, warmup=0.3, schedule="cosine", min_learning_rate=0.2) == pytest.approx(
        [0.5, 1.0, 0.2 + 0.8 * (1 + 0.5**0.5) / 2, 0.6, 0.2 + 0.8 * (1 - 0.5**0.5) / 2, 0.2]
    )
    assert rates(100, warmup=0.07, schedule="cosine")[6:8] == pytest.approx([1.0, 1.0], abs=1e-3)
    assert rates(100, warmup=0.07, schedule="cosine")[5] < 0.9


def test_inverse_square_root_and_constant_by_hand() -> None:
    assert rates(16, warmup=0.25, schedule="inverse_sqrt") == pytest.approx(
        [0.25, 0.5, 0.75, 1.0, *[(4 / step) ** 0.5 for step in range(5, 17)]]
    )
    assert rates(4, warmup=0.0, schedule="constant") == [1.0] * 4
    assert rates(1, warmup=0.01, schedule="cosine") == [1.0]


def test_a_floor_above_the_peak_is_refused() -> None:
    with pytest.raises(ValueError, match="min_learning_rate is above"):
        TrainingSettings(learning_rate=1e-5, min_learning_rate=1e-4)


# A whole small training


def test_validation_leaves_no_trace_in_the_weights(tmp_path: Path) -> None:
    assert_close(run(tmp_path, "often", validate_every=1), run(tmp_path, "seldom", validate_every=100), atol=0)


def test_validations_on_the_way_see_a_part_and_the_last_one_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 rows a step and a validation after each 4: a tenth of their work is 1.6 rows in training, 4.8 in validation."""
    seen: list[list[int]] = []
    read = Rows.read

    def reading(self: Rows, indices: Any) -> Any:
        if self.folder.name == "validation":
            seen.append([int(index) for index in indices])
        return read(self, indices)

    monkeypatch.setattr(Rows, "read", reading)
    part = run(tmp_path, "part", validate_every=4, validation_share=0.1)
    rows = len(Rows(tmp_path / "validation"))
    assert rows > 12
    way, last = [index for part in seen[:-1] for index in part], seen[-1]
    assert last == list(range(rows))
    assert way == 2 * way[:4]  # the same four of them each time
    assert way[:4] == [0, rows // 4, rows // 2, 3 * rows // 4]
    seen.clear()
    whole = run(tmp_path, "whole", validate_every=4, validation_share=1.0)
    assert seen == 3 * [list(range(rows))]
    assert_close(part, whole, atol=0)
    some, every = (lines(tmp_path / name) for name in ("part", "whole"))
    assert some[-1]["validation_loss"] == every[-1]["validation_loss"]
    assert some[3]["validation_loss"] != every[3]["validation_loss"]
    assert [line.get("validation_part") for line in some if "validation_loss" in line] == [
        *[pytest.approx(4.8 / rows, abs=1e-6)] * 2,
        None,
    ]
    assert not any("validation_part" in line for line in every)


def test_a_training_learns_and_says_what_it_did(tmp_path: Path) -> None:
    weights = run(tmp_path, tokens=40 * 4 * CONTEXT - 5, validate_every=15)
    folder = tmp_path / "model"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "speech.json",
        "training.json",
    ]
    record = files.read_json(folder / "training.json")
    assert (record["init"], record["seed"], record["steps"], record["ranks"]) == ("scratch", 0, 40, 1)
    assert (record["recipe"], record["model"]) == ("tiny", "model")
    assert record["tokens"] == 40 * 4 * CONTEXT
    assert record["parameters"] == sum(weight.numel() for weight in weights.values())
    assert set(record["data"]) == {"train", "validation.held/out"}
    assert record["data"]["train"] == files.sha256_file(tmp_path / "train" / "manifest.json")
    curve = lines(folder)
    assert [line["step"] for line in curve] == list(range(1, 41))
    assert curve[9]["tokens"] == 10 * 4 * CONTEXT
    assert curve[9]["learning_rate"] == learning_rate(9, 40, settings())
    assert [line["step"] for line in curve if "validation_loss" in line] == [15, 30, 40]
    assert curve[-1]["validation_loss"] == record["validation_loss"]
    # 30 units, each mostly the one before plus 1: from ln(32) = 3.47 to below 2.
    assert curve[0]["loss"] == pytest.approx(3.47, abs=0.1)
    assert record["validation_loss"]["held/out"] < 2.0
    assert not list((tmp_path / "state.model").glob("step-*"))
    assert list((tmp_path / "state.model" / "tensorboard").glob("events*"))


@pytest.mark.slow
def test_it_can_be_run_again_and_gives_the_same_bits(tmp_path: Path) -> None:
    assert_close(run(tmp_path), run(tmp_path), atol=0)
    assert_close(run(tmp_path, name="other"), run(tmp_path), atol=0)


# Accumulation, ranks, sharding: the same training


@pytest.mark.slow
def test_accumulation_does_not_change_the_training(tmp_path: Path) -> None:
    whole = run(tmp_path, machine=Machine(micro_batch_tokens=4 * CONTEXT, threads=1))
    curve = lines(tmp_path / "model")
    for at_once in (1, 3):
        parts = run(tmp_path, machine=Machine(micro_batch_tokens=at_once * CONTEXT, threads=1))
        assert_close(whole, parts, atol=2e-5)
        for one, other in zip(curve, lines(tmp_path / "model"), strict=True):
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
            assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-3)
    assert max(line["gradient_norm"] for line in curve) > settings().gradient_clip


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_zero_stages_give_the_same_training(stage: int, tmp_path: Path) -> None:
    plain = run(tmp_path, machine=Machine(micro_batch_tokens=2 * CONTEXT, threads=1))
    sharded = run(tmp_path, machine=Machine(micro_batch_tokens=2 * CONTEXT, threads=1, zero_stage=stage))
    assert_close(plain, sharded, atol=2e-5)


@pytest.mark.slow
def test_two_ranks_give_the_training_of_one(tmp_path: Path) -> None:
    one = run(tmp_path, batch_tokens=5 * CONTEXT, tokens=8 * 5 * CONTEXT)  # 5 rows do not divide by 2
    values = json_of(settings(batch_tokens=5 * CONTEXT, tokens=8 * 5 * CONTEXT))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(SCRIPT)]
    options = [
        *("--settings", values, "--threads", "1"),
        *("--train", str(tmp_path / "train"), "--validation", f"held/out={tmp_path / 'validation'}"),
        *("--state", str(tmp_path / "state"), "--output", str(tmp_path / "two")),
        *("--micro-batch-tokens", str(2 * CONTEXT)),
    ]
    # No compiler in sight: nothing may be built before the first step.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CXX": "/nowhere",
        "TORCH_EXTENSIONS_DIR": str(tmp_path / "no"),
    }
    subprocess.run([*launch, *options], check=True, env=environment, timeout=300)
    assert not (tmp_path / "no").exists()
    assert_close(one, load_file(tmp_path / "two" / "model.safetensors"), atol=2e-5)
    first, second = (files.read_json(tmp_path / name / "training.json") for name in ("model", "two"))
    assert second["ranks"] == 2
    assert second["validation_loss"]["held/out"] == pytest.approx(first["validation_loss"]["held/out"], rel=1e-5)


# Precision and decay


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 2])
def test_bf16_computes_in_bf16_and_keeps_float32(stage: int) -> None:
    values = settings(precision="bf16")
    model = build_model(values, VOCABULARY, CONTEXT, None)
    engine = make_engine(model, values, Machine(threads=1, zero_stage=stage), ranks(), accumulate=1)
    logits = engine(input_ids=torch.ones(1, 4, dtype=torch.long), use_cache=False).logits
    assert logits.dtype == torch.bfloat16
    engine.backward(logits.float().sum(), scale_wrt_gas=False)
    engine.step()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    moments = [value for entry in engine.optimizer.state.values() for value in entry.values()]
    assert {moment.dtype for moment in moments} == {torch.float32}
    # Nor does DeepSpeed reduce any gradient over ranks in another precision.
    assert {get_comm_dtype(parameter) for parameter in model.parameters()} == {torch.float32}


@pytest.mark.slow
def test_bf16_learns_as_well(tmp_path: Path) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        run(tmp_path, precision=precision, tokens=40 * 4 * CONTEXT)
        losses.append(files.read_json(tmp_path / "model" / "training.json")["validation_loss"]["held/out"])
    assert losses[1] == pytest.approx(losses[0], rel=0.03)
    assert losses[1] != losses[0]


def test_only_matrices_decay() -> None:
    values = settings(weight_decay=0.5)
    model = build_model(values, VOCABULARY, CONTEXT, None)
    engine = make_engine(model, values, Machine(threads=1), ranks(), accumulate=1)
    decay = {id(p): group["weight_decay"] for group in engine.optimizer.param_groups for p in group["params"]}
    assert {decay[id(p)] for name, p in model.named_parameters() if "norm" in name} == {0.0}
    assert {decay[id(p)] for name, p in model.named_parameters() if "norm" not in name} == {0.5}


# What goes wrong


def test_a_loss_that_is_no_number_stops_with_the_step_and_keeps_the_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = NextToken.loss
    calls = []

    def broken(self: NextToken, model: Any, batch: Any) -> Any:
        value, more = loss(self, model, batch)
        calls.append(1)
        return (value * float("nan") if len(calls) == 7 else value), more

    monkeypatch.setattr(NextToken, "loss", broken)
    with pytest.raises(InputError, match=r"step 7: the loss is nan.*last good save stays"):
        run(tmp_path, validate_every=100)
    assert [path.name for path in (tmp_path / "state.model").glob("step-*")] == ["step-4"]
    assert not (tmp_path / "model").exists()


def test_rows_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    run(tmp_path)
    manifest = tmp_path / "validation" / "manifest.json"
    record = files.read_json(manifest)
    manifest.write_text(json.dumps({**record, "vocabulary": Vocabulary(units=UNITS + 1).record()}))
    with pytest.raises(InputError, match=r"--validation held/out: .*validation has another vocabulary than .*train"):
        run(tmp_path)
    manifest.write_text(json.dumps({**record, "vocabulary": 32}))
    with pytest.raises(InputError, match=r"manifest\.json: has no vocabulary that this version reads"):
        run(tmp_path)


def test_what_an_objective_needs_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --train"):
        train(settings(), Inputs(), tmp_path / "state", tmp_path / "model")


def test_a_validation_without_a_name_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="'folder' is not NAME=PATH"):
        commands.named_path("folder")
    assert commands.named_path("a/b=c=d") == ("a/b", Path("c=d"))
