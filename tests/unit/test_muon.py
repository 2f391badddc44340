"""Muon beside AdamW: who gets which parameters, what a step is, and resuming."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from slamflow import files
from slamflow.errors import InputError
from slamflow.lm.calibration import candidates
from slamflow.lm.devices import Machine, Ranks
from slamflow.lm.engine import make_engine
from slamflow.lm.initial import build_model
from slamflow.lm.optimizers import MuonAndAdamW, inner_matrices, make_optimizer
from tests.unit.many_trainings import run
from tests.unit.training_rows import CONTEXT, LLAMA, VOCABULARY, ranks, settings, write_rows

OPT = {
    "model_type": "opt",
    "hidden_size": 32,
    "ffn_dim": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "word_embed_proj_dim": 32,
}
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
MUON = {"optimizer": "muon"}


def model(architecture: dict[str, Any]) -> PreTrainedModel:
    return build_model(settings(architecture=architecture), VOCABULARY, CONTEXT, None)


@pytest.mark.parametrize(
    ("architecture", "words", "each"),
    [
        (LLAMA, {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}, 7),
        (
            {**LLAMA, "tie_word_embeddings": True},
            {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
            7,
        ),
        (OPT, {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}, 6),
        (GPT2, {"c_attn", "c_proj", "c_fc"}, 4),
    ],
    ids=["llama", "tied", "opt", "gpt2"],
)
def test_muon_gets_the_matrices_of_the_layers(architecture: dict[str, Any], words: set[str], each: int) -> None:
    built = model(architecture)
    chosen = {id(parameter) for parameter in inner_matrices(built)}
    names = [name for name, parameter in built.named_parameters() if id(parameter) in chosen]
    assert {name.split(".")[-2] for name in names} == words
    assert len(names) == 2 * each
    optimizer = make_optimizer(built, settings(**MUON, weight_decay=0.5))
    assert isinstance(optimizer, MuonAndAdamW)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in built.parameters())
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert all(decay[id(p)] == (0.5 if p.ndim >= 2 else 0.0) for p in built.parameters())


def test_a_step_of_a_matrix_is_nearly_orthogonal_and_as_large_as_one_of_adamw() -> None:
    torch.manual_seed(0)
    built = model(LLAMA)
    before = {name: parameter.detach().clone() for name, parameter in built.named_parameters()}
    optimizer = make_optimizer(built, settings(**MUON, learning_rate=0.01, weight_decay=0.0))
    other = model(LLAMA)
    other.load_state_dict(built.state_dict())
    adamw = make_optimizer(other, settings(learning_rate=0.01, weight_decay=0.0))
    for one, two in zip(built.parameters(), other.parameters(), strict=True):
        one.grad = torch.randn_like(one)
        two.grad = one.grad.clone()
    optimizer.step()
    adamw.step()
    inner = {id(parameter) for parameter in inner_matrices(built)}
    for (name, parameter), same in zip(built.named_parameters(), other.parameters(), strict=True):
        if id(parameter) not in inner:
            assert torch.equal(parameter, same), name
            continue
        step = before[name] - parameter.detach()
        # Newton-Schulz brings the singular values to between 0.5 and 1.5, but for those that are nearly 0.
        values = torch.linalg.svdvals(step) / (0.01 * 0.2 * math.sqrt(max(step.shape)))
        assert values.max() < 1.5, name
        assert (values > 0.5).float().mean() > 0.9, name
        root_mean_square = float(step.square().mean().sqrt())
        assert root_mean_square == pytest.approx(0.2 * 0.01, rel=0.35), name  # AdamW's: 0.2 to 0.4 of the rate


def test_the_exact_step_of_a_matrix_with_equal_singular_values() -> None:
    """Of a multiple of a rotation the orthogonal factor is known: the rotation."""
    built = model(LLAMA)
    optimizer = make_optimizer(built, settings(**MUON, learning_rate=0.01, weight_decay=0.5))
    matrix = built.get_parameter("model.layers.0.self_attn.q_proj.weight")
    before = matrix.detach().clone()
    rotation = torch.linalg.qr(torch.randn(32, 32))[0]
    matrix.grad = 7.0 * rotation
    optimizer.step()
    step = before * (1 - 0.01 * 0.5) - matrix.detach()
    scale = 0.01 * 0.2 * math.sqrt(32)
    # All singular values become the same number near 1, and the directions stay.
    cosine = float((step * rotation).sum() / (step.norm() * rotation.norm()))
    assert cosine == pytest.approx(1, abs=1e-3)
    assert float(step.norm() / rotation.norm()) / scale == pytest.approx(1, abs=0.35)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    for part, seed in (("train", 0), ("validation", 1)):
        write_rows(tmp_path / part, seed=seed)
    return tmp_path


def test_a_broken_training_ends_as_an_unbroken_one(rows: Path) -> None:
    run(rows, "unbroken", settings=MUON)
    run(rows, "broken", settings=MUON, stop=10)
    run(rows, "broken", settings=MUON, stop=11)
    run(rows, "broken", settings=MUON)
    whole, resumed = (load_file(rows / name / "model.safetensors") for name in ("unbroken", "broken"))
    assert set(whole) == set(resumed)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    curve = files.read_jsonl(rows / "unbroken" / "metrics.jsonl")
    assert curve[-1]["loss"] < curve[0]["loss"] - 0.5
    run(rows, "adamw")
    assert files.read_jsonl(rows / "adamw" / "metrics.jsonl")[-1]["loss"] != curve[-1]["loss"]


@pytest.mark.parametrize("machine", [Machine(zero_stage=1), Machine(zero_stage=2, offload=True)])
def test_zero_is_refused(machine: Machine) -> None:
    with pytest.raises(InputError, match="optimizer: muon works with whole matrices"):
        make_engine(model(LLAMA), settings(**MUON), machine, ranks(), accumulate=1)


def test_what_calibration_tries() -> None:
    one, two = (Ranks(0, count, torch.device("cuda")) for count in (1, 2))
    assert candidates(one, "adamw") == [(0, False), (2, True)]
    assert candidates(two, "adamw") == [(0, False), (1, False), (2, False), (3, False), (2, True), (3, True)]
    assert candidates(two, "muon") == [(0, False)]
    cpu = Ranks(0, 1, torch.device("cpu"))
    assert candidates(cpu, "adamw") == [(0, False)]
