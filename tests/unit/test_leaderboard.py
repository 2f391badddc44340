"""The published table as data, and the leaderboard of a small made-up run."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import render_leaderboard
from slamflow.errors import InputError
from slamflow.evaluation.scores import aggregation_intervals, aggregations
from slamflow.jobs.leaderboard import LeaderboardJobs
from slamflow.recipe.recipe import Recipe
from slamflow.recipe.report import RenderLeaderboard
from slamflow.report.leaderboard import convention, leaderboard, render
from slamflow.report.published import SECTIONS, TABLE, published_table
from slamflow.shards.items import Item
from slamflow.strict_yaml import load_yaml

ROOT = Path(__file__).parents[2]

# docs/SLAM.md of slp-rl/slamkit at 0ccce5a, with its own names, dashes and order.
SLAM_MD = """
GSLM                 | 8xV100  | 100M | 1B            | 54.2  | 53.3  | 66.6  | -     | -
SyllableLM           | 4xA40   | 300M | 16B           | 63.7  | -     | 75.4  | -     | -
TWIST-350M           | 8xV100  | 305M | 10.8B         | 56.2  | -     | -     | 137.3 | 3.46
TWIST-1.3B           | 32xV100 | 1B   | 10.8B         | 57.0  | 52.4  | 70.6  | 131.8 | 3.20
TWIST-7B             | 32xV100 | 7B   | 36B           | 59.0  | 55.3  | 74.1  | 93.74 | 3.06
TWIST-13B            | 32xV100 | 13B  | 36B           | 59.2  | 55.4  | 76.4  | -     | -
Scaled Optimal       | -       | 823M | 82B           | 61.3  | 56.7  | 78.0  | -     | -
Moshi, speech only   | ?xH100  | 7B   | ?             | 58.9  | 58.7  | 81.8  | -     | -
SpiritLM, speech only| 64xA100 | 7B   | 100B          | 58.0  | 54.8  | 72.9  | -     | -
Scaling Interleaving | -       | 9B   | ~1T           | -     | 62.4  | 82.9  | -     | -
Moshi                | ?xH100  | 7B   | ~720B         | 58.8  | 60.8  | 83.0  | -     | -
SpiritLM             | 64xA100 | 7B   | 100B          | 58.3  | 61.0  | 82.9  | -     | -
AlignSLM-1.3B        | 64xA100 | 1B   | 10.8B + ~158B | 59.8  | 55.0  | 80.0  | -     | -
AlignSLM-7B          | 64xA100 | 7B   | 36B + ~158B   | 62.3  | 61.1  | 86.8  | -     | -
Slam (-DPO)          | 2xA100  | 358M | 16.7B         | 58.53 | 58.15 | 80.71 | 67.3  | 3.25
Slam                 | 1xA5000 | 358M | 1.4B + 5M     | 58.86 | 58.04 | 82.04 | 62.8  | 3.88
Slam (scaled)        | 2xA100  | 358M | 16.7B + 9M    | 61.11 | 61.30 | 84.18 | 46.6  | 3.75
"""
FIGURES = ("sblimp", "sstorycloze", "tstorycloze", "gen_ppl", "auto_bleu")


def test_the_rows_of_the_paper_are_as_the_authors_print_them() -> None:
    ours = {row.name: row for row in published_table().values()}
    lines = [[cell.strip() for cell in line.split("|")] for line in SLAM_MD.strip().splitlines()]
    assert len(lines) == 17
    for name, gpus, parameters, tokens, *figures in lines:
        row = ours[name]
        assert (row.gpus or "-").replace(" x ", "x") == gpus, name
        assert (row.parameters, row.tokens) == (parameters, tokens), name
        assert [getattr(row.figures, key) for key in FIGURES] == [
            None if figure == "-" else float(figure) for figure in figures
        ], name


def test_every_row_can_be_measured_or_says_why_not() -> None:
    rows = published_table()
    assert len(rows) >= 22
    for name, row in rows.items():
        assert row.weights or row.reason, name
        assert row.weights is None or row.weights.startswith("https://"), name
        assert re.search(r"arXiv:\d{4}\.\d{5}|^Slam, Table \d", row.source), name
        assert any(value is not None for value in row.figures.model_dump().values()), name
    assert [name for name, row in rows.items() if row.sblimp_aggregation != "unknown"] == ["scaled_optimal"]
    assert {row.section for row in rows.values()} == set(SECTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": None, "reason": None}, "gslm: neither weights nor a reason"),
        ({"figures": {"sblimp": 5420.0}}, "gslm.figures.sblimp"),
        ({"figures": {"sblim": 54.2}}, "gslm.figures.sblim: unknown key"),
        ({"name": "SyllableLM"}, "two rows are called 'SyllableLM'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    values = yaml.safe_load(TABLE.read_text())
    values["gslm"] |= change
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=re.escape(message)):
        published_table(path)


# The leaderboard of a run


MEANS = {"voice_pairs": 0.58, "pairs": 0.585, "phenomena": 0.615}
BOUNDS = {key: [value - 0.01, value + 0.01] for key, value in MEANS.items()}


def score(model: str, benchmark: str = "sblimp", **more: Any) -> dict[str, Any]:
    values = {"n": 25_200, "accuracy": 0.58, "ci95": [0.57, 0.59], "chance": 0.5, "split": "test", "left_out": {}}
    if benchmark == "sblimp":
        values |= {"aggregations": MEANS, "aggregations_ci95": BOUNDS}
    return {"benchmark": benchmark, "model": model, **values, **more}


SUMMARY: dict[str, Any] = {
    "provenance": {"commit": "c0ffee", "versions": {"torch": "2"}, "device": None, "date": "2026-01-02"},
    "benchmarks": [
        score("twist_350m"),
        score("scaled_optimal"),
        score("gslm", "sblimp_other_units"),
        score("twist_350m", "salmon"),
        score("length"),
        score("own <model>"),
        score("twist_350m", "tstorycloze", left_out={"too_long": 2, "for_other_models": 1}),
        score("twist_350m", "sblimp", split="dev", accuracy=0.99),
        score("twist_350m", "home_made"),
    ],
    "audit": [{"benchmark": "salmon", "split": "test", "solved_by": "length", "accuracy": 0.9, "ci95": [0.8, 0.95]}],
    "generation": [
        {
            "model": "truth",
            "n": 9,
            "gen_ppl": 30.0,
            "gen_ppl_ci95": [29, 31],
            "auto_bleu": 0.02,
            "auto_bleu_ci95": [0, 1],
            "judge": None,
        },
        {
            **{"model": "twist_350m", "n": 1000, "gen_ppl": 140.04, "gen_ppl_ci95": [130, 150]},
            **{"auto_bleu": 0.0352, "auto_bleu_ci95": [0.034, 0.0365]},
            "judge": {"n": 990, "mean": 2.345, "ci95": [2.2, 2.5]},
        },
        {
            "model": "own <model>",
            "n": 9,
            "gen_ppl": None,
            "gen_ppl_ci95": None,
            "auto_bleu": None,
            "auto_bleu_ci95": None,
            "judge": None,
        },
    ],
}
SETTINGS = RenderLeaderboard(
    recipe="board",
    rehearsal=False,
    benchmarks={"sblimp": "sblimp", "sblimp_other_units": "sblimp", "tstorycloze": "tstorycloze", "salmon": "salmon"},
    models={
        **dict.fromkeys(["twist_350m", "scaled_optimal", "gslm"], "public weights"),
        "own <model>": "trained here",
    },
    references={"length": "counts units", "truth": "the rest"},
    protocol=["sblimp: the published recordings, from a folder."],
)
SPEECH = {
    "twist_350m": {"encoder": "mhubert", "vocabulary": {"special": {"pad": 1, "bos": None, "eos": None}}},
    "scaled_optimal": {"encoder": "mhubert", "vocabulary": {"special": {"bos": 500, "eos": 500, "ends": False}}},
    "own <model>": {"encoder": "mhubert", "vocabulary": {"special": {"bos": 1, "eos": 1}}},
}


def rows_of(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["model"]: row for section in board["sections"] for row in section["rows"]}


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    return leaderboard(SETTINGS, published_table(), SUMMARY, SPEECH)


def test_published_and_measured_stand_side_by_side(board: dict[str, Any]) -> None:
    cell = rows_of(board)["twist_350m"]["cells"]["sblimp"]
    assert (cell["published"], cell["measured"], cell["ci95"], cell["n"]) == (56.2, 58.0, [57.0, 59.0], 25_200)
    assert cell["difference"] == pytest.approx(58.0 - 56.2)
    assert not cell["is_within"]
    generated = rows_of(board)["twist_350m"]["cells"]
    assert generated["gen_ppl"]["difference"] == pytest.approx(140.04 - 137.3)
    assert generated["auto_bleu"]["measured"] == pytest.approx(3.52)
    assert generated["auto_bleu"]["is_within"]
    assert (generated["gpt_score"]["measured"], generated["gpt_score"]["n"]) == (2.345, 990)
    assert rows_of(board)["twist_350m"]["cells"]["tstorycloze"]["left_out"] == 3


def test_the_mean_of_sblimp_is_the_published_one_where_it_is_known(board: dict[str, Any]) -> None:
    known, unknown = (rows_of(board)[name]["cells"]["sblimp"] for name in ("scaled_optimal", "twist_350m"))
    assert (known["measured"], known["ci95"], known["aggregation"]) == (61.5, [60.5, 62.5], "phenomena")
    assert known["is_aggregation_known"]
    assert known["difference"] == pytest.approx(61.5 - 61.3)
    assert (unknown["measured"], unknown["aggregation"]) == (58.0, "voice_pairs")
    assert not unknown["is_aggregation_known"]


def test_all_published_rows_are_there_and_others_after_them(board: dict[str, Any]) -> None:
    rows = rows_of(board)
    assert set(published_table()) < set(rows)
    assert rows["twist_13b"]["measured"] is None
    assert "never released" in rows["twist_13b"]["reason"]
    assert [section["title"] for section in board["sections"]][-2:] == [
        "Further models of this recipe",
        "Baselines and references, on the same items",
    ]
    assert [row["model"] for row in board["sections"][-1]["rows"]] == ["length", "truth"]
    assert rows["own <model>"]["measured"] == "trained here"


def test_a_baseline_has_a_row_for_each_encoder() -> None:
    encoders = {name: "hubert" if "other" in name else "mhubert" for name in SETTINGS.benchmarks}
    summary = {**SUMMARY, "benchmarks": [score("length"), score("length", "sblimp_other_units", accuracy=0.51)]}
    board = leaderboard(SETTINGS.model_copy(update={"encoders": encoders}), published_table(), summary, {})
    rows = {row["model"]: row for row in board["sections"][-1]["rows"] if row["model"] != "truth"}
    assert {name: row["cells"]["sblimp"]["measured"] for name, row in rows.items()} == {
        "length, units of mhubert": 58.0,
        "length, units of hubert": 51.0,
    }
    assert {row["remark"] for row in rows.values()} == {"counts units"}


def test_models_of_units_that_know_text_have_no_row() -> None:
    summary = copy.deepcopy(SUMMARY)
    summary["benchmarks"] = [score("of_whisper"), score("of_whisper", "salmon"), *summary["benchmarks"]]
    summary["generation"].insert(0, {**summary["generation"][1], "model": "of_whisper"})
    assert leaderboard(SETTINGS, published_table(), summary, SPEECH) == leaderboard(
        SETTINGS, published_table(), SUMMARY, SPEECH
    )


def test_benchmarks_in_units_that_know_text_have_no_column() -> None:
    values = load_yaml(ROOT / "recipes/leaderboard.yaml")
    fit = {"corpora": ["salmon/test"]}
    values["encoders"]["whisper"] = {"kind": "whisper", "model": "whisper_tiny_en", "clusters": 200, "fit": fit}
    values["models"]["of_whisper"] = {"adapter": "slamkit", "weights": "slam", "encoder": "whisper"}
    values["benchmarks"]["sblimp_whisper"] = {**values["benchmarks"]["sblimp"], "encoder": "whisper"}
    jobs = LeaderboardJobs(Recipe.model_validate(values), ROOT / "workflow_scripts")
    assert jobs.models() == [name for name in values["models"] if name != "of_whisper"]
    columns = jobs.columns()
    assert "sblimp_whisper" not in columns
    assert {columns[name] for name in ("sblimp", "sblimp_hubert")} == {"sblimp"}


def test_the_protocol_says_where_recordings_are_from() -> None:
    values = load_yaml(ROOT / "recipes/leaderboard.yaml")
    stories = values["corpora"]["spoken_sstorycloze"]
    values["corpora"]["spoken_sstorycloze"] = {**stories, "path": None, "archives": ["stories.zip"]}
    jobs = LeaderboardJobs(Recipe.model_validate(values), ROOT / "workflow_scripts")
    protocol = json.loads(jobs.render_leaderboard(None))["protocol"]
    assert "sstorycloze: the published recordings, from archives." in protocol
    assert "tstorycloze: the published recordings, from a folder." in protocol
    assert "sblimp: the published recordings, speed/sBLIMP (commit not pinned)." in protocol
    assert "salmon: the published recordings, slprl/SALMon (commit 9aea707934)." in protocol


def test_items_that_are_made_here_do_not_count(board: dict[str, Any]) -> None:
    keys = [column["key"] for column in board["columns"]]
    assert "home_made" not in keys
    assert keys[3:5] == ["swuggy", "salmon"]
    assert rows_of(board)["twist_350m"]["cells"]["sblimp"]["measured"] < 99


def test_the_same_items_in_other_units_are_one_column(board: dict[str, Any]) -> None:
    cell = rows_of(board)["gslm"]["cells"]["sblimp"]
    assert (cell["published"], cell["measured"]) == (54.2, 58.0)


def test_the_page(board: dict[str, Any]) -> None:
    page = render(board)
    assert "own &lt;model&gt;" in page
    assert "own <model>" not in page
    assert "A rehearsal." not in page
    assert "The weights were never released." in page
    assert "†" in page
    assert "+1.8" in page
    assert "SALMon is solved by length" in page
    assert not re.findall(r"(?:src|href)=\"(?!https://|#)", page)
    rehearsal = SETTINGS.model_copy(update={"rehearsal": True})
    assert "A rehearsal." in render(leaderboard(rehearsal, published_table(), SUMMARY, SPEECH))


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    (tmp_path / "speech.json").write_text(json.dumps(SPEECH["twist_350m"]))
    render_leaderboard.main(
        [
            *("--settings", SETTINGS.model_dump_json(), "--summary", str(tmp_path / "summary.json")),
            *("--speech", f"twist_350m={tmp_path / 'speech.json'}"),
            *("--output", str(tmp_path / "out.json"), "--page", str(tmp_path / "out.html")),
        ]
    )
    written = json.loads((tmp_path / "out.json").read_text())
    assert rows_of(written)["twist_350m"]["protocol"].startswith("units of mhubert; nothing before")
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")


def test_how_sequences_are_scored_is_said() -> None:
    assert convention(SPEECH["own <model>"]) == "units of mhubert; BOS before the units; EOS scored behind them"
    assert convention(SPEECH["scaled_optimal"]) == "units of mhubert; BOS before the units; no EOS scored"


# The intervals of the three means


def test_intervals_are_around_the_means_they_belong_to() -> None:
    random = np.random.default_rng(0)
    items, correct = [], []
    for phenomenon, pairs, truth in (("a", 300, 0.5), ("b", 60, 0.9), ("c", 40, 0.7)):
        for pair in range(pairs):
            for voice in range(1 + pair % 3):
                items.append(Item(f"{phenomenon}{pair}.{voice}", phenomenon, f"{phenomenon}{pair}", [1], [2]))
                correct.append(float(random.random() < truth))
    values = np.array(correct)
    of = [item.phenomenon for item in items], [item.cluster for item in items], values
    means, bounds = aggregations(*of), aggregation_intervals(*of)
    assert list(bounds) == list(means)
    for name, mean in means.items():
        low, high = bounds[name]
        assert low < mean < high
        assert (low + high) / 2 == pytest.approx(mean, abs=0.01), name
    assert bounds["phenomena"][1] - bounds["phenomena"][0] > bounds["pairs"][1] - bounds["pairs"][0]
