"""Preference training: its loss against a slow one and trl's, what is read and left out, and resuming."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedModel

import train as command
from slamflow import files
from slamflow.errors import InputError
from slamflow.lm.attention import use_attention
from slamflow.lm.devices import Machine
from slamflow.lm.initial import build_model
from slamflow.lm.model import export_model
from slamflow.lm.objective import Inputs
from slamflow.lm.objectives.dpo import DpoModel
from slamflow.lm.preference_loss import PreferChosen, dpo_losses, log_probabilities, make_batch, tokenize_pairs
from slamflow.lm.speech import speech_record
from slamflow.vocabulary import Vocabulary
from tests.unit.training_rows import CONTEXT, UNITS, VOCABULARY, documents, json_of, ranks, settings, train

CPU = torch.device("cpu")
SPEECH = speech_record(VOCABULARY, "cold", "hubert", {"kind": "hubert"}, {"sha256": "ab", "frame_rate_hz": 25.0})


def write_pairs(path: Path, count: int = 24) -> Path:
    """Right endings go on as the grammar of the rows does; wrong ones are units at random."""
    random = np.random.default_rng(0)
    stories = [units for units in documents(400, 3) if len(units) >= 12][:count]
    assert len(stories) == count
    cuts = [int(random.integers(4, len(units) - 6)) for units in stories]
    lists = {
        "prompt": [units[:cut] for units, cut in zip(stories, cuts, strict=True)],
        "chosen": [units[cut:] for units, cut in zip(stories, cuts, strict=True)],
        "rejected": [random.integers(0, UNITS, size=int(random.integers(3, 20))).tolist() for _ in stories],
    }
    columns = {name: pa.array(values, pa.list_(pa.uint16())) for name, values in lists.items()}
    pq.write_table(pa.table({"id": [str(number) for number in range(count)], **columns}), path)
    return path


def make_parent(folder: Path) -> Path:
    """A model's folder, with speech.json."""
    export_model(build_model(settings(), VOCABULARY, CONTEXT, None), folder)
    files.write_json(folder / "speech.json", SPEECH)
    return folder


def dpo(**changes: Any) -> DpoModel:
    return DpoModel.model_validate({"objective": "dpo", "init": "cold", "pairs": "endings", **changes})


def run(folder: Path, name: str, machine: Machine | None = None, **changes: Any) -> dict[str, torch.Tensor]:
    """Train on 24 pairs, 4 a step, for 2 epochs: 12 steps."""
    if not (folder / "parent").exists():
        make_parent(folder / "parent")
        write_pairs(folder / "pairs.parquet")
    values = {"pairs_per_step": 4, "epochs": 2, "learning_rate": 3e-3, "precision": "fp32", "save_every": 4, **changes}
    inputs = Inputs(parent=folder / "parent", pairs=folder / "pairs.parquet")
    train(dpo(**values), inputs, folder / f"state.{name}", folder / name, machine)
    return load_file(folder / name / "model.safetensors")


def slow_log_probability(model: PreTrainedModel, prompt: list[int], ending: list[int]) -> float:
    """One token after the other, without a batch."""
    tokens = [1, *(unit + 2 for unit in prompt), *(unit + 2 for unit in ending), 1]
    with torch.no_grad():
        logs = model(torch.tensor([tokens]), use_cache=False).logits[0].double().log_softmax(-1)
    return sum(float(logs[place - 1, tokens[place]]) for place in range(1 + len(prompt), len(tokens)))


def shaken(folder: Path) -> PreTrainedModel:
    """The parent after some training, so to speak."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


# The loss


@pytest.mark.parametrize("kind", ["documents", "sdpa"])
def test_log_probabilities_are_summed_over_the_ending(kind: Any, tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs.parquet")
    pairs, _ = tokenize_pairs(path, 1024, VOCABULARY)
    model = shaken(make_parent(tmp_path / "parent"))
    expected = [
        [slow_log_probability(model, row["prompt"], row[name]) for row in pq.read_table(path).to_pylist()[:5]]
        for name in ("chosen", "rejected")
    ]
    use_attention(model, kind)
    with torch.no_grad():
        got = log_probabilities(model, make_batch(pairs, np.array([0, 1, 2, 3, 4, -1])), kind, CPU)
    torch.testing.assert_close(got[:, :5].double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-4)
    assert got[:, 5].tolist() == [0, 0]


def test_the_loss_by_hand() -> None:
    policy, reference = torch.tensor([[-10.0, -3.0], [-12.0, -2.0]]), torch.tensor([[-11.0, -3.0], [-11.0, -2.0]])
    losses, margins = dpo_losses(policy, reference, beta=0.5)
    assert margins.tolist() == pytest.approx([1.0, 0.0])
    assert losses.tolist() == pytest.approx([math.log(1 + math.exp(-1)), math.log(2)])


@pytest.mark.parametrize("nll_weight", [0.0, 0.5])
def test_the_loss_is_that_of_trl(nll_weight: float, tmp_path: Path) -> None:
    """Pair by pair: over several, trl's likelihood gives longer endings more weight, and Pang et al. do not."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    parent = make_parent(tmp_path / "parent")
    path = write_pairs(tmp_path / "pairs.parquet")
    policy = shaken(parent)
    vocabulary = {str(token): token for token in range(VOCABULARY.size)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="0", eos_token="1", bos_token="1")
    rows = pq.read_table(path).to_pylist()[:6]
    examples = [
        {
            "prompt_ids": [1, *(unit + 2 for unit in row["prompt"])],
            "chosen_ids": [*(unit + 2 for unit in row["chosen"]), 1],
            "rejected_ids": [*(unit + 2 for unit in row["rejected"]), 1],
        }
        for row in rows
    ]
    trainer = trl.DPOTrainer(
        model=policy,
        ref_model=AutoModelForCausalLM.from_pretrained(parent),
        args=trl.DPOConfig(
            output_dir=str(tmp_path / "trl"),
            beta=0.1,
            loss_type=["sigmoid", "sft"],
            loss_weights=[1.0, nll_weight],
            use_cpu=True,
            bf16=False,
            report_to=[],
            max_length=None,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["5 6"], "chosen": [" 7"], "rejected": [" 8"]}),
        processing_class=tokenizer,
    )
    with torch.no_grad():
        theirs = [float(trainer.compute_loss(trainer.model, trainer.data_collator([pair]))) for pair in examples]

    pairs, _ = tokenize_pairs(path, 1024, VOCABULARY)
    values = dpo(beta=0.1, nll_weight=nll_weight, precision="fp32")
    objective = PreferChosen(pairs[:6], values, "sdpa", 8192, ranks())
    objective.remember_reference(AutoModelForCausalLM.from_pretrained(parent), "fp32")
    with torch.no_grad():
        ours = [float(objective.loss(policy, make_batch(pairs, np.array([pair, -1])))[0]) for pair in range(6)]
        together = float(objective.loss(policy, make_batch(pairs, np.arange(6)))[0])
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert together == pytest.approx(sum(ours), abs=1e-4)
    assert min(abs(loss - math.log(2)) for loss in ours) > 1e-3


# The training


@pytest.mark.slow
def test_it_learns_to_prefer_and_says_so(tmp_path: Path) -> None:
    run(tmp_path, "model", epochs=8)
    curve = files.read_jsonl(tmp_path / "model" / "metrics.jsonl")
    assert [line["step"] for line in curve] == list(range(1, 49))
    assert curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert curve[-1]["loss"] < 0.4
    assert curve[-1]["accuracy"] == 1.0
    assert curve[-1]["margin"] > 0.5
    assert "validation_loss" not in curve[-1]
    record = files.read_json(tmp_path / "model" / "training.json")
    assert (record["init"], record["pairs"], record["pairs_left_out"], record["steps"]) == ("cold", 24, 0, 48)
    assert files.read_json(tmp_path / "model" / "speech.json") == {**SPEECH, "model": "model"}
    pairs, _ = tokenize_pairs(tmp_path / "pairs.parquet", 1024, VOCABULARY)
    batch = make_batch(pairs, np.arange(24))
    margins = []
    for name in ("parent", "model"):
        model = AutoModelForCausalLM.from_pretrained(tmp_path / name)
        with torch.no_grad():
            chosen, rejected = log_probabilities(model, batch, "sdpa", CPU)
        margins.append(float((chosen - rejected).mean()))
    assert margins[1] > margins[0] + 5


def test_steps_stand_in_place_of_epochs(tmp_path: Path) -> None:
    run(tmp_path, "model", epochs=1, steps=7)
    assert files.read_json(tmp_path / "model/training.json")["steps"] == 7
    assert len(files.read_jsonl(tmp_path / "model/metrics.jsonl")) == 7


def test_in_bf16_policy_and_reference_begin_alike(tmp_path: Path) -> None:
    run(tmp_path, "model", precision="bf16")
    assert files.read_jsonl(tmp_path / "model" / "metrics.jsonl")[0]["loss"] == pytest.approx(math.log(2), abs=5e-3)


@pytest.mark.slow
def test_accumulation_does_not_change_it(tmp_path: Path) -> None:
    whole = run(tmp_path, "whole")
    parts = run(tmp_path, "parts", Machine(micro_batch_tokens=1, threads=1))
    for name, weight in whole.items():
        torch.testing.assert_close(weight, parts[name], rtol=0, atol=1e-4, msg=name)


@pytest.mark.slow
def test_a_broken_training_ends_as_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = run(tmp_path, "unbroken")
    original = PreferChosen.micro_batches

    def micro_batches(self: PreferChosen, step: int) -> Any:
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, step)

    monkeypatch.setattr(PreferChosen, "micro_batches", micro_batches)
    with pytest.raises(SystemExit):
        run(tmp_path, "broken")
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "state.broken").glob("step-*")] == ["step-6"]
    broken = run(tmp_path, "broken")
    assert [name for name in unbroken if not torch.equal(unbroken[name], broken[name])] == []


def test_the_command_runs_by_hand(tmp_path: Path) -> None:
    make_parent(tmp_path / "parent")
    write_pairs(tmp_path / "pairs.parquet")
    ranks()
    places = {"parent": "parent", "pairs": "pairs.parquet", "state": "state", "output": "out"}
    options = [part for name, place in places.items() for part in (f"--{name}", str(tmp_path / place))]
    import slamflow.lm.devices as devices

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "stop", lambda: None)
        chosen = json_of(dpo(pairs_per_step=12, precision="fp32"))
        command.main([*options, "--settings", chosen, "--threads", "1"])
    assert files.read_json(tmp_path / "out" / "training.json")["steps"] == 2


# What is read


def table(**columns: list[list[int]]) -> pa.Table:
    count = len(next(iter(columns.values())))
    lists = {name: pa.array(values, pa.list_(pa.uint16())) for name, values in columns.items()}
    return pa.table({"id": [str(number) for number in range(count)], **lists})


def test_pairs_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    pq.write_table(table(prompt=[[1], [2], [3] * 9], chosen=[[4], [], [5]], rejected=[[6], [7], [8]]), path)
    pairs, left_out = tokenize_pairs(path, 10, VOCABULARY)
    assert (len(pairs), left_out) == (1, 2)
    assert pairs[0].chosen.tokens.tolist() == [1, 3, 6, 1]
    assert pairs[0].chosen.given == 2
    with pytest.raises(InputError, match="none of its 3 pairs"):
        tokenize_pairs(path, 3, VOCABULARY)
    with pytest.raises(InputError, match=r"pairs\.parquet: 1: unit 7 is outside a vocabulary of 7 units"):
        tokenize_pairs(path, 10, Vocabulary(units=7))


def test_what_is_no_file_of_pairs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    pq.write_table(table(prompt=[[1]], chosen=[[4]]), path)
    with pytest.raises(InputError, match="rejected"):
        tokenize_pairs(path, 10, VOCABULARY)
    path.write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as a file of preference pairs"):
        tokenize_pairs(path, 10, VOCABULARY)
