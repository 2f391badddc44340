"""Compiled models: the same training, compiled once; and where nothing can be compiled, what is done instead."""

from __future__ import annotations

import shutil
import sysconfig
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters

from slamflow import files
from slamflow.errors import InputError
from slamflow.lm import attention, compilation, devices
from slamflow.lm.attention import use_attention
from slamflow.lm.compilation import Way, make_fast
from slamflow.lm.devices import Machine, Ranks
from slamflow.lm.initial import build_model
from slamflow.lm.next_token_loss import NextToken
from slamflow.lm.objective import Inputs
from slamflow.lm.preference_loss import OnPairs, tokenize_pairs
from slamflow.shards.rows import even_parts, filled_up
from tests.unit import training_rows
from tests.unit.test_dpo import dpo, write_pairs
from tests.unit.training_rows import CONTEXT, LLAMA, VOCABULARY, ranks, rows, settings, train, write_rows

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
COMPILED = Machine(threads=1, micro_batch_tokens=2 * CONTEXT, compile=True)
EAGER = Machine(threads=1, micro_batch_tokens=2 * CONTEXT, attention="sdpa")
ROWS = 5  # in parts of 2: the last of the three is half padding


class PowerCutError(Exception):
    """The process is gone."""


def run(
    folder: Path,
    name: str,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    cut: int | None = None,
    **changes: Any,
) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]], list[int]]:
    """Train a tiny model; its weights, its curve, and how many graphs were compiled when each step began.

    cut: the step before which the power is cut.
    """
    if not (folder / "train").exists():
        write_rows(folder / "train")
    original = NextToken.micro_batches
    graphs: list[int] = []

    def micro_batches(self: NextToken, step: int) -> Any:
        if step == cut:
            raise PowerCutError
        graphs.append(counters["stats"]["unique_graphs"])
        return original(self, step)

    step = {"batch_tokens": ROWS * CONTEXT, "tokens": 12 * ROWS * CONTEXT}
    values = settings(**{**step, "validate_every": 100, **changes})
    inputs = Inputs(train=folder / "train", validation={"same": folder / "train"})
    with monkeypatch.context() as patched:
        patched.setattr(NextToken, "micro_batches", micro_batches)
        train(values, inputs, folder / f"state.{name}", folder / name, machine)
    return load_file(folder / name / "model.safetensors"), files.read_jsonl(folder / name / "metrics.jsonl"), graphs


@pytest.mark.slow
def test_a_compiled_training_is_the_same_and_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    counters.clear()
    _, eager, _ = run(tmp_path, "eager", EAGER, monkeypatch)
    assert not counters["stats"]["unique_graphs"]
    weights, compiled, graphs = run(tmp_path, "compiled", COMPILED, monkeypatch)
    assert [line["step"] for line in compiled] == list(range(1, 13))
    for ours, theirs in zip(compiled, eager, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-4)
    assert compiled[-1]["validation_loss"]["same"] == pytest.approx(eager[-1]["validation_loss"]["same"], rel=1e-5)
    # Asked at the start, then before each step: all that is compiled was before the second.
    assert graphs[1] < graphs[2] == graphs[-1]
    assert sum(counters["graph_break"].values()) == 0

    with pytest.raises(PowerCutError):
        run(tmp_path, "broken", COMPILED, monkeypatch, cut=10)
    resumed, curve, _ = run(tmp_path, "broken", COMPILED, monkeypatch)
    assert [name for name in weights if not torch.equal(weights[name], resumed[name])] == []
    assert [line["loss"] for line in curve] == [line["loss"] for line in compiled]


# Shapes


@pytest.mark.slow
def test_a_compiled_training_has_the_same_bits_on_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled kernels would add to the gradients of embeddings in any order."""
    torch.compiler.reset()
    monkeypatch.setattr(training_rows, "ranks", lambda: devices.start(threads=2))
    machine = replace(COMPILED, micro_batch_tokens=32 * CONTEXT)
    step = {"batch_tokens": 32 * CONTEXT, "tokens": 12 * 32 * CONTEXT}
    first, second = (run(tmp_path, name, machine, monkeypatch, **step)[0] for name in ("first", "second"))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize(("count", "at_once", "size"), [(78, 32, 26), (5, 2, 2), (4, 8, 4), (9, 8, 5), (1, 1, 1)])
def test_even_parts_by_hand(count: int, at_once: int, size: int) -> None:
    assert even_parts(count, at_once) == size


def test_even_parts_are_the_fewest_and_the_smallest() -> None:
    for count in range(1, 60):
        for at_once in range(1, 70):
            size = even_parts(count, at_once)
            assert size <= at_once
            parts = -(-count // size)
            assert parts == -(-count // at_once)
            assert size == 1 or parts * (size - 1) < count  # one less would need a part more
    assert filled_up(np.array([4, 2]), 4).tolist() == [4, 2, -1, -1]


def test_micro_batches_of_one_shape_hold_the_same_rows(tmp_path: Path) -> None:
    data = rows(tmp_path / "train")
    values = settings(batch_tokens=ROWS * CONTEXT)
    for rank in range(2):
        asked = [
            NextToken(data, {}, values, "sdpa", 2 * CONTEXT, Ranks(rank, 2, CPU), fixed) for fixed in (False, True)
        ]
        for step in (0, 7):
            loose, fixed = (objective.micro_batches(step) for objective in asked)
            assert {batch.input_ids.shape for batch in fixed} == {(2, CONTEXT)}
            kept = [batch.input_ids[(batch.document >= 0).any(1)] for batch in (*loose, *fixed)]
            assert np.array_equal(np.concatenate(kept[: len(loose)]), np.concatenate(kept[len(loose) :]))
            counts = [sum(map(one.count, batches)) for one, batches in zip(asked, (loose, fixed), strict=True)]
            assert counts[0] == counts[1] > 0


def test_pairs_have_one_of_two_widths(tmp_path: Path) -> None:
    pairs, _ = tokenize_pairs(write_pairs(tmp_path / "pairs.parquet"), 1024, VOCABULARY)
    objective = OnPairs(
        pairs, dpo(precision="fp32", pairs_per_step=5), "sdpa", 8192, ranks(), lambda policy, _: (policy[0], policy[0])
    )
    loose = [objective.micro_batches(step) for step in range(4)]
    objective.fix_shapes()
    fixed = [objective.micro_batches(step) for step in range(4)]
    assert len({batch.rows.input_ids.shape for step in fixed for batch in step}) <= 2
    for one, other in zip(loose, fixed, strict=True):
        places = [np.concatenate([batch.indices[batch.real] for batch in step]) for step in (one, other)]
        assert np.array_equal(*places)
        assert sum(batch.scored.sum() for batch in one) == sum(batch.scored.sum() for batch in other)


# What is decided, on machines that are not here


def fake(monkeypatch: pytest.MonkeyPatch, problem: str | None = None, flex: str | None = None) -> Counter[str]:
    """A GPU on which compiling ends with a problem, or on which flex_attention alone does; counts compiled models."""
    compiled: Counter[str] = Counter()
    monkeypatch.setattr(compilation, "compiler_problem", lambda _: problem)
    monkeypatch.setattr(compilation, "flex_problem", lambda *_: flex)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *_, **options: compiled.update([str(options)]))
    return compiled


def decide(machine: Machine, device: torch.device, **architecture: Any) -> Way:
    model = build_model(settings(architecture={**LLAMA, **architecture}), VOCABULARY, CONTEXT, None)
    way = make_fast(model, machine, device, "bf16")
    assert model.config._attn_implementation == way.attention
    return way


@pytest.mark.parametrize(
    ("problem", "flex", "machine", "expected"),
    [
        (None, None, Machine(), Way("flex_attention", True)),
        (None, None, Machine(compile=False), Way("flex_attention", False)),
        (None, None, Machine(attention="sdpa"), Way("sdpa", True)),
        (None, None, Machine(zero_stage=3), Way("flex_attention", False)),
        (None, "too wide", Machine(), Way("sdpa", True)),
        ("no gcc", None, Machine(), Way("sdpa", False)),
        ("no gcc", None, Machine(attention="documents"), Way("documents", False)),
    ],
)
def test_on_a_gpu(
    problem: str | None,
    flex: str | None,
    machine: Machine,
    expected: Way,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    compiled = fake(monkeypatch, problem, flex)
    assert decide(machine, CUDA) == expected
    assert compiled == ({"{'dynamic': False}": 1} if expected.compiled else {})
    for said in filter(None, (problem, flex)):
        assert said in caplog.text
    assert expected.fixed_shapes == (expected.compiled or expected.attention == "flex_attention")


def test_on_a_cpu_nothing_is_compiled_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = fake(monkeypatch)
    assert decide(Machine(), CPU) == Way("documents", False)
    assert not compiled
    assert decide(Machine(compile=True), CPU) == Way("sdpa", True)
    assert compiled


@pytest.mark.parametrize(
    ("machine", "device", "problem", "words"),
    [
        (Machine(compile=True, attention="documents"), CPU, None, "other shapes in each batch; take --attention sdpa"),
        (Machine(compile=True, zero_stage=3), CUDA, None, "take --no-compile"),
        (Machine(compile=True), CUDA, "no gcc", "nothing can be compiled here: no gcc"),
        (Machine(attention="flex_attention"), CUDA, "no gcc", "--attention flex_attention: no gcc"),
    ],
)
def test_what_was_asked_for_and_cannot_be_is_refused(
    machine: Machine, device: torch.device, problem: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, problem)
    with pytest.raises(InputError, match=words):
        decide(machine, device)


def test_what_triton_needs_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler_problem = compilation.compiler_problem.__wrapped__
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "no C compiler" in compiler_problem("cuda")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert "no Python.h" in compiler_problem("cuda")
    (tmp_path / "Python.h").touch()

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ptxas\n  is missing")

    monkeypatch.setattr(torch, "compile", fails)
    assert compiler_problem("cuda") == "RuntimeError: ptxas is missing"


def test_flex_is_tried_with_the_width_and_the_numbers_of_the_model() -> None:
    model = build_model(settings(), VOCABULARY, CONTEXT, None)
    # There is no backward pass of it on a CPU.
    problem = compilation.flex_problem(model, CPU, "bf16")
    assert problem is not None
    assert "heads of width 8 in torch.bfloat16" in problem
    assert compilation.flex_problem(model, CPU, "fp32") != problem


@pytest.mark.slow
def test_a_block_mask_is_compiled_once_for_all_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.nn.attention.flex_attention import create_block_mask

    torch.compiler.reset()
    data = rows(tmp_path / "train", context=256)
    batches = [data.read([number, number + 1]) for number in range(4)]
    wanted = [attention.model_inputs(batch, "flex_attention", CPU)["attention_mask"] for batch in batches]
    compiled = torch.compile(create_block_mask, dynamic=False)
    monkeypatch.setattr(attention, "_block_mask_maker", lambda _: compiled)
    graphs = []
    for batch, want in zip(batches, wanted, strict=True):
        got = attention.model_inputs(batch, "flex_attention", CPU)["attention_mask"]
        assert torch.equal(got.to_dense(), want.to_dense())
        assert torch.equal(got.full_kv_num_blocks, want.full_kv_num_blocks)
        graphs.append(counters["stats"]["unique_graphs"])
    assert len(set(graphs)) == 1


def test_the_host_waits_for_the_device_once_in_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other way to a number of a tensor would wait too."""
    waits: Counter[str] = Counter()
    for name in ("item", "tolist", "__float__", "__bool__", "__int__", "numpy"):
        original = getattr(torch.Tensor, name)

        def counted(self: torch.Tensor, *arguments: Any, name: str = name, original: Any = original) -> Any:
            waits[name] += self.requires_grad or self.dtype.is_floating_point
            return original(self, *arguments)

        monkeypatch.setattr(torch.Tensor, name, counted)
    asked: list[int] = []
    original_batches = NextToken.micro_batches

    def micro_batches(self: NextToken, step: int) -> Any:
        asked.append(waits.total())
        return original_batches(self, step)

    monkeypatch.setattr(NextToken, "micro_batches", micro_batches)
    write_rows(tmp_path / "train")
    values = settings(batch_tokens=ROWS * CONTEXT, tokens=4 * ROWS * CONTEXT, save_every=100, validate_every=100)
    train(values, Inputs(train=tmp_path / "train"), tmp_path / "state", tmp_path / "model", EAGER)
    assert np.diff(asked[1:]).tolist() == [1, 1, 1]


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_grouped_keys_are_as_if_they_were_repeated(heads: int, tmp_path: Path) -> None:
    model = build_model(settings(architecture={**LLAMA, "num_key_value_heads": heads}), VOCABULARY, 128, None).eval()
    batch = rows(tmp_path / "train", context=128).read([0, 1])
    with torch.no_grad():
        got = []
        for kind in ("documents", "sdpa"):
            use_attention(model, kind)  # type: ignore[arg-type]
            got.append(model(**attention.model_inputs(batch, kind, CPU)).logits)  # type: ignore[arg-type]
    torch.testing.assert_close(*(logits[torch.from_numpy(batch.document) >= 0] for logits in got))
