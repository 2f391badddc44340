"""Likelihoods against one sequence at a time, token by token; scores of a real model folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, PreTrainedModel

import score_benchmarks
from slamflow import files
from slamflow.errors import InputError
from slamflow.evaluation import scores
from slamflow.lm.speech import speech_record
from slamflow.recipe.evaluation import ScoreBenchmarks
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
    return [random.integers(0, UNITS, size=random.integers(2, 90)).astype(np.uint16) for _ in range(count)]


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
    return total / (len(tokens) - given)


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
    vocabulary = Vocabulary(UNITS, layout=layout)
    some = [*sequences(0, 5), two, one, empty]
    without_score = [units for units in some if vocabulary.document(units).size <= vocabulary.given()]
    some = some[: len(some) - len(without_score)]
    expected = [slow_mean_nll(model, units, layout) for units in some]
    for positions in (1, 100, 4096):
        scorer = LanguageModelScorer(model, vocabulary, positions)
        np.testing.assert_allclose(mean_nll(scorer, some), expected, atol=1e-5)
    # Without EOS nothing is predicted of an empty sequence, and without BOS nothing of a single unit.
    assert len(without_score) == (layout.eos is None or not layout.ends) + (not layout.bos)
    for units in without_score:
        with pytest.raises(InputError, match="without a scored token"):
            scorer.nll([units])


@pytest.mark.parametrize("make", [llama, opt])
@pytest.mark.parametrize("layout", [OWN, LAYOUTS[0]])
def test_batches_do_not_matter(make, layout: Layout) -> None:
    model = make()
    some = [units for units in sequences(1, 60) if units.size > 1]
    vocabulary = Vocabulary(UNITS, layout=layout)
    one_by_one = mean_nll(LanguageModelScorer(model, vocabulary, positions=1), some)
    np.testing.assert_allclose(mean_nll(LanguageModelScorer(model, vocabulary), some), one_by_one, atol=1e-5)
    backwards = mean_nll(LanguageModelScorer(model, vocabulary, positions=300), some[::-1])
    np.testing.assert_allclose(backwards[::-1], one_by_one, atol=1e-5)
    assert np.ptp(one_by_one) > 0.1


def pairs_that_begin_alike(seed: int, count: int) -> list[np.ndarray]:
    """Right and then wrong sequences with a common beginning: of every length, none and all of the shorter one too."""
    random = np.random.default_rng(seed)
    good, bad = [], []
    for _ in range(count):
        prompt, one, other = (random.integers(0, UNITS, random.integers(0, top)) for top in (60, 30, 30))
        good.append(np.concatenate([prompt, one, [7]]).astype(np.uint16))
        bad.append(np.concatenate([prompt, other]).astype(np.uint16))
    bad[1] = good[1][:-1]  # the one is the beginning of the other
    bad[2] = good[2].copy()
    return [*good, *bad]


@pytest.mark.parametrize("make", [llama, opt])
@pytest.mark.parametrize("positions", [1, 200, 4096])
def test_what_pairs_have_in_common_is_computed_once_and_changes_nothing(make, positions: int) -> None:
    """Against each alone, token by token for some; in any order; the row of two is used, and is shorter."""
    model = make()
    scorer = LanguageModelScorer(model, VOCABULARY, positions=positions)
    assert scorer.can_share
    some = pairs_that_begin_alike(4, 40)
    documents = [scorer.document(units) for units in some]
    rows = likelihood.rows_of(documents, 128)
    assert 15 < sum(row.second is not None for row in rows) < 40
    assert sorted(index for row in rows for index in (row.first, row.second) if index is not None) == list(range(80))
    assert all(row.width(documents) <= 128 for row in rows)
    saved = 1 - sum(row.width(documents) for row in rows) / sum(len(doc) - 1 for doc in documents)
    assert saved > 0.2
    together = mean_nll(scorer, some)
    alone = [mean_nll(scorer, [units])[0] for units in some]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(mean_nll(scorer, some[::-1])[::-1], alone, atol=1e-5)
    for index in (1, 5, 41):
        assert together[index] == pytest.approx(slow_mean_nll(model, some[index]), abs=1e-5)
    assert together[2] == together[42]  # a tie, to the last bit


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.bos}-{layout.eos}")
def test_a_shared_row_follows_the_layout(layout: Layout) -> None:
    model = llama()
    scorer = LanguageModelScorer(model, Vocabulary(UNITS, layout=layout))
    some = [units for units in pairs_that_begin_alike(4, 6) if units.size > 1]
    assert any(row.second is not None for row in likelihood.rows_of([scorer.document(units) for units in some], 128))
    np.testing.assert_allclose(mean_nll(scorer, some), [slow_mean_nll(model, u, layout) for u in some], atol=1e-5)


def test_by_hand_which_documents_share_a_row() -> None:
    """[1 5 5 5 2] and [1 5 5 5 3 4] have 4 tokens in common; the fourth is read twice: 4 + 2 positions, not 4 + 5."""
    documents = [np.array(tokens) for tokens in ([1, 9, 9], [1, 5, 5, 5, 3, 4], [1, 8, 8, 8], [1, 5, 5, 5, 2])]
    rows = likelihood.rows_of(documents, None)
    assert rows == [likelihood.Row(3, 1, 3), likelihood.Row(2), likelihood.Row(0)]
    assert [row.width(documents) for row in rows] == [6, 3, 2]
    assert likelihood.rows_of(documents, 5)[:2] == [likelihood.Row(3), likelihood.Row(1)]
    assert likelihood.rows_of([], None) == []


class HasPositionsOfItsOwn(LlamaForCausalLM):
    """Takes no notice of the positions that it is given."""

    def forward(self, position_ids=None, **given):  # noqa: ARG002
        return super().forward(**given)


class TakesNoMask(LlamaForCausalLM):
    """Refuses what it does not know."""

    def forward(self, input_ids, use_cache=False):
        return super().forward(input_ids=input_ids, use_cache=use_cache)


@pytest.mark.parametrize("kind", [HasPositionsOfItsOwn, TakesNoMask])
def test_a_model_that_cannot_share_reads_each_alone(kind: type[LlamaForCausalLM]) -> None:
    plain = llama()
    model = kind(plain.config).eval()
    model.load_state_dict(plain.state_dict())
    scorer = LanguageModelScorer(model, VOCABULARY)
    assert not scorer.can_share
    some = pairs_that_begin_alike(4, 10)
    np.testing.assert_allclose(
        mean_nll(scorer, some), mean_nll(LanguageModelScorer(plain, VOCABULARY), some), atol=1e-5
    )


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


SCORED = {"benchmark": "cloze", "kind": "sstorycloze", "split": "test"}


def write_items_of(folder: Path, items: list[Item], name: str = "items") -> None:
    write_items(folder / f"{name}.parquet", items)
    files.write_json(folder / f"{name}.json", {"items": len(items)})


def score(folder: Path, items: dict[str, str], out: str = "scores") -> None:
    """Let score_benchmarks score the model `model` on items, by the benchmark's name."""
    settings = ScoreBenchmarks.model_validate(
        {"model": "small", "scored": [{**SCORED, "benchmark": name} for name in items]}
    )
    flags = [
        f"--{flag}={name}.test={path}"
        for name, stem in items.items()
        for flag, path in (
            ("items", folder / f"{stem}.parquet"),
            ("manifest", folder / f"{stem}.json"),
            ("output", folder / out / f"{name}.json"),
            ("pairs", folder / out / f"{name}.parquet"),
        )
    ]
    (folder / out).mkdir(exist_ok=True)
    score_benchmarks.main(["--settings", settings.model_dump_json(), "--model", f"{folder}/model", *flags])


def save(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder)
    files.write_json(folder / "speech.json", speech_record(VOCABULARY))


def test_command_scores_a_folder(tmp_path: Path) -> None:
    model = llama()
    save(model, tmp_path / "model")
    good, bad = sequences(2, 30), sequences(3, 30)
    bad[0] = good[0]
    items = [Item(f"{i:02}", "even" if i % 2 == 0 else "odd", f"{i // 2:02}", good[i], bad[i]) for i in range(30)]
    write_items_of(tmp_path, items)
    for out in ("one", "two"):
        score(tmp_path, {"cloze": "items"}, out)
    for suffix in ("json", "parquet"):
        assert (tmp_path / f"one/cloze.{suffix}").read_bytes() == (tmp_path / f"two/cloze.{suffix}").read_bytes()

    table = scores.read_pairs(tmp_path / "one/cloze.parquet").to_pydict()
    assert table["id"] == [item.id for item in items]
    assert table["good_nll"][7] == pytest.approx(slow_mean_nll(model, good[7]), abs=1e-5)
    assert table["bad_nll"][7] == pytest.approx(slow_mean_nll(model, bad[7]), abs=1e-5)
    wanted = [0.5 if g == b else float(g < b) for g, b in zip(table["good_nll"], table["bad_nll"], strict=True)]
    assert table["correct"] == wanted
    assert wanted[0] == 0.5

    found = files.read_json(tmp_path / "one/cloze.json")
    assert found["accuracy"] == pytest.approx(np.mean(wanted))
    assert found["phenomena"]["even"]["accuracy"] == pytest.approx(np.mean(wanted[::2]))
    assert found["phenomena"]["odd"]["n"] == 15
    assert (found["benchmark"], found["split"], found["model"], found["n"]) == ("cloze", "test", "small", 30)
    assert found["kind"] == "sstorycloze"
    assert found["manifest"] == files.sha256_file(tmp_path / "items.json")
    assert 0 < found["ci95"][0] < found["accuracy"] < found["ci95"][1] < 1
    assert found["left_out"] == {}


def some_items(seed: int, count: int = 12) -> list[Item]:
    both = zip(sequences(seed, count), sequences(seed + 1, count), strict=True)
    return [Item(f"{i:02}", None, f"{i:02}", good, bad) for i, (good, bad) in enumerate(both)]


def test_benchmarks_together_are_as_benchmarks_alone(tmp_path: Path) -> None:
    save(llama(), tmp_path / "model")
    for number in (1, 2):
        write_items_of(tmp_path, some_items(10 * number), f"items{number}")
    score(tmp_path, {"a": "items1", "b": "items2"}, "together")
    for name, items in (("a", "items1"), ("b", "items2")):
        score(tmp_path, {name: items}, "alone")
    for path in sorted((tmp_path / "together").iterdir()):
        assert path.read_bytes() == (tmp_path / "alone" / path.name).read_bytes()
    assert len(list((tmp_path / "together").iterdir())) == 4


def test_only_what_changed_is_scored_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more benchmark, other items, another model, a lost file, another code."""
    save(llama(), tmp_path / "model")
    for number in (1, 2):
        write_items_of(tmp_path, some_items(10 * number), f"items{number}")
    both = {"a": "items1", "b": "items2"}
    computed: list[int] = []
    nll = LanguageModelScorer.nll

    def counted(self: LanguageModelScorer, given: list[np.ndarray]) -> object:
        computed.append(len(given) // 2)
        return nll(self, given)

    monkeypatch.setattr(LanguageModelScorer, "nll", counted)

    def scored(items: dict[str, str]) -> list[int]:
        computed.clear()
        score(tmp_path, items)
        return list(computed)

    assert scored({"a": "items1"}) == [12]
    assert scored(both) == [12]
    assert scored(both) == []
    write_items_of(tmp_path, some_items(30, 7), "items2")
    assert scored(both) == [7]
    (tmp_path / "scores/a.json").unlink()
    assert scored(both) == [12]
    (tmp_path / "scores/b.parquet").write_bytes(b"cut short")
    assert scored(both) == [7]
    save(llama(), tmp_path / "model")
    assert scored(both) == []
    other = llama()
    other.lm_head.weight.data *= 1.1
    save(other, tmp_path / "model")
    assert scored(both) == [12, 7]
    monkeypatch.setattr(score_benchmarks, "code_digest", lambda _command: "edited")
    assert scored(both) == [12, 7]


def test_a_score_that_was_not_finished_is_not_taken_for_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its two files, whatever is scored next."""
    scorer = LanguageModelScorer(llama(), VOCABULARY)
    items = some_items(60)
    paths = tmp_path / "score.json", tmp_path / "pairs.parquet"

    def write(model: str) -> None:
        good, bad = [item.good for item in items], [item.bad for item in items]
        scores.write_scores(items, good, bad, scorer, {"model": model}, *paths, made_from=model)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    write("one")
    assert scores.is_made_from("one", *paths)
    monkeypatch.setattr(scores, "write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        write("other")
    assert files.read_json(paths[0])["model"] == "other"
    assert not any(scores.is_made_from(name, *paths) for name in ("one", "other"))


def test_what_is_too_long_is_left_out_and_counted(tmp_path: Path) -> None:
    """The longest that fits has as many units as positions but one: all tokens but the last are read."""
    save(llama(), tmp_path / "model")
    items = some_items(40)
    scorer = LanguageModelScorer.load(tmp_path / "model")
    fits, too_long = np.zeros(127, dtype=np.uint16), np.zeros(128, dtype=np.uint16)
    given = [*items[:10], items[10]._replace(bad=too_long), items[11]._replace(good=fits)]
    kept, left_out = scorer.readable(given)
    assert (len(kept), left_out) == (11, {"too_long": 1})
    write_items_of(tmp_path, given)
    write_items_of(tmp_path, [*given[:10], given[11]], "others")
    score(tmp_path, {"a": "items", "b": "others"})
    found = {name: files.read_json(tmp_path / f"scores/{name}.json") for name in "ab"}
    assert (found["a"]["n"], found["a"]["left_out"]) == (11, {"too_long": 1})
    assert found["a"]["accuracy"] == found["b"]["accuracy"]
    one, other = (scores.read_pairs(tmp_path / f"scores/{name}.parquet") for name in "ab")
    assert one.equals(other)


def test_where_all_is_too_long_there_is_no_accuracy(tmp_path: Path) -> None:
    save(llama(), tmp_path / "model")
    write_items_of(tmp_path, [item._replace(good=np.zeros(200, dtype=np.uint16)) for item in some_items(50)])
    score(tmp_path, {"a": "items"})
    found = files.read_json(tmp_path / "scores/a.json")
    assert (found["n"], found["accuracy"], found["ci95"], found["left_out"]) == (0, None, None, {"too_long": 12})
    assert len(scores.read_pairs(tmp_path / "scores/a.parquet")) == 0


def test_one_unit_alone_is_too_short_without_bos_and_eos() -> None:
    scorer = LanguageModelScorer(llama(), Vocabulary(UNITS, layout=LAYOUTS[0]))
    item = Item("a", None, "a", np.array([3], np.uint16), np.array([3, 4], np.uint16))
    assert scorer.readable([item]) == ([], {"too_short": 1})


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
