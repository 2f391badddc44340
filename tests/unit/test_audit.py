"""What baselines read beside units: the utterances of each item, how loud they are, and their words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import score_baselines
from slamflow import files
from slamflow.benchmarks import BENCHMARKS
from slamflow.benchmarks.pairs import Spoken, build
from slamflow.errors import InputError
from slamflow.evaluation import parts
from slamflow.evaluation.scores import read_pairs
from slamflow.recipe.evaluation import ScoreBaselines
from slamflow.scorers import BASELINES, Material
from slamflow.shards.items import Item, write_items
from slamflow.shards.speech import encode_flac, write_speech
from slamflow.tokenizers.sequences import join

KEYS = ("prompt", "ending", "wrong_detail", "good", "bad")
RATE = 16_000


def records(count: int = 60) -> list[dict[str, str]]:
    """Stories and pairs in one: every key that a kind may need."""
    return [
        {"id": f"r{n:03}", "cluster": f"c{n // 2}", "phenomenon": f"p{n % 3}", **{key: f"{key} {n}" for key in KEYS}}
        for n in range(count)
    ]


def spoken(count: int = 60) -> dict[str, Spoken]:
    """Few units, so that seams often share one; of three voices."""
    random = np.random.default_rng(0)
    return {
        f"{record['id']}.{key}": Spoken(f"v{n % 3}", random.integers(0, 4, random.integers(1, 9)).astype(np.uint16))
        for n, record in enumerate(records(count))
        for key in KEYS
    }


@pytest.mark.parametrize("kind", BENCHMARKS.names())
@pytest.mark.parametrize("published", [False, True])
def test_the_parts_of_every_kind_of_items_are_found(kind: str, published: bool) -> None:
    said = spoken()
    items, _ = build(kind, records(), said, 3, published=published)
    found = parts.parts_of(kind, records(), said, 3, published, items)
    assert found.keys() == {item.id for item in items}
    for item in items:
        for names, units in zip(found[item.id], (item.good, item.bad), strict=True):
            assert all(name.partition(".")[0] == item.id for name in names[:-1])
            joined = said[names[0]].units
            for name in names[1:]:
                joined = join(joined, said[name].units)
            np.testing.assert_array_equal(joined, units)
        good, bad = found[item.id]
        assert good[-1].partition(".")[0] == item.id
        assert good != bad


def test_items_that_are_not_made_of_these_utterances_are_left_out() -> None:
    said = spoken()
    items, _ = build("sblimp", records(), said, 0)
    changed = [items[0]._replace(bad=items[0].bad[::-1] + 1), *items[1:]]
    assert items[0].id not in parts.parts_of("sblimp", records(), said, 0, False, changed)
    assert len(parts.parts_of("sblimp", records(), said, 0, False, changed)) == len(items) - 1


@pytest.mark.parametrize("number", [0, 1, 2**15 - 1, 2**15, 2**16, 5_000_000])
def test_a_number_survives_as_units(number: int) -> None:
    digits = parts._digits(number)
    two = join(digits, digits)
    assert len(two) == 4
    names = [*[""] * number, "this one"]
    assert parts._names(two, names) == ("this one", "this one")
    assert parts._names(digits[::-1], names) == ()
    assert parts._names(digits[:1], names) == ()


def test_loudness_is_the_level_of_all_samples_together() -> None:
    """A second at half of full scale is -6.02 dB; with three seconds of silence it is 6.02 dB less."""
    scorer = BASELINES.module("loudness").fit(Material())
    half, silence = parts.Level(0.25 * RATE, RATE), parts.Level(0.0, 3 * RATE)
    sums, counts = scorer.nll([(half,), (half, silence), (silence,), (half, half)])
    np.testing.assert_allclose(sums, [6.0206, 12.0412, 120.0, 6.0206], atol=1e-3)
    assert counts.tolist() == [1, 1, 1, 1]


def tone(level: float) -> np.ndarray:
    return (level * np.sin(np.arange(RATE // 4))).astype(np.float32)


def prepare(folder: Path, levels: list[tuple[float, float]], words: list[tuple[str, str]]) -> list[str]:
    """A benchmark of pairs with these levels and words; the flags of score_baselines."""
    pairs, rows, units, items = [], [], [], []
    for number, (both, texts) in enumerate(zip(levels, words, strict=True)):
        name = f"p{number}"
        pairs.append({"id": name, "cluster": name, "good": texts[0], "bad": texts[1]})
        sides = {}
        for place, (side, level) in enumerate(zip(("good", "bad"), both, strict=True)):
            sides[side] = np.array([number, 50 + place], np.uint16)
            utterance = {"id": f"{name}.{side}", "speaker": "v"}
            units.append({**utterance, "units": sides[side].tolist()})
            audio = encode_flac(tone(level), RATE) if level else b"no audio"
            rows.append({**utterance, "text": None, "audio": audio, "source": "", "seconds": 0.25, "start": 0.0})
        items.append(Item(name, None, name, sides["good"], sides["bad"]))
    files.write_jsonl(folder / "records.jsonl", pairs)
    schema = pa.schema([("id", pa.string()), ("speaker", pa.string()), ("units", pa.list_(pa.uint16()))])
    pq.write_table(pa.Table.from_pylist(units, schema=schema), folder / "units.parquet")
    write_speech(folder / "speech.parquet", rows)
    write_items(folder / "items.parquet", items)
    files.write_json(folder / "items.json", {})
    given = {"records": "records.jsonl", "spoken": "units.parquet", "speech": "speech.parquet"}
    given |= {"items": "items.parquet", "manifest": "items.json"}
    return [f"--{flag}={folder}/{path}" for flag, path in given.items()]


def score(folder: Path, flags: list[str], *names: str) -> dict[str, dict]:
    benchmark = {"kind": "sblimp", "corpus": "c", "encoder": "e"}
    settings = ScoreBaselines.model_validate(
        {
            **{"name": "mine", "kind": "sblimp", "split": "test", "baselines": list(names), "ngram_tokens": 1},
            "built": {"name": "mine", "benchmark": benchmark, "split": "test", "published": True},
        }
    )
    outputs = [f"--score={name}={folder}/{name}.json" for name in names]
    outputs += [f"--pairs={name}={folder}/{name}.parquet" for name in names]
    score_baselines.main(["--settings", settings.model_dump_json(), *flags, *outputs])
    return {name: files.read_json(folder / f"{name}.json") for name in names}


class LongestText:
    """Finds long texts likely."""

    def __init__(self, folder: Path) -> None:
        assert folder == Path("a text model")

    def nll(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        assert all(texts)
        return np.array([-len(text) for text in texts], np.float64), np.ones(len(texts), np.int64)


def test_loudness_and_text_model_beside_the_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four pairs one has no words and another has speech that cannot be read; the length scores all of them."""
    monkeypatch.setattr("slamflow.generation.gen_ppl.TextScorer", LongestText)
    levels = [(0.5, 0.1), (0.5, 0.4), (0.1, 0.3), (0.5, 0.0)]
    words = [("longer words", "short"), ("a", "b c"), ("", ""), ("the longest of all", "no")]
    flags = [*prepare(tmp_path, levels, words), "--text-model=a text model"]
    found = score(tmp_path, flags, "length", "loudness", "text_model")
    assert (found["length"]["n"], found["length"]["left_out"]) == (4, {})
    assert (found["loudness"]["n"], found["loudness"]["left_out"]) == (3, {"no_levels": 1})
    assert (found["text_model"]["n"], found["text_model"]["left_out"]) == (3, {"no_text": 1})
    assert found["loudness"]["accuracy"] == found["text_model"]["accuracy"] == pytest.approx(2 / 3)
    assert read_pairs(tmp_path / "loudness.parquet")["correct"].to_pylist() == [1, 1, 0]
    table = read_pairs(tmp_path / "text_model.parquet")
    assert (table["id"].to_pylist(), table["correct"].to_pylist()) == (["p0", "p1", "p3"], [1, 0, 1])
    by_hand = -10 * np.log10(np.square(tone(0.5), dtype=np.float64).mean())
    assert read_pairs(tmp_path / "loudness.parquet")["good_nll"][0].as_py() == pytest.approx(by_hand, abs=0.01)


def test_a_benchmark_without_words_has_an_empty_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slamflow.generation.gen_ppl.TextScorer", LongestText)
    flags = [*prepare(tmp_path, [(0.5, 0.1)] * 3, [("", "")] * 3), "--text-model=a text model"]
    found = score(tmp_path, flags, "text_model")["text_model"]
    assert (found["n"], found["accuracy"], found["left_out"]) == (0, None, {"no_text": 3})


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    flags = prepare(tmp_path, [(0.5, 0.1)], [("a", "b")])
    with pytest.raises(InputError, match="loudness needs the speech of the pairs: give --speech"):
        score(tmp_path, [flag for flag in flags if not flag.startswith("--speech")], "loudness")
    with pytest.raises(InputError, match="need --records, --spoken"):
        score(tmp_path, [flag for flag in flags if not flag.startswith("--records")], "loudness")
    with pytest.raises(InputError, match=r"set evaluation\.text_model, or give --text-model"):
        score(tmp_path, flags, "text_model")
