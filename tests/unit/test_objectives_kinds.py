"""Every objective keeps the family's contract, and what is learned is what was learned before."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import train as command
from slamflow import files
from slamflow.code_digest import code_digest
from slamflow.jobs.results import Results
from slamflow.lm.devices import Machine
from slamflow.lm.objective import Inputs, Prepared
from slamflow.lm.objectives import MONITORING_KEYS, OBJECTIVES, ModelSettings, TrainingSettings
from slamflow.lm.objectives.dpo import DpoModel
from slamflow.packing import pack_files
from slamflow.recipe.datasets import PackTokens, VocabularySettings
from slamflow.recipe.recipe import Recipe
from tests.unit.test_dpo import make_parent, write_pairs
from tests.unit.training_rows import CONTEXT, LLAMA, job, ranks, settings, train, write_rows

SCRIPTS = Path(command.__file__).parent
PINNED = (
    ("fp32", 0.0, [2.0913936080970896, 0.326865553855896, 675.7187367238912, 494.2126106921278]),
    ("bf16", 0.5, [2.0912007945778974, 1.7652599811553955, 676.4256500935699, 500.0774922315686]),
)
"""Precision, weight of the likelihood in DPO; the validation loss of next-token training, DPO's last loss, and sums of
the magnitudes of both models' weights."""


def recipe(**changes: Any) -> Recipe:
    """A recipe with a model of each objective."""
    speech = {"encoder": "mel", "train": ["c/train"], "validation": ["c/dev"], "context": 48}
    models: dict[str, Any] = {
        "next_token": {"init": "scratch", "architecture": LLAMA, "data": "speech"},
        "dpo": {"objective": "dpo", "init": "next_token", "pairs": "endings"},
    }
    values = {
        "recipe": "r",
        "corpora": {
            "c": {
                "kind": "stories",
                "speech": {"engine": "hibari"},
                "splits": {name: {"stories": 40} for name in ("train", "dev", "preference")},
            }
        },
        "encoders": {"mel": {"kind": "logmel", "clusters": 30, "fit": {"corpora": ["c/train"]}}},
        "datasets": {"speech": speech},
        "preferences": {"endings": {"corpus": "c", "encoder": "mel"}},
        "models": {name: model | changes for name, model in models.items()},
    }
    return Recipe.model_validate(values)


def real_inputs(folder: Path) -> Inputs:
    """Inputs that every objective can take its own from."""
    write_rows(folder / "train", seed=0)
    write_rows(folder / "validation", seed=1)
    return Inputs(
        make_parent(folder / "parent"),
        folder / "train",
        {"held/out": folder / "validation"},
        write_pairs(folder / "pairs.parquet"),
    )


# The contract


def test_the_test_recipe_has_a_model_of_each_objective() -> None:
    found = recipe().models
    assert {model.objective for model in found.values()} == set(OBJECTIVES.names())


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_the_settings_know_their_files_flags_and_amount(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = recipe()
    model = whole.models[name]
    assert isinstance(model, ModelSettings)
    assert type(model).__doc__
    assert MONITORING_KEYS <= set(TrainingSettings.model_fields) <= set(type(model).model_fields)
    assert type(model).inherited <= set(type(model).model_fields)
    found = model.inputs(whole, Results(whole))
    assert all(path.startswith("<results>/") for paths in found.values() for path in paths)
    flags = model.flags(whole, found)
    shown = [flag for flag in flags if flag.startswith("--")]
    with pytest.raises(SystemExit):
        command.main(["--help"])
    help_text = capsys.readouterr().out
    assert shown
    assert all(flag in help_text for flag in shown)
    known = model.amount(whole, {"c/preference": 5000.0}.get)
    assert known.context > 0
    assert known.tokens is not None
    assert known.tokens_per_step is not None
    assert known.tokens >= known.tokens_per_step > 0
    assert model.amount(whole, {}.get).context > 0
    assert model.flops_factor >= 1
    timed = recipe(hours=1.0).models[name]
    assert timed.amount(whole, {"c/preference": 5000.0}.get).tokens is None


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_a_training_is_prepared(name: str, tmp_path: Path) -> None:
    prepared = OBJECTIVES.module(name).prepare(
        job(recipe(precision="fp32").models[name]), real_inputs(tmp_path), Machine(threads=1), ranks()
    )
    assert isinstance(prepared, Prepared)
    assert {parameter.dtype for parameter in prepared.model.parameters()} == {torch.float32}
    assert prepared.speech["model"] == "model"
    assert prepared.speech["vocabulary"]["units"] == 30
    assert prepared.data
    batches = prepared.objective.micro_batches(0)
    assert len(batches) == len(prepared.objective.micro_batches(1))
    assert all(prepared.objective.count(batch) >= 0 for batch in batches)
    loss, extras = prepared.objective.loss(prepared.model, batches[0])
    loss.backward()
    assert torch.isfinite(loss)
    assert all(math.isfinite(float(value)) for value in extras.values())
    with torch.no_grad():
        assert isinstance(prepared.objective.validate(prepared.model), dict)


def test_the_digest_of_a_training_has_its_own_objective_and_no_other() -> None:
    for name in OBJECTIVES.names():
        modules = {OBJECTIVES.module_name(name)}
        digest = code_digest(SCRIPTS / "train.py", modules)
        for other in OBJECTIVES.names():
            assert (f"objectives/{other}.py:" in digest) == (other == name)


# What is learned


def test_weights_are_what_they_were_before_the_objectives_became_kinds(tmp_path: Path) -> None:
    """Losses and sums of weights of four tiny trainings, computed at commit 7184a6e; bits differ between processors."""
    inputs = real_inputs(tmp_path)
    aligned = {"objective": "dpo", "init": "cold", "pairs": "endings", "pairs_per_step": 4, "epochs": 2}
    for precision, nll_weight, expected in PINNED:
        train(
            settings(precision=precision),
            Inputs(train=inputs.train, validation=inputs.validation),
            tmp_path / "state",
            tmp_path / "speech",
        )
        values = {**aligned, "learning_rate": 3e-3, "precision": precision, "nll_weight": nll_weight}
        train(
            DpoModel.model_validate(values),
            Inputs(parent=inputs.parent, pairs=inputs.pairs),
            tmp_path / "state",
            tmp_path / "aligned",
        )
        found = [files.read_json(tmp_path / "speech/training.json")["validation_loss"]["held/out"]]
        found.append(files.read_jsonl(tmp_path / "aligned/metrics.jsonl")[-1]["loss"])
        for name in ("speech", "aligned"):
            weights = load_file(tmp_path / name / "model.safetensors")
            found.append(sum(float(weight.double().abs().sum()) for weight in weights.values()))
        tolerance = 1e-6 if precision == "fp32" else 1e-3
        assert found == pytest.approx(expected, rel=tolerance)


def test_a_vocabulary_beyond_16_bits_is_trained_on(tmp_path: Path) -> None:
    units = 70_000
    random = np.random.default_rng(0)
    documents = [random.integers(units - 50, units, 20).tolist() for _ in range(12)]
    table = {"id": list(map(str, range(12))), "units": pa.array(documents, pa.list_(pa.uint32()))}
    pq.write_table(pa.table(table), tmp_path / "units.parquet")
    packed = PackTokens(context=CONTEXT, vocabulary=VocabularySettings(units=units), seed=0)
    pack_files([tmp_path / "units.parquet"], packed, tmp_path / "rows")
    values = settings(architecture={**LLAMA, "tie_word_embeddings": True}, tokens=6 * 4 * CONTEXT)
    train(values, Inputs(train=tmp_path / "rows"), tmp_path / "state", tmp_path / "model")
    curve = files.read_jsonl(tmp_path / "model/metrics.jsonl")
    assert curve[0]["loss"] == pytest.approx(math.log(units), abs=0.1)
    assert curve[-1]["loss"] < curve[0]["loss"] - 0.3
    config, speech = (files.read_json(tmp_path / "model" / name) for name in ("config.json", "speech.json"))
    assert config["vocab_size"] == speech["vocabulary"]["size"] == units + 2
