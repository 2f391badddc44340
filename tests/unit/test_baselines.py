"""Kneser-Ney against its definition, written out with dictionaries; sums of probabilities; lengths."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import score_baselines
from slamflow import files
from slamflow.errors import InputError
from slamflow.evaluation import scores
from slamflow.recipe.evaluation import ScoreBaselines
from slamflow.scorers import mean_nll
from slamflow.scorers import ngram as baselines
from slamflow.shards.items import Item, write_items

UNITS = 6
TRAIN = 150
BEGIN, EOS = "begin", "end"


def random_sequences(seed: int, count: int) -> list[np.ndarray]:
    """Sequences of a Markov chain, so that the n-grams have something to learn."""
    random = np.random.default_rng(seed)
    chain = random.dirichlet(np.full(UNITS, 0.4), size=UNITS)
    result = []
    for _ in range(count):
        units = [int(random.integers(UNITS))]
        while len(units) < random.integers(1, 15):
            units.append(int(random.choice(UNITS, p=chain[units[-1]])))
        result.append(np.array(units, dtype=np.uint16))
    return result


class SlowKneserNey:
    """Interpolated modified Kneser-Ney as Chen and Goodman write it: sets of contexts, sums over words, recursion."""

    def __init__(self, sequences: list[np.ndarray], order: int) -> None:
        self.order = order
        full: Counter[tuple] = Counter()
        for units in sequences:
            tokens = [BEGIN] * (order - 1) + units.tolist() + [EOS]
            for end in range(order, len(tokens) + 1):
                full[tuple(tokens[end - order : end])] += 1
        self.counts = {order: dict(full)}
        seen = set(full)
        for n in range(order - 1, 0, -1):
            contexts = defaultdict(set)
            for gram in seen:
                contexts[gram[1:]].add(gram[0])
            self.counts[n] = {gram: len(before) for gram, before in contexts.items()}
            seen = set(self.counts[n])
        self.discounts = {n: self.discounts_of(n) for n in self.counts}
        self.following: dict[tuple, dict] = defaultdict(dict)
        for n in self.counts:
            for gram, count in self.counts[n].items():
                self.following[gram[:-1]][gram[-1]] = count

    def discounts_of(self, n: int) -> dict[int, float]:
        having = Counter(self.counts[n].values())
        n1, n2, n3, n4 = (having[k] for k in (1, 2, 3, 4))
        fixed = {1: 0.5, 2: 1.0, 3: 1.5}
        if min(n1, n2, n3, n4) > 0:
            y = n1 / (n1 + 2 * n2)
            formula = {1: 1 - 2 * y * n2 / n1, 2: 2 - 3 * y * n3 / n2, 3: 3 - 4 * y * n4 / n3}
            if min(formula.values()) >= 0:
                fixed = formula
        return fixed

    def probability(self, context: tuple, token: object) -> float:
        n = len(context) + 1
        lower = self.probability(context[1:], token) if context else 1 / (UNITS + 1)
        following = self.following.get(context)
        if not following:
            return lower
        total = sum(following.values())
        left = sum(self.discounts[n][min(count, 3)] for count in following.values()) / total
        count = following.get(token, 0)
        own = (count - self.discounts[n][min(count, 3)]) / total if count else 0.0
        return own + left * lower

    def mean_nll(self, units: np.ndarray) -> float:
        tokens = [BEGIN] * (self.order - 1) + units.tolist() + [EOS]
        ends = range(self.order - 1, len(tokens))
        return float(
            np.mean([-np.log(self.probability(tuple(tokens[end - self.order + 1 : end]), tokens[end])) for end in ends])
        )


@pytest.mark.parametrize(("order", "train"), [(1, 30), (2, 30), (3, 8), (5, TRAIN), (5, 1)])
def test_kneser_ney_equals_its_definition(order: int, train: int) -> None:
    sequences = random_sequences(order, train)
    held_out = random_sequences(99, 12)
    fast = baselines.KneserNey(order, UNITS).fit(sequences)
    slow = SlowKneserNey(sequences, order)
    wanted = [slow.mean_nll(units) for units in [*held_out, *sequences[:3]]]
    np.testing.assert_allclose(mean_nll(fast, [*held_out, *sequences[:3]]), wanted, rtol=1e-12)


def test_formula_of_the_discounts_is_used_where_it_can_be() -> None:
    """Else the comparison above would be one of fixed discounts only."""
    counts = np.repeat([1, 2, 3, 4, 9], [40, 15, 8, 5, 3])
    y = 40 / (40 + 2 * 15)
    wanted = [1 - 2 * y * 15 / 40, 2 - 3 * y * 8 / 15, 3 - 4 * y * 5 / 8]
    np.testing.assert_allclose(baselines.modified_discounts(counts), wanted)
    np.testing.assert_allclose(baselines.modified_discounts(np.array([1, 1, 7])), [0.5, 1.0, 1.5])
    slow = SlowKneserNey(random_sequences(5, TRAIN), 5)
    assert sum(slow.discounts[n] != {1: 0.5, 2: 1.0, 3: 1.5} for n in (2, 3, 4, 5)) >= 2


@pytest.mark.parametrize("order", [1, 3, 5])
def test_probabilities_sum_to_one(order: int) -> None:
    model = baselines.KneserNey(order, UNITS).fit(random_sequences(0, 25))
    for context in [[], [0], [1, 2], [5, 5, 5, 5, 5], *[list(units) for units in random_sequences(7, 20)]]:
        asked = [np.array([*context, unit], dtype=np.uint16) for unit in range(UNITS)]
        end = np.array(context, dtype=np.uint16)
        total = 0.0
        for units in asked:
            probabilities, predicted = model.probabilities([units])
            total += probabilities[predicted][len(context)]
        probabilities, predicted = model.probabilities([end])
        total += probabilities[predicted][-1]
        assert total == pytest.approx(1, abs=1e-12)


def test_longer_context_predicts_a_chain_better() -> None:
    train, held_out = random_sequences(3, 400)[:300], random_sequences(3, 400)[300:]
    nll = [mean_nll(baselines.KneserNey(order, UNITS).fit(train), held_out).mean() for order in (1, 2)]
    assert nll[1] < nll[0] - 0.1
    assert nll[0] < np.log(UNITS + 1)


def test_sequences_do_not_see_each_other() -> None:
    model = baselines.KneserNey(5, UNITS).fit(random_sequences(0, 25))
    held_out = random_sequences(8, 10)
    alone = [mean_nll(model, [units])[0] for units in held_out]
    np.testing.assert_array_equal(mean_nll(model, held_out), alone)
    assert model.nll(held_out)[1].tolist() == [len(units) + 1 for units in held_out]


def test_take_tokens_stops() -> None:
    def endless() -> object:
        while True:
            yield np.zeros(4, dtype=np.uint16)

    assert len(baselines.take_tokens(endless(), 10)) == 3  # type: ignore[arg-type]
    assert len(baselines.take_tokens([np.zeros(4, dtype=np.uint16)], 10)) == 1


NAMES = ["unigram", "5gram", "length"]


def score_shuffled(folder: Path, *names: str, **flags: str) -> list[Item]:
    """Let score_baselines score sequences against the same ones shuffled."""
    random = np.random.default_rng(0)
    train, held_out = random_sequences(3, 400)[:300], [u for u in random_sequences(3, 400)[300:] if len(u) > 6]
    pq.write_table(
        pa.table({"id": [str(i) for i in range(300)], "units": pa.array(train, pa.list_(pa.uint16()))}),
        folder / "train.parquet",
    )
    items = [Item(f"{i:03}", None, f"{i:03}", units, random.permutation(units)) for i, units in enumerate(held_out)]
    write_items(folder / "items.parquet", items)
    files.write_json(folder / "items.json", {})
    settings = ScoreBaselines(name="order", kind="mine", split="dev", baselines=list(names), ngram_tokens=10_000)
    paths = [f"--score={name}={folder}/{name}.json" for name in names]
    paths += [f"--pairs={name}={folder}/{name}.parquet" for name in names]
    given = {"train": f"{folder}/train.parquet", **flags}
    rest = f"--train {given['train']} --items {folder}/items.parquet --manifest {folder}/items.json"
    score_baselines.main(["--settings", settings.model_dump_json(), *rest.split(), *paths])
    return items


def test_command_writes_the_scores_of_the_baselines_that_are_asked(tmp_path: Path) -> None:
    """The bad sequences are shuffled: a 5-gram sees it, while a unigram and the length cannot."""
    items = score_shuffled(tmp_path, *NAMES)
    read = {name: files.read_json(tmp_path / f"{name}.json") for name in NAMES}
    assert read["length"]["accuracy"] == 0.5
    assert read["unigram"]["accuracy"] == pytest.approx(0.5, abs=0.1)
    assert read["5gram"]["accuracy"] > 0.8
    assert {score["model"] for score in read.values()} == set(NAMES)
    assert [read["5gram"][key] for key in ("benchmark", "kind", "split")] == ["order", "mine", "dev"]
    assert read["5gram"]["manifest"] == files.sha256_file(tmp_path / "items.json")
    length = scores.read_pairs(tmp_path / "length.parquet")
    assert length["good_nll"].to_pylist() == [len(item.good) + 1 for item in items]
    assert set(length["correct"].to_pylist()) == {0.5}


def test_command_fits_nothing_for_the_length_alone(tmp_path: Path) -> None:
    score_shuffled(tmp_path, "length", train="")
    assert files.read_json(tmp_path / "length.json")["accuracy"] == 0.5


def test_command_wants_units_for_n_grams_and_a_path_for_each(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no units to fit a 5-gram on"):
        score_shuffled(tmp_path, "5gram", train="")
    with pytest.raises(InputError, match="--score: no path for 5gram; give --score 5gram=PATH"):
        scores.paths_by_name("--score", [("unigram", Path("x.json"))], ["unigram", "5gram"])
