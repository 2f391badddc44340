"""Likelihoods against one sequence at a time, token by token; scores of a real model folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, PreTrainedModel

import score_benchmark
from slamflow import files
from slamflow.errors import InputError
from slamflow.evaluation import scores
from slamflow.lm.speech import speech_record
from slamflow.recipe.evaluation import ScoreBenchmark
from slamflow.scorers import language_model as likelihood
from slamflow.scorers import mean_nll
from slamflow.scorers.language_model import LanguageModelScorer
from slamflow.shards.items import Item, write_items
from slamflow.vocabulary import OWN, Layout, Vocabulary

UNITS = 50
VOCABULARY = Vocabulary(UNITS)


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


def slow_mean_nll(model: PreTrainedModel, units: np.ndarray, layout: Layout = OWN) -> float:
    """Sum of -log p(token | all before it), each from a forward pass of its own; BOS first, EOS last."""
    tokens = [*layout.bos, *(int(unit) + layout.first_unit for unit in units)]
    if layout.ends and layout.eos is not None:
        tokens.append(layout.eos)
    total, given = 0.0, len(layout.bos) or 1
    with torch.no_grad():
        for position in range(given, len(tokens)):
            logits = model(input_ids=torch.tensor([tokens[:position]])).logits[0, -1].double()
            total -= float(torch.log_softmax(logits, -1)[tokens[position]])
    return total / max(1, len(tokens) - given)


@pytest.mark.parametrize("make", [llama, opt])
def test_mean_nll_equals_token_by_token(make) -> None:
    model = make()
    some = [*sequences(0, 4), np.zeros(0, dtype=np.uint16)]
    scorer = LanguageModelScorer(model, VOCABULARY)
    np.testing.assert_allclose(mean_nll(scorer, some), [slow_mean_nll(model, u) for u in some], atol=1e-5)
    assert scorer.nll(some)[1].tolist() == [len(units) + 1 for units in some]


LAYOUTS = [
    Layout(pad=0, bos=(), eos=None, first_unit=1),
    Layout(pad=51, bos=(50,), eos=50, ends=False, first_unit=0),
    Layout(pad=1, bos=(0,), eos=0, first_unit=2),
    Layout(pad=0, bos=(1, 0), eos=None, first_unit=2),
]


@pytest.mark.parametrize("make", [llama, opt])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.bos}-{layout.eos}")
def test_a_published_model_is_scored_by_its_own_layout(make, layout: Layout) -> None:
    model = make()
    empty, one, two = (np.arange(size, dtype=np.uint16) for size in range(3))
    some = [*sequences(0, 5), two, one, empty]
    expected = [slow_mean_nll(model, units, layout) for units in some]
    for positions in (1, 100, 4096):
        scorer = LanguageModelScorer(model, Vocabulary(UNITS, layout=layout), positions)
        np.testing.assert_allclose(mean_nll(scorer, some), expected, atol=1e-5)
    if not layout.bos:
        assert scorer.nll([two, one, empty])[1].tolist() == [1, 1, 1]
        assert scorer.nll([one, empty])[0].tolist() == [0, 0]  # nothing is predicted


@pytest.mark.parametrize("make", [llama, opt])
@pytest.mark.parametrize("layout", [OWN, LAYOUTS[0]])
def test_batches_do_not_matter(make, layout: Layout) -> None:
    model = make()
    some = sequences(1, 60)
    vocabulary = Vocabulary(UNITS, layout=layout)
    one_by_one = mean_nll(LanguageModelScorer(model, vocabulary, positions=1), some)
    np.testing.assert_allclose(mean_nll(LanguageModelScorer(model, vocabulary), some), one_by_one, atol=1e-5)
    backwards = mean_nll(LanguageModelScorer(model, vocabulary, positions=300), some[::-1])
    np.testing.assert_allclose(backwards[::-1], one_by_one, atol=1e-5)
    assert np.ptp(one_by_one) > 0.1


def test_batches_hold_all_once_within_the_limit() -> None:
    lengths = np.random.default_rng(0).integers(3, 400, size=500)
    groups = list(likelihood.batches(lengths, 1000))
    assert sorted(np.concatenate(groups).tolist()) == list(range(500))
    assert all(len(group) * lengths[group].max() <= 1000 for group in groups)
    assert len(groups) < 500 * lengths.mean() / 1000 * 1.3


def test_what_does_not_fit_the_model() -> None:
    scorer = LanguageModelScorer(llama(), VOCABULARY)
    with pytest.raises(InputError, match="unit 50 is outside a vocabulary of 50 units"):
        scorer.nll([np.array([1, 50], dtype=np.uint16)])
    with pytest.raises(InputError, match="130 tokens does not fit the model's context of 128"):
        scorer.nll([np.zeros(128, dtype=np.uint16)])


def test_command_scores_a_folder(tmp_path: Path) -> None:
    model = llama()
    model.save_pretrained(tmp_path / "model")
    files.write_json(tmp_path / "model/speech.json", speech_record(VOCABULARY))
    good, bad = sequences(2, 30), sequences(3, 30)
    bad[0] = good[0]
    items = [Item(f"{i:02}", "even" if i % 2 == 0 else "odd", f"{i // 2:02}", good[i], bad[i]) for i in range(30)]
    write_items(tmp_path / "items.parquet", items)
    files.write_json(tmp_path / "items.json", {"items": 30})
    for name in ("one", "two"):
        flags = (
            f"--model {tmp_path}/model"
            f" --items {tmp_path}/items.parquet --manifest {tmp_path}/items.json"
            f" --output {tmp_path}/{name}.json --pairs {tmp_path}/{name}.parquet"
        )
        settings = ScoreBenchmark(name="cloze", kind="sstorycloze", split="test", model="small")
        score_benchmark.main(["--settings", settings.model_dump_json(), *flags.split()])
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
    assert (score["benchmark"], score["split"], score["model"], score["n"]) == ("cloze", "test", "small", 30)
    assert score["kind"] == "sstorycloze"
    assert score["manifest"] == files.sha256_file(tmp_path / "items.json")
    assert 0 < score["ci95"][0] < score["accuracy"] < score["ci95"][1] < 1


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        likelihood.load_model(tmp_path)


def test_folder_without_a_vocabulary(tmp_path: Path) -> None:
    """As it was written before models said their vocabulary; or of a model of text; or of another model."""
    llama().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"no speech\.json; train or import"):
        LanguageModelScorer.load(tmp_path)
    for record, message in (
        ({"units": UNITS}, "is of another version; train or import the model again"),
        (speech_record(Vocabulary(text="bytes", text_tokens=256)), "a model of text alone"),
        (speech_record(Vocabulary(UNITS + 1)), "has 53 tokens, the model 52"),
    ):
        files.write_json(tmp_path / "speech.json", record)
        with pytest.raises(InputError, match=message):
            LanguageModelScorer.load(tmp_path)
