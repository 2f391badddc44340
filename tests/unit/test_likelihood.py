"""Likelihoods against one sequence at a time, token by token; scores of a real model folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, PreTrainedModel

import score_benchmark
from slamflow import files
from slamflow.errors import InputError
from slamflow.evaluation import likelihood, scores
from slamflow.evaluation.items import Item, write_items

UNITS = 50


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small a model loses more than it gains with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def llama() -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=UNITS + 2,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).eval()


def opt() -> PreTrainedModel:
    """Learned positions and its own idea of padding, as TWIST's models have."""
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=UNITS + 2,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        word_embed_proj_dim=32,
        init_std=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return OPTForCausalLM(config).eval()


def sequences(seed: int, count: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, UNITS, size=random.integers(1, 90)).astype(np.uint16) for _ in range(count)]


def slow_mean_nll(model: PreTrainedModel, units: np.ndarray) -> float:
    """Sum of -log p(token | all before it), each from a forward pass of its own; BOS first, EOS last."""
    tokens = [1, *(int(unit) + 2 for unit in units), 1]
    total = 0.0
    with torch.no_grad():
        for position in range(1, len(tokens)):
            logits = model(input_ids=torch.tensor([tokens[:position]])).logits[0, -1].double()
            total -= float(torch.log_softmax(logits, -1)[tokens[position]])
    return total / (len(tokens) - 1)


@pytest.mark.parametrize("make", [llama, opt])
def test_mean_nll_equals_token_by_token(make) -> None:
    model = make()
    some = [*sequences(0, 4), np.zeros(0, dtype=np.uint16)]
    np.testing.assert_allclose(likelihood.mean_nll(model, some), [slow_mean_nll(model, u) for u in some], atol=1e-5)


@pytest.mark.parametrize("make", [llama, opt])
def test_batches_do_not_matter(make) -> None:
    model = make()
    some = sequences(1, 60)
    one_by_one = likelihood.mean_nll(model, some, positions=1)
    np.testing.assert_allclose(likelihood.mean_nll(model, some), one_by_one, atol=1e-5)
    np.testing.assert_allclose(likelihood.mean_nll(model, some[::-1], positions=300)[::-1], one_by_one, atol=1e-5)
    assert np.ptp(one_by_one) > 0.1


def test_batches_hold_all_once_within_the_limit() -> None:
    lengths = np.random.default_rng(0).integers(3, 400, size=500)
    groups = list(likelihood.batches(lengths, 1000))
    assert sorted(np.concatenate(groups).tolist()) == list(range(500))
    assert all(len(group) * lengths[group].max() <= 1000 for group in groups)
    assert len(groups) < 500 * lengths.mean() / 1000 * 1.3


def test_what_does_not_fit_the_model() -> None:
    with pytest.raises(InputError, match="unit 50 is outside the model's vocabulary of 52"):
        likelihood.mean_nll(llama(), [np.array([1, 50], dtype=np.uint16)])
    with pytest.raises(InputError, match="130 tokens does not fit the model's context of 128"):
        likelihood.mean_nll(llama(), [np.zeros(128, dtype=np.uint16)])


def test_command_scores_a_folder(tmp_path: Path) -> None:
    model = llama()
    model.save_pretrained(tmp_path / "model")
    good, bad = sequences(2, 30), sequences(3, 30)
    bad[0] = good[0]
    items = [Item(f"{i:02}", "even" if i % 2 == 0 else "odd", f"{i // 2:02}", good[i], bad[i]) for i in range(30)]
    write_items(tmp_path / "items.parquet", items)
    files.write_json(tmp_path / "items.json", {"items": 30})
    for name in ("one", "two"):
        flags = (
            f"--benchmark cloze --part test --model-name small --model {tmp_path}/model"
            f" --items {tmp_path}/items.parquet --manifest {tmp_path}/items.json"
            f" --output {tmp_path}/{name}.json --pairs {tmp_path}/{name}.parquet"
        )
        score_benchmark.main(["--settings", json.dumps({}), *flags.split()])
    for suffix in ("json", "parquet"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()

    table = scores.read_pairs(tmp_path / "one.parquet").to_pydict()
    assert table["id"] == [item.id for item in items]
    assert table["good_nll"][7] == pytest.approx(slow_mean_nll(model, good[7]), abs=1e-5)
    assert table["bad_nll"][7] == pytest.approx(slow_mean_nll(model, bad[7]), abs=1e-5)
    wanted = [0.5 if g == b else float(g < b) for g, b in zip(table["good_nll"], table["bad_nll"], strict=True)]
    assert table["correct"] == wanted
    assert wanted[0] == 0.5

    score = files.read_json(tmp_path / "one.json")
    assert score["accuracy"] == pytest.approx(np.mean(wanted))
    assert score["phenomena"]["even"]["accuracy"] == pytest.approx(np.mean(wanted[::2]))
    assert score["phenomena"]["odd"]["n"] == 15
    assert (score["benchmark"], score["part"], score["model"], score["n"]) == ("cloze", "test", "small", 30)
    assert score["manifest"] == files.sha256_file(tmp_path / "items.json")
    assert 0 < score["ci95"][0] < score["accuracy"] < score["ci95"][1] < 1


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        likelihood.load_model(tmp_path)
