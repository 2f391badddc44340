"""The page of a small made-up run: what it shows, what it escapes, that it needs nothing else."""

from __future__ import annotations

import base64
import copy
import html
import io
import json
import re
import zlib
from collections.abc import Iterable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

import render_report
from slamflow import files
from slamflow.benchmarks import BENCHMARKS
from slamflow.errors import InputError
from slamflow.recipe.loading import load_assets
from slamflow.recipe.recipe import Recipe
from slamflow.recipe.report import UsedAsset, asset_uses
from slamflow.report import charts, licences, sound, stages
from slamflow.report.rules import RULES
from slamflow.scorers import BASELINES
from slamflow.shards.continuations import write_continuations
from slamflow.shards.speech import encode_flac
from slamflow.tokenizers import TOKENIZERS

EVIL = "<script>alert('x')</script>\"'&"
RATE = 16_000
SPLITS = {name: {"stories": 4} for name in ("train", "dev", "test", "preference")}
RECIPE = {
    "recipe": "tiny",
    "corpora": {
        "stories": {"kind": "stories", "splits": SPLITS},
        "others": {"kind": "stories", "speech": {"voices": {"small": 1.2}}, "splits": SPLITS},
    },
    "encoders": {"w": {"kind": "whisper", "model": "whisper", "clusters": 8, "fit": {"corpora": ["stories/train"]}}},
    "datasets": {"speech": {"encoder": "w", "context": 64, "train": ["stories/train"]}},
    "preferences": {"endings": {"corpus": "stories", "encoder": "w"}},
    "models": {
        "cold": {"init": "scratch", "architecture": {"model_type": "llama"}, "data": "speech"},
        "warm": {"init": "cold", "data": "speech"},
        "tuned": {"objective": "dpo", "init": "cold", "pairs": "endings"},
    },
    "benchmarks": {
        "cloze": {"kind": "tstorycloze", "corpus": "stories", "encoder": "w"},
        "cloze_others": {"kind": "tstorycloze", "corpus": "others", "encoder": "w"},
    },
}
ACCURACY = {"cold": 0.8125, "tuned": 0.9375, "5gram": 0.53125}


def score(benchmark: str, split: str, model: str) -> dict:
    value = ACCURACY[model] - (0.25 if split == "dev" else 0) - (0.0625 if benchmark == "cloze_others" else 0)
    ci95 = [value - 0.03, value + 0.03]
    return {
        **{"benchmark": benchmark, "split": split, "model": model, "n": 400, "accuracy": value, "ci95": ci95},
        **{"chance": 0.5, "aggregation": "mean", "manifest": "m" * 64, "left_out": {"too_long": 3}},
        "aggregations": {"voice_pairs": 0.811, "pairs": 0.822, "phenomena": 0.833},
        "phenomena": {EVIL: {"n": 7, "accuracy": 0.71, "ci95": [0.6, 0.8]}} if benchmark == "cloze" else {},
    }


JUDGED = {
    "judge": {"endpoint": "http://127.0.0.1:8000/v1", "model": f"judge {EVIL}", "temperature": None},
    **{"asked": 100, "n": 97, "mean": 2.691, "ci95": [2.5, 2.875], "unparsable": 2, "failed": 1},
}
SUMMARY = {
    "recipe": "tiny",
    "provenance": {
        "commit": "c0ffee" + EVIL,
        "config_digest": "d" * 64,
        "date": "2026-01-02",
        "device": EVIL,
        "versions": {"torch": EVIL},
    },
    "units": {
        "encoder": "w",
        "frame_rate_hz": 25.0,
        "vocabulary": 8,
        "tokens_per_second": 17.25,
        "hours": 1.5,
        "utterances": 1234,
        "quarantined": 5,
        "counts": [1, 5, 5, 1, 1, 2, 2, 0],
        "durations": [8, 4, 0, 0, 0, 0, 0, 0, 0, 4],
        "used": 7,
        "entropy_bits": 2.5,
        "bits_per_second": 43.1,
        "voices": [
            {
                **{"encoder": "w", "corpus": EVIL, "speakers": 28, "shared_texts": 2},
                "same_text": {"n": 756, "mean": 0.4625, "ci95": [0.41, 0.52]},
                "different_text": {"n": 0, "mean": None, "ci95": None},
            }
        ],
    },
    "vocoder": {
        "encoder": "w",
        "n": 40,
        "wer_original": 0.021,
        "wer_resynthesis": 0.078,
        "wer_gap_ci95": [0.031, 0.092],
        "per_original": 0.112,
        "per_resynthesis": 0.171,
        "per_gap_ci95": [0.04, 0.08],
        "phone_purity": {"frames": 12_345, "phone_purity": 0.512, "cluster_purity": 0.123, "pnmi": 0.456},
        "dnsmos": {
            scale: {"original": 3.5, "resynthesis": 3.25, "gap_ci95": [-0.31, -0.19]}
            for scale in ("signal", "background", "overall")
        },
        "voices": {},
    },
    "training": [
        {
            "model": model,
            "init": EVIL,
            "seed": 3,
            "tokens": 654_321,
            "tokens_per_second": 4100.7,
            "validation_loss": {},
            "parameters": 2_345_678,
            "seconds": 185.0,
            "mfu": None,
            "device": EVIL,
        }
        for model in ("cold", "warm", "tuned")
    ],
    "benchmarks": [
        score(benchmark, split, model)
        for benchmark in ("cloze", "cloze_others")
        for split in ("dev", "test")
        for model in ACCURACY
    ],
    "unscored": [],
    "audit": [
        {"benchmark": "cloze", "split": "test", "solved_by": "length", "accuracy": 0.6875, "ci95": [0.642, 0.731]},
        {"benchmark": "cloze", "split": "test", "solved_by": "unigram", "accuracy": 0.3125, "ci95": [0.27, 0.358]},
    ],
    "differences": [
        {
            "benchmark": "cloze",
            "split": "test",
            "model": "tuned",
            "against": "cold",
            "gain": 0.125,
            "ci95": [0.09, 0.16],
        }
    ],
    "generation": [
        {
            "model": model,
            "n": 100,
            "tokens": 3000,
            "gen_ppl": ppl,
            "gen_ppl_ci95": None if ppl is None else [0.9 * ppl, 1.1 * ppl],
            "gen_ppl_without_loops": None if ppl is None else ppl + 10,
            "gen_ppl_without_loops_ci95": None if ppl is None else [ppl + 5, ppl + 15],
            "auto_bleu": 0.0 if ppl is None else 0.0625,
            "auto_bleu_ci95": [0.0, 0.0] if ppl is None else [0.05, 0.07],
            "empty_transcripts": 100 if ppl is None else 3,
            "wordless_transcripts": 0,
            "looped_transcripts": 0 if ppl is None else 2,
            "prompts": {"corpus": EVIL, "order": "name", "prompt_seconds": 3.0, "n": 100, "sha256": "ab" * 32},
            "judge": None if ppl is None else JUDGED,
        }
        for model, ppl in (("truth", 21.25), ("cold", 33.75), ("tuned", 29.5), ("shuffled", None))
    ],
    "stages": [
        {"rule": "train", "jobs": 2, "seconds": 370.0, "max_rss_mb": 1319.1, "disk_mb": 26.9},
        {"rule": EVIL, "jobs": 1, "seconds": 2.0, "max_rss_mb": None, "disk_mb": None},
    ],
}
ASSETS = {"whisper": {"licence": EVIL, "citation": f"Radford {EVIL}", "keys": ["encoders.w.model"]}}


def tone(seconds: float, hertz: float) -> bytes:
    return encode_flac(0.3 * np.sin(2 * np.pi * hertz / RATE * np.arange(round(seconds * RATE))).astype("f4"), RATE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a run: results/ as the workflow lays it out, and the flags that name them."""
    root = tmp_path_factory.mktemp("run")
    files.write_json(root / "summary.json", SUMMARY)
    for model, tokens in (("cold", (100, 200, 300)), ("warm", (100, 200))):
        lines = [{"step": t, "tokens": t, "loss": 2.0, "validation_loss": {"stories/dev": 90 / t}} for t in tokens]
        files.write_jsonl(root / "models" / model / "metrics.jsonl", lines)
    steps = [{"step": step, "tokens": step, "accuracy": 0.5, "margin": 0.1} for step in range(1, 31)]
    files.write_jsonl(root / "models" / "tuned" / "metrics.jsonl", steps)
    said = {"transcript_original": EVIL, "transcript_resynthesis": EVIL}
    sounds = {"original": tone(1.5, 300), "resynthesis": tone(1.25, 310)}
    (root / "vocoders" / "w").mkdir(parents=True)
    example = {"id": EVIL, "speaker": EVIL, "text": EVIL, **said, **sounds}
    pq.write_table(pa.Table.from_pylist([example] * 2), root / "vocoders" / "w" / "examples.parquet")
    for model, seconds in (("truth", 5.0), ("cold", 4.0), ("warm", 4.5), ("tuned", 3.0), ("shuffled", 4.25)):
        folder = root / "generation" / model
        take = {"id": EVIL, "text": EVIL, "ended": False, "prompt_seconds": 3.0, "audio": tone(seconds, 200)}
        take |= {"prompt": [1, 2], "continuation": [3], "seconds": seconds}
        write_continuations(folder / "continuations.parquet", model, [take, {**take, "id": f"only {model}"}])
        transcript = "" if model == "shuffled" else f"{model} {EVIL}"
        files.write_jsonl(folder / "transcripts.jsonl", [{"id": EVIL, "transcript": transcript}])
    return root


def named(paths: Iterable[Path]) -> list[str]:
    """NAME=PATH for each path, the name being that of its folder."""
    return [f"{path.parent.name}={path}" for path in sorted(paths)]


def render(root: Path, out: Path, *parts: str, summary: dict | None = None, recipe: dict = RECIPE) -> str:
    """The page with these of its parts."""
    found = {
        "metrics": named(root.glob("models/*/metrics.jsonl")),
        "vocoder-examples": named(root.glob("vocoders/*/examples.parquet")),
        "continuations": sorted(root.glob("generation/*/continuations.parquet")),
        "transcripts": named(root.glob("generation/*/transcripts.jsonl")),
    }
    path = root / "summary.json"
    if summary is not None:
        path = out / "summary.json"
        files.write_json(path, summary)
    flags = [argument for part in parts or found for argument in (f"--{part}", *map(str, found[part]))]
    settings = json.dumps({"recipe": recipe, "assets": ASSETS})
    render_report.main(["--settings", settings, "--summary", str(path), *flags, "--output", str(out / "page.html")])
    return (out / "page.html").read_text()


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(run, tmp_path_factory.mktemp("page"))


class Reader(HTMLParser):
    """Collects the tags, the attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_nothing_from_data_becomes_markup(page: str) -> None:
    reader = Reader(page)
    names = {name for name, _ in reader.tags}
    assert "script" not in names
    assert not [key for _, attributes in reader.tags for key in attributes if key.startswith("on")]
    assert "<script" not in page.lower()
    # Each place that shows data shows all of it: phenomenon, commit, device, asset, story, transcripts, rule and so on.
    assert "".join(reader.text).count(EVIL) > 20
    assert not reader.open


@pytest.mark.parametrize("where", ["recipe", "model", "benchmark", "encoder"])
def test_names_in_the_summary_are_escaped(run: Path, tmp_path: Path, where: str) -> None:
    summary = copy.deepcopy(SUMMARY)
    if where == "recipe":
        summary["recipe"] = EVIL
    elif where == "model":
        summary["training"][0]["model"] = summary["generation"][0]["model"] = EVIL
        summary["differences"][0]["model"] = EVIL
    elif where == "benchmark":
        summary["differences"][0]["benchmark"] = EVIL
    else:
        summary["units"]["encoder"] = EVIL
    text = render(run, tmp_path, summary=summary)
    assert "<script" not in text.lower()
    assert EVIL in "".join(Reader(text).text)


def test_page_needs_nothing_else(page: str) -> None:
    for name, attributes in Reader(page).tags:
        assert name not in ("link", "iframe", "object", "embed", "base")
        for key in ("src", "srcset", "data", "poster", "background"):
            assert (attributes.get(key) or "data:").startswith("data:")
        if name != "a":
            assert not attributes.get("href")
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page


def test_players_play(page: str) -> None:
    sources = [attributes["src"] or "" for name, attributes in Reader(page).tags if name == "audio"]
    lengths = []
    for source in sources:
        kind, data = source.split(",", 1)
        assert kind == "data:audio/mpeg;base64"
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == RATE
        assert np.sqrt((wave**2).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=0.15)
        lengths.append(len(wave) / RATE)
    # The prompt; the rest of truth, cold, tuned and shuffled (warm has no part in preferences); original, resynthesis.
    assert lengths == pytest.approx([3.0, 2.0, 1.0, 1.25, 1.5, 1.25, 1.5, 1.25], abs=0.08)
    # The tuned model said nothing.
    assert ">nothing<" in page


def test_silent_takes_and_transcripts_are_said(page: str) -> None:
    text = "".join(Reader(page).text)
    assert "No words recognized." in text
    assert f"cold {EVIL}" in text
    assert f"warm {EVIL}" not in text
    assert "only truth" not in text


def cells(page: str) -> list[list[str]]:
    """The text of each table row."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, flags=re.DOTALL)
    clean = [re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL) for row in rows]
    return [[html.unescape(" ".join(re.sub(r"<[^>]+>", " ", cell).split())) for cell in row] for row in clean]


def test_numbers_are_those_of_the_summary(page: str) -> None:
    rows = cells(page)
    row = next(row for row in rows if row and row[0] == "cold")
    assert row[1:3] == ["81.2 %", "[78.2, 84.2]"]
    assert row[5:7] == ["75.0 %", "[72.0, 78.0]"]
    assert [row[4], row[8]] == ["400 3 left out", "400 3 left out"]
    row = next(row for row in rows if row and row[0].startswith("tuned – cold"))
    assert row[1].split() == ["+12.5", "[+9.0,", "+16.0]"]
    row = next(row for row in rows if row and row[0].startswith("truth"))
    assert row[1:4] == ["100", "21.2", "[19.1, 23.4]"]
    assert row[5:] == ["31.2", "[26.2, 36.2]", "6.25", "[5.00, 7.00]", "3", "2"]
    row = next(row for row in rows if row and row[0].startswith("shuffled"))
    assert row[1:] == ["100", "–", "", "", "–", "", "0.00", "[0.00, 0.00]", "100", "0"]
    assert ["cold", f"judge {EVIL}", "97", "2.69", "[2.50, 2.88]", "2", "1"] in rows
    row = next(row for row in rows if row and row[0].startswith("words"))
    assert row[1:] == ["2.1 %", "7.8 %", "+5.7", "[+3.1, +9.2]"]
    row = next(row for row in rows if row[:2] == ["cold", EVIL])
    assert row[2:] == ["2.3 M", "654,321", "3:05 min", "4,101", "3"]
    assert [EVIL, "w", "28", "2", "46.2 %", "[41.0, 52.0]", "–", ""] in rows
    text = "".join(Reader(page).text)
    assert all(shown in text for shown in ("17.2", "1.50 h", "1,234 utterances, 5 set aside", "6:10 min", "1,319 MiB"))


def test_the_share_of_a_devices_peak_is_shown_where_it_is_known(run: Path, tmp_path: Path, page: str) -> None:
    assert "MFU" not in page
    first, *others = SUMMARY["training"]
    shown = render(run, tmp_path, summary={**SUMMARY, "training": [{**first, "mfu": 0.4321}, *others]})
    rows = {row[0]: row for row in cells(shown) if row[1:2] == [EVIL] and len(row) == 8}
    assert [rows[name][6] for name in ("cold", "warm")] == ["43.2 %", ""]


def test_test_comes_before_dev_and_both_are_named(page: str) -> None:
    test, dev = page.index("cloze, test</h3>"), page.index("cloze, dev</h3>")
    assert test < page.index("<details><summary>Results on dev") < dev
    rows = [row for row in cells(page) if row and row[0] == "tuned" and "%" in row[1]]
    assert [row[1] for row in rows if len(row) > 4] == ["93.8 %", "68.8 %"]


def test_baselines_are_marked_and_voices_named(page: str) -> None:
    assert re.search(r'<tr class="baseline"><td>5gram', page)
    assert not re.search(r'<tr class="baseline"><td>cold', page)
    assert page.count("voices not trained on") == page.count("voices of the training") == 2


def test_a_benchmark_that_a_trivial_baseline_solves_is_marked(page: str) -> None:
    test, dev = page.split("Results on dev")
    assert test.count("cloze *<br>") == 1
    assert "cloze_others *" not in page
    assert "cloze *" not in dev
    assert re.search(r"<b>\* cloze:</b> length alone has 68\.8 % \[64\.2, 73\.1\]\. What a model gets right", page)
    assert re.search(r"<b>\* cloze:</b> unigram alone has 31\.2 % \[27\.0, 35\.8\], so its opposite solves it\.", page)


def test_what_was_left_out_and_the_three_means_are_shown(page: str) -> None:
    assert '400<small title="too_long: 3">3 left out</small>' in page
    row = re.search(r"<tr><td>cold</td>((?:<td class=\"n\">[\d.]+ %</td>){3})</tr>", page)
    assert row
    assert re.findall(r"[\d.]+ %", row[1]) == ["81.1 %", "82.2 %", "83.3 %"]
    assert "pairs in each voice" in page


def test_a_benchmark_without_dev_has_no_column_there(run: Path, tmp_path: Path) -> None:
    scores = [one for one in SUMMARY["benchmarks"] if (one["benchmark"], one["split"]) != ("cloze_others", "dev")]
    page = render(run, tmp_path, summary={**SUMMARY, "benchmarks": scores})
    assert page.count("voices not trained on") == 1
    assert page.count("voices of the training") == 2


def test_text_supervision_is_stated(run: Path, tmp_path: Path, page: str) -> None:
    assert "Not comparable with published tables" in page
    assert "supervised by text" in page
    assert "evaluates its own units" in page
    assert "2.5 bits each, 43 bits a second" in page
    assert "7 in use" in page
    recipe = copy.deepcopy(RECIPE)
    recipe["encoders"]["w"] = {"kind": "hubert", "model": "m", "clusters": 8, "fit": {"corpora": ["stories/train"]}}
    assert "supervised by text" not in render(run, tmp_path, recipe=recipe)


def test_the_order_of_the_prompts_is_said(run: Path, tmp_path: Path, page: str) -> None:
    assert "the first prompts in the order of a hash of their ids, not hand-picked" in page
    vocoders = {"w": {"corpora": ["stories/train"], "held_out": ["stories/test"]}}
    generation = {"corpus": "stories", "encoder": "w", "sampling": {"order": "name"}}
    named = render(run, tmp_path, recipe={**RECIPE, "vocoders": vocoders, "generation": generation})
    assert "the first prompts by name, not hand-picked" in named


def test_losses_are_compared_at_equal_tokens(page: str) -> None:
    assert "loss at 200 tokens" in page
    assert ["cold", "0.450", "0.300", "300"] in cells(page)
    assert ["warm", "0.450", "0.450", "200"] in cells(page)


def test_parts_that_are_missing_are_left_out(run: Path, tmp_path: Path) -> None:
    bare = {**SUMMARY, "units": None, "vocoder": None, "training": [], "benchmarks": [], "differences": []}
    bare = {**bare, "audit": [], "generation": [], "stages": []}
    recipe = {key: value for key, value in RECIPE.items() if key != "benchmarks"}
    page = render(run, tmp_path, "transcripts", summary=bare, recipe=recipe)
    reader = Reader(page)
    assert not reader.open
    assert "audio" not in {name for name, _ in reader.tags}
    anchors = {attributes["href"] for name, attributes in reader.tags if name == "a"}
    assert anchors == {"#workflow", "#licences", "#provenance"}


@pytest.mark.parametrize("part", ["metrics", "vocoder-examples", "continuations"])
def test_each_part_stands_alone(run: Path, tmp_path: Path, part: str) -> None:
    page = render(run, tmp_path, part)
    found = {attributes["href"] for name, attributes in Reader(page).tags if name == "a"}
    here = {attributes.get("id") for _, attributes in Reader(page).tags}
    assert {anchor.removeprefix("#") for anchor in found if anchor} <= here
    assert ("audio" in {name for name, _ in Reader(page).tags}) == (part in ("vocoder-examples", "continuations"))


def test_page_is_the_same_each_time(run: Path, tmp_path: Path, page: str) -> None:
    assert render(run, tmp_path) == page


def test_damaged_file_is_named(run: Path, tmp_path: Path) -> None:
    bad = tmp_path / "truth" / "continuations.parquet"
    bad.parent.mkdir()
    bad.write_bytes(b"no parquet")
    settings = json.dumps({"recipe": RECIPE})
    flags = ["--summary", str(run / "summary.json"), "--continuations", str(bad), "--output", str(tmp_path / "x.html")]
    with pytest.raises(InputError, match=r"truth/continuations.parquet: cannot be read"):
        render_report.main(["--settings", settings, *flags])


def test_every_kind_has_its_sentence() -> None:
    said = [BENCHMARKS.settings(name).question for name in BENCHMARKS.names()]
    said += [BASELINES.settings(name).about for name in BASELINES.names()]
    said += [TOKENIZERS.settings(name).about for name in TOKENIZERS.names()]
    assert all(len(text) > 10 for text in said)


# Parts


def test_picture_of_a_spectrum_is_a_png() -> None:
    wave = 0.5 * np.sin(2 * np.pi * 440 / RATE * np.arange(RATE)).astype("f4")
    picture = sound.mel_picture(wave)
    assert picture is not None
    data = base64.b64decode(picture.split(",")[1])
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    assert (width, height) == (100, 160)
    start = data.index(b"IDAT") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big")
    pixels = np.frombuffer(zlib.decompress(data[start : start + length]), np.uint8).reshape(height, 1 + 3 * width)
    brightness = pixels[:, 1:].reshape(height, width, 3).sum(2).mean(1)
    # A low tone is a bright line in the lower third.
    assert brightness.argmax() > 2 / 3 * height
    assert sound.mel_picture(wave[:100]) is None


def test_ticks_are_round_and_inside() -> None:
    assert charts.ticks(0, 4.5e6) == [0, 1e6, 2e6, 3e6, 4e6]
    assert charts.ticks(0.58, 1.31) == pytest.approx([0.6, 0.8, 1.0, 1.2])
    for low, high in ((0, 1), (-3, 7), (0.001, 0.0021), (5, 5)):
        assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in charts.ticks(low, high))
        assert len(charts.ticks(low, high)) <= 11


def test_curve_goes_where_the_numbers_are() -> None:
    svg = str(charts.line_chart([charts.Line("a", [(0, 1.0), (10, 2.0), (20, 1.0)], 0)], "l", "x", "y"))
    points = [tuple(map(float, point.split(","))) for point in re.findall(r'points="([^"]+)"', svg)[0].split()]
    assert points[0][0] < points[1][0] < points[2][0]
    assert points[1][1] < points[0][1] == points[2][1]
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0])


def test_labels_do_not_cover_each_other() -> None:
    moved = charts.spread([(0, 50), (0, 50), (0, 52), (0, 98)], 15, 100)
    heights = sorted(y for _, y in moved)
    assert min(b - a for a, b in pairwise(heights)) >= 15
    assert heights[-1] <= 100


def test_edges_leave_out_what_a_longer_way_says() -> None:
    edges = stages.needed_edges(["synthesize_stories", "fit_units", "extract_units", "pack_tokens", "train"])
    assert ("synthesize_stories", "fit_units") in edges
    assert ("synthesize_stories", "extract_units") not in edges
    assert ("extract_units", "pack_tokens") in edges


def test_every_rule_is_above_those_that_read_it() -> None:
    names = list(RULES)
    edges = stages.needed_edges(names)
    rows, ways = stages.layers(names, edges)
    level = {name: index for index, row in enumerate(rows) for name in row}
    assert set(names) <= set(level)
    assert [(way[0], way[-1]) for way in ways] == edges
    for way in ways:
        # One step at a time, in lanes of its own between the two.
        assert [level[name] - level[way[0]] for name in way] == list(range(len(way)))
        assert not set(way[1:-1]) & set(names)


def test_uses_of_assets_are_found() -> None:
    recipe = Recipe.model_validate(
        {**RECIPE, "models": {**RECIPE["models"], "cold": {**RECIPE["models"]["warm"], "init": "smol"}}}
    )
    found = asset_uses(recipe, ["whisper", "smol", "unused", "tiny"])
    assert found == {"whisper": ["encoders.w.model"], "smol": ["models.cold.init"]}
    recipe = copy.deepcopy(RECIPE)
    recipe["encoders"]["w"].pop("fit")
    recipe["encoders"]["w"]["codebook"] = "asset:km/km.bin"
    assert asset_uses(Recipe.model_validate(recipe), ["km"]) == {"km": ["encoders.w.codebook"]}


def test_a_part_of_the_recipe_that_is_called_as_an_asset_does_not_use_it() -> None:
    dpo = {"objective": "dpo", "init": "cold", "pairs": "endings", "wandb_project": "tiny"}
    recipe = Recipe.model_validate(
        {
            **RECIPE,
            "models": {**RECIPE["models"], "tuned": dpo},
            "benchmarks": {"cloze": {**RECIPE["benchmarks"]["cloze"], "models": ["cold", "warm"]}},
            "evaluation": {"voices": ["others"]},
        }
    )
    parts = ["stories", "others", "w", "speech", "endings", "cold", "warm", "tuned", "cloze", "tiny"]
    assert asset_uses(recipe, parts) == {}
    named = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"text_model": "cold"})})
    assert asset_uses(named, parts) == {"cold": ["evaluation.text_model"]}


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("Apache-2.0", "may be shared, changed and used in products"),
        ("CC-BY-4.0", "Attribution is required for voice (CC-BY-4.0)"),
        ("CC-BY-NC-4.0", "Restricted: voice (CC-BY-NC-4.0)"),
        ("CC-BY-SA-4.0", "Restricted: "),
        ("of my own", "Read the terms of voice (of my own)"),
    ],
)
def test_what_follows_from_licences(licence: str, said: str) -> None:
    asset = UsedAsset(licence=licence, citation="c", keys=["corpora.a.speech.model"])
    keys = ["vocoders.w.recognizer", "vocoders.w.dnsmos", "generation.text_model"]
    other = UsedAsset(licence="CC-BY-NC-4.0", citation="c", keys=keys)
    speech = {"engine": "kokoro", "voices": ["a"], "model": "voice"}
    corpora = {name: {**RECIPE["corpora"][name], "speech": speech} for name in RECIPE["corpora"]}
    recipe = Recipe.model_validate({**RECIPE, "corpora": corpora})
    used = licences.sources(recipe, {"voice": asset, "evaluator": other}, is_vocoder_scored=False)
    lines = " ".join(licences.consequences(used))
    assert said in lines
    assert "evaluator" not in lines


def test_programs_are_those_of_the_engines_in_use() -> None:
    used = licences.sources(Recipe.model_validate(RECIPE), {}, is_vocoder_scored=True)
    assert [source.name for source in used] == ["hibari-tts", "hama"]
    piper = {"engine": "piper", "voices": ["a"], "model": "voice"}
    corpora = {**RECIPE["corpora"], "others": {**RECIPE["corpora"]["others"], "speech": piper}}
    recipe = Recipe.model_validate({**RECIPE, "corpora": corpora})
    used = licences.sources(recipe, {}, is_vocoder_scored=False)
    assert [(source.name, source.in_model) for source in used] == [("hibari-tts", True), ("piper-tts", False)]


def test_shipped_assets_have_known_licences() -> None:
    root = Path(__file__).parents[2]
    for name, asset in load_assets(root / "recipes/assets.yaml", {}).items():
        source = licences.Source(name, asset.licence, asset.citation, "", True)
        told = any("Read the terms" in line for line in licences.consequences([source]))
        assert told == asset.licence.startswith("not stated"), name
