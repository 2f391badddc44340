"""Edit distances between voices, against a slow oracle and cases that can be worked out by hand."""

from __future__ import annotations

import functools
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import compare_voices as command
from slamflow.errors import InputError
from slamflow.evaluation import voices
from slamflow.evaluation.voices import compare_voices

SCHEMA = pa.schema([("id", pa.string()), ("speaker", pa.string()), ("text", pa.string())])
SCHEMA = SCHEMA.append(pa.field("units", pa.list_(pa.uint16())))


def shard(path: Path, rows: list[tuple[str | None, str | None, list[int]]]) -> Path:
    names = ("id", "speaker", "text", "units")
    listed = [dict(zip(names, (str(number), *row), strict=True)) for number, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(listed, SCHEMA), path)
    return path


def edit_distance(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """By the definition."""

    @functools.cache
    def rest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return len(a) - i + len(b) - j
        return min(rest(i + 1, j) + 1, rest(i, j + 1) + 1, rest(i + 1, j + 1) + (a[i] != b[j]))

    return rest(0, 0)


def test_means_of_all_pairs(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = [
        (speaker, text, [draw.randrange(260, 266) for _ in range(draw.randrange(3, 9))])
        for speaker in "abcd"
        for text in ("one", "two", "three")
    ]
    found = compare_voices([shard(tmp_path / "1", rows[:5]), shard(tmp_path / "2", rows[5:])])
    expected: dict[str, list[float]] = {"same_text": [], "different_text": []}
    for (speaker, text, units), (other, other_text, other_units) in itertools.combinations(rows, 2):
        if (text == other_text) != (speaker == other):
            kind = "same_text" if text == other_text else "different_text"
            longest = max(len(units), len(other_units))
            expected[kind].append(edit_distance(tuple(units), tuple(other_units)) / longest)
    assert (found["speakers"], found["shared_texts"]) == (4, 3)
    for kind, distances in expected.items():
        assert found[kind]["n"] == len(distances) == {"same_text": 18, "different_text": 12}[kind]
        assert found[kind]["mean"] == pytest.approx(sum(distances) / len(distances), abs=1e-6)
        low, high = found[kind]["ci95"]
        assert low < found[kind]["mean"] < high
    means = [sum(distances) / len(distances) for distances in expected.values()]
    assert found["ratio"]["value"] == pytest.approx(means[0] / means[1], abs=1e-5)


def test_units_of_the_words_alone(tmp_path: Path) -> None:
    rows = [(speaker, text, units) for speaker in "abcde" for text, units in (("x", [1, 2]), ("y", [3, 4, 5]))]
    found = compare_voices([shard(tmp_path / "1", rows)])
    assert found["same_text"] == {"n": 20, "mean": 0.0, "ci95": [0.0, 0.0]}
    assert found["different_text"] == {"n": 5, "mean": 1.0, "ci95": [1.0, 1.0]}
    assert found["ratio"] == {"value": 0.0, "ci95": [0.0, 0.0]}


def test_the_interval_covers_the_mean_of_many_speakers(tmp_path: Path) -> None:
    """Each speaker's own habit decides: k of 10 units differ from the common ones. 95 of 100 should cover."""
    covered = 0
    for seed in range(100):
        draw = random.Random(seed)
        rows: list[tuple[str, str, list[int]]] = []
        for speaker in range(20):
            own = draw.randrange(8)
            common = list(range(10 - own)) + [100 + speaker] * own
            rows += [(str(speaker), "x", common), (str(speaker), f"y {speaker}", [50 + own])]
        low, high = compare_voices([shard(tmp_path / "1", rows)])["same_text"]["ci95"]
        # The expected maximum of two draws from 0..7, over ten.
        covered += low <= sum(max(a, b) for a in range(8) for b in range(8)) / 64 / 10 <= high
    assert 85 <= covered <= 100


def test_case_and_punctuation_do_not_count_and_unknown_is_left_out(tmp_path: Path) -> None:
    rows = [
        ("a", "Hello, there!", [1, 2]),
        ("b", "hello there", [1, 3]),
        ("c", None, [1, 2]),
        (None, "hello there", [7]),
    ]
    rows += [("unknown", "hello there", [9]), ("d", "hello there", [])]
    found = compare_voices([shard(tmp_path / "1", rows)])
    assert (found["speakers"], found["shared_texts"]) == (2, 1)
    assert found["same_text"]["mean"] == 0.5
    assert found["different_text"] == {"n": 0, "mean": None, "ci95": None}
    assert found["ratio"] == {"value": None, "ci95": None}


def test_nothing_in_common(tmp_path: Path) -> None:
    output = tmp_path / "voices.json"
    units = shard(tmp_path / "1", [("a", "one", [1, 2])])
    settings = json.dumps({"encoder": "e", "corpus": "c"})
    command.main(["--settings", settings, "--units", str(units), "--output", str(output)])
    found: dict[str, Any] = json.loads(output.read_text())
    assert (found["encoder"], found["corpus"], found["same_text"]["n"]) == ("e", "c", 0)
    assert compare_voices([shard(tmp_path / "2", [])])["speakers"] == 0


def test_of_many_pairs_some_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(str(speaker), "x", [1, 2] if speaker % 2 else [1, 3]) for speaker in range(60)]
    path = shard(tmp_path / "1", rows)
    everything = compare_voices([path])["same_text"]
    monkeypatch.setattr(voices, "MOST_PAIRS", 500)
    some = compare_voices([path])["same_text"]
    assert (everything["n"], some["n"]) == (1770, 500)
    assert some["mean"] == pytest.approx(everything["mean"], abs=0.05)
    assert compare_voices([path])["same_text"] == some


def test_what_is_no_unit_shard_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.parquet: no column .*speaker"):
        compare_voices([tmp_path / "other.parquet"])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"broken\.parquet"):
        compare_voices([tmp_path / "broken.parquet"])
