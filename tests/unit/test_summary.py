"""The summary of a small made-up run, its table, and what cannot be summarized."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import print_summary
import summarize
from slamflow import files
from slamflow.benchmarks import BENCHMARKS
from slamflow.errors import InputError
from slamflow.evaluation import scores
from slamflow.evaluation.unit_usage import usage
from slamflow.jobs.report import ReportJobs
from slamflow.recipe.loading import load_assets
from slamflow.recipe.recipe import Recipe
from slamflow.report import summary, table
from slamflow.scorers import BASELINES
from slamflow.shards.items import Item
from slamflow.shards.units import write_units
from slamflow.tokenizers import TOKENIZERS

ROOT = Path(__file__).parents[2]

RECIPE = {
    "recipe": "tiny",
    "corpora": {
        "stories": {
            "kind": "stories",
            "splits": {"train": {"stories": 8}, "dev": {"stories": 4}, "test": {"stories": 4}},
        }
    },
    "encoders": {
        "mel": {"kind": "logmel", "frame_rate_hz": 25.0, "clusters": 20, "fit": {"corpora": ["stories/train"]}},
        "published": {
            "kind": "hubert",
            "model": "hubert_base_ls960",
            "clusters": 500,
            "codebook": "asset:hubert_base_ls960/k",
        },
    },
    "datasets": {"speech": {"encoder": "mel", "context": 64, "train": ["stories/train"]}},
    "models": {
        "cold": {"init": "scratch", "architecture": {"model_type": "llama"}, "data": "speech"},
        "warm": {"init": "cold", "data": "speech"},
    },
    "benchmarks": {"cloze": {"kind": "tstorycloze", "corpus": "stories", "encoder": "mel"}},
}
ASSETS = load_assets(ROOT / "recipes/assets.yaml", {})
JOBS = ReportJobs(Recipe.model_validate(RECIPE), ASSETS, ROOT / "workflow_scripts")
BENCHMARK_HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
N = 40


class Costs:
    """A scorer for which the right sequences of the first items cost less than the wrong ones."""

    def __init__(self, right: int) -> None:
        self.right = right

    def nll(self, sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        n = len(sequences) // 2
        good = np.where(np.arange(n) < self.right, 1.0, 3.0)
        return np.concatenate([good, np.full(n, 2.0)]), np.ones(2 * n, dtype=np.int64)


def write_score(results: Path, model: str, split: str, right: int, manifest: str = "m" * 64, without: int = 0) -> None:
    """A score of N items in clusters of two, the first `right` of them right; the last `without` are left out."""
    items = [Item(f"{i:02}", None, f"{i // 2:02}", np.array([1]), np.array([2])) for i in range(N - without)]
    about = {"benchmark": "cloze", "kind": "tstorycloze", "split": split, "model": model, "manifest": manifest}
    stem = results / "scores" / "tiny" / model
    good, bad = [item.good for item in items], [item.bad for item in items]
    paths = stem / f"cloze.{split}.json", stem / f"cloze.{split}.pairs.parquet"
    scores.write_scores(items, good, bad, Costs(right), about, *paths, left_out={"too_long": without})


def write_training(results: Path, model: str, init: str) -> None:
    files.write_json(
        results / "models" / "tiny" / model / "training.json",
        {
            "model": model,
            "init": init,
            "seed": 0,
            "tokens": 1_000_000,
            "tokens_per_second": 4100.5,
            "validation_loss": {"stories/validation": 1.2345},
            "parameters": 4_700_000,
            "seconds": 243.9,
            "device": "cpu",
            "settings": {"more": "than is taken"},
        },
    )


def write_cost(results: Path, job: str, seconds: float, memory: str) -> None:
    path = results / "job_costs" / f"{job}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(BENCHMARK_HEAD + f"{seconds}\t0:00:01\t{memory}\t2\t2\t2\t0\t0\t99\t1\n")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for split in ("test", "dev"):
        for model, right in (("warm", 38), ("cold", 34), ("5gram", 30), ("length", 20)):
            write_score(folder, model, split, right)
    write_training(folder, "cold", "scratch")
    write_training(folder, "warm", "cold")
    units = folder / "units" / "mel"
    files.write_json(units / "codebook.json", {"settings": {"name": "mel"}, "clusters": 20})
    for split, seconds, count in (("train", 3000.0, 48_000), ("test", 600.0, 9_600)):
        files.write_json(
            units / "stories" / split / "0000-of-0001.json",
            {"settings": {"name": "mel"}, "seconds": seconds, "units": count, "utterances": 10, "quarantined": 1},
        )
        shard = units / "stories" / split / "0000-of-0001.parquet"
        write_units(shard, [{"id": "a", "units": [4, 7, 9, 7], "durations": [1, 2, 12, 1]}])
        # The size that the disk's sum expects.
        (units / "stories" / split / "0000-of-0001.log").write_bytes(bytes(2**20))
        write_cost(folder, f"extract_units/mel/stories/{split}/0000-of-0001", 10.5, "812.5")
    write_cost(folder, "extract_units/other/stories/train/0000-of-0001", 999, "9999")
    write_cost(folder, "train/tiny/cold", 61.25, "-")
    write_cost(folder, "train/tiny/warm", 60, "1500.25")
    write_cost(folder, "train/another/cold", 999, "9999")
    write_cost(folder, "write_stories/stories/train/0000-of-0001", 0.2, "NA")
    return folder


def run(results: Path, *further: str, order: tuple[str, ...] = ("cold", "warm", "5gram", "length")) -> dict:
    stems = [f"{results}/scores/tiny/{model}/cloze.{split}" for split in ("dev", "test") for model in order]
    flags = [
        *("--scores", *(f"{stem}.json" for stem in stems), "--pairs", *(f"{stem}.pairs.parquet" for stem in stems)),
        *("--training", *(f"{results}/models/tiny/{model}/training.json" for model in ("cold", "warm"))),
        *("--unit-manifests", *(str(path) for path in sorted(results.glob("units/mel/*/*/*.json")))),
        *("--codebooks", f"{results}/units/mel/codebook.json", "--job-costs", f"{results}/job_costs"),
        *("--output", f"{results}/summary/tiny.json", *further),
    ]
    summarize.main(["--settings", JOBS.summarize(None), *flags])
    return files.read_json(results / "summary" / "tiny.json")


def test_keys_are_those_of_the_contract(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    value = run(results)
    parts = {"units", "vocoder", "training", "benchmarks", "differences", "generation", "stages", "audit", "unscored"}
    assert set(value) == {"recipe", "provenance"} | parts
    assert sorted(value["provenance"]) == ["commit", "config_digest", "date", "device", "versions"]
    assert value["provenance"]["date"] == "1970-01-02"
    assert (value["recipe"], value["vocoder"], value["generation"]) == ("tiny", None, [])
    keys = {"model", "init", "seed", "tokens", "tokens_per_second", "validation_loss"}
    assert all(keys <= set(model) for model in value["training"])
    keys = {"benchmark", "split", "model", "n", "accuracy", "ci95", "chance", "aggregation", "manifest"}
    assert all(keys <= set(score) for score in value["benchmarks"])
    assert all({"rule", "seconds", "max_rss_mb", "disk_mb"} <= set(stage) for stage in value["stages"])


def test_units_training_and_scores(results: Path) -> None:
    distances = {"encoder": "mel", "corpus": "examples", "same_text": {"n": 1, "mean": 0.5, "ci95": None}}
    files.write_json(results / "units/mel/examples/voices.json", distances)
    value = run(results, "--voices", f"{results}/units/mel/examples/voices.json")
    assert value["units"] == {
        "encoder": "mel",
        "frame_rate_hz": 25.0,
        "vocabulary": 20,
        "tokens_per_second": 16.0,
        # In the two shards unit 7 occurs four times, 4 and 9 twice: 1.5 bits.
        "counts": [0, 0, 0, 0, 2, 0, 0, 4, 0, 2, *[0] * 10],
        "durations": [4, 2, 0, 0, 0, 0, 0, 0, 0, 2],
        "used": 3,
        "entropy_bits": 1.5,
        "bits_per_second": 24.0,
        "hours": 1.0,
        "utterances": 20,
        "quarantined": 2,
        "voices": [distances],
    }
    assert [model["model"] for model in value["training"]] == ["cold", "warm"]
    assert value["training"][1]["init"] == "cold"
    assert "settings" not in value["training"][0]
    assert len(value["benchmarks"]) == 8
    assert {score["accuracy"] for score in value["benchmarks"] if score["model"] == "cold"} == {34 / N}


def test_differences_are_paired_and_against_the_strongest_baseline(results: Path) -> None:
    value = run(results)
    named = [(gain["split"], gain["model"], gain["against"]) for gain in value["differences"]]
    for split in ("dev", "test"):
        compared = [names for which, *names in named if which == split]
        assert compared == [["cold", "5gram"], ["warm", "5gram"], ["warm", "cold"]]
    gain = next(gain for gain in value["differences"] if gain["model"] == "warm" and gain["against"] == "cold")
    assert gain["gain"] == pytest.approx(4 / N)
    assert gain["ci95"][0] < gain["gain"] < gain["ci95"][1]
    # 4 of 40 pairs differ, all one way. Unpaired, the interval would be wider.
    assert gain["ci95"][1] - gain["ci95"][0] < 0.3


def test_pairs_are_matched_by_id_and_not_by_place(results: Path) -> None:
    path = results / "scores" / "tiny" / "cold" / "cloze.test.pairs.parquet"
    before = run(results)["differences"]
    shuffled = scores.read_pairs(path).take(np.random.default_rng(0).permutation(N))
    pq.write_table(shuffled, path)
    assert run(results)["differences"] == before


def test_costs_are_those_of_this_recipe(results: Path) -> None:
    stages = {stage["rule"]: stage for stage in run(results)["stages"]}
    assert list(stages) == ["write_stories", "extract_units", "train"]
    assert stages["extract_units"] == {
        "rule": "extract_units",
        "jobs": 2,
        "seconds": 21.0,
        "max_rss_mb": 812.5,
        "disk_mb": pytest.approx(2, abs=0.01),
    }
    assert stages["train"]["seconds"] == 121.25
    assert stages["train"]["max_rss_mb"] == 1500.2
    assert stages["write_stories"]["max_rss_mb"] is None


OLD = {
    **{"n": 10, "tokens": 100, "gen_ppl": 40.0, "gen_ppl_ci95": [30.0, 50.0], "gen_ppl_with_loops": 20.0},
    **{"auto_bleu": 0.5, "auto_bleu_ci95": [0.4, 0.6], "empty_transcripts": 2, "looped_transcripts": 3},
}
PROMPTS = {"corpus": "ssc/test", "order": "name", "prompt_seconds": 3.0, "n": 10, "sha256": "ab" * 32}
NEW = {
    **{"n": 10, "tokens": 100, "gen_ppl": 62.8, "gen_ppl_ci95": [58.7, 66.9], "auto_bleu": 0.0388},
    **{"gen_ppl_without_loops": 70.0, "gen_ppl_without_loops_ci95": None, "auto_bleu_ci95": [0.03, 0.05]},
    **{"empty_transcripts": 2, "wordless_transcripts": 1, "looped_transcripts": 3, "prompts": PROMPTS},
}
GRADES = {
    "judge": {"model": "gpt"},
    "asked": 10,
    "n": 8,
    "mean": 2.09,
    "ci95": [1.5, 2.5],
    "unparsable": 1,
    "failed": 1,
}


def write_generation(folder: Path, **scores: dict) -> list[str]:
    for model, score in scores.items():
        files.write_json(folder / f"{model}.json", {"model": model, **score})
    return ["--generation", *(str(folder / f"{model}.json") for model in scores)]


def test_figures_of_continuations_and_a_judges(results: Path, tmp_path: Path) -> None:
    flags = write_generation(tmp_path, warm=NEW, truth=NEW)
    files.write_json(tmp_path / "judge.json", {"model": "warm", **GRADES, "grades": {}})
    truth, warm = run(results, *flags, "--judgements", f"{tmp_path}/judge.json")["generation"]
    assert (truth["model"], truth["judge"], truth["prompts"]["sha256"]) == ("truth", None, "ab" * 32)
    assert warm == {"model": "warm", **NEW, "judge": GRADES}
    print_summary.main([str(results / "summary" / "tiny.json")])


def test_the_table_prints_what_papers_print() -> None:
    text = table.generation([{"model": "warm", **NEW, "judge": GRADES}])
    assert re.search(r"warm +10 +62\.8 +\[58\.7, 66\.9\] +70\.0 +- +3\.88 +\[3\.00, 5\.00\] +2 +3\n", text)
    assert re.search(r"warm +gpt +8 +2\.09 +\[1\.50, 2\.50\] +1 +1\n", text)
    assert "the first 10 of ssc/test by name, 3 s, list sha256 abababababab" in text
    other = {**NEW, "prompts": {**PROMPTS, "sha256": "cd" * 32}}
    apart = table.generation([{"model": "warm", **NEW}, {"model": "cold", **other}])
    assert "did not continue the same prompts" in apart


def test_figures_of_an_earlier_version_do_not_pass_for_published_ones(results: Path, tmp_path: Path) -> None:
    """Their gen_ppl was without loops. Auto-BLEU was the mean over 8 of 10 transcripts, the others count 0 now."""
    [found] = run(results, *write_generation(tmp_path, warm=OLD))["generation"]
    assert (found["gen_ppl"], found["gen_ppl_ci95"], found["prompts"]) == (None, None, None)
    assert (found["gen_ppl_without_loops"], found["gen_ppl_without_loops_ci95"]) == (40.0, [30.0, 50.0])
    assert (found["auto_bleu"], found["auto_bleu_ci95"]) == (pytest.approx(0.4), None)
    # An old summary is printed in the same way.
    assert table.generation([{"model": "warm", **OLD}]) == table.generation([found])
    with pytest.raises(InputError, match=r"warm\.json: no 'tokens'; expected what score_continuations writes"):
        run(results, *write_generation(tmp_path, warm={"n": 3}))


def test_costs_of_every_rule_reach_the_summary(results: Path) -> None:
    jobs = {
        **{
            "fetch_asset": "hubert_base_ls960/config.json",
            "convert_encoder": "hubert_base_ls960",
            "train": "tiny/cold",
        },
        **{"convert_vocoder": "mel", "package_model": "tiny/cold", "calibrate": "tiny/cold", "pack_tokens": "speech/x"},
        **{"stream_audio": "mel/stories/train/0000-of-0001", "score_baselines": "tiny/cloze.dev"},
        **{"continue_speech": "tiny/truth", "score_vocoder": "mel", "build_benchmark": "mel/cloze/dev"},
    }
    for rule, job in jobs.items():
        write_cost(results, f"{rule}/{job}", 1, "1")
    assert jobs.keys() <= {stage["rule"] for stage in run(results)["stages"]}


def test_costs_of_assets_that_another_recipe_uses_are_not_counted(results: Path) -> None:
    write_cost(results, "fetch_asset/whisper_tiny_en/model.bin", 3, "50")
    write_cost(results, "pin_revision/owner--name", 3, "50")
    assert not {"fetch_asset", "pin_revision"} & {stage["rule"] for stage in run(results)["stages"]}


def test_sizes_of_assets_need_the_resources(results: Path, tmp_path: Path) -> None:
    write_cost(results, "fetch_asset/hubert_base_ls960/model.bin", 3, "50")
    file = tmp_path / "resources" / "assets" / "hubert_base_ls960" / "model.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(3 * 2**19))
    assert run(results)["stages"][0]["disk_mb"] is None
    stage = run(results, "--resources", f"{tmp_path}/resources")["stages"][0]
    assert (stage["rule"], stage["disk_mb"]) == ("fetch_asset", 1.5)


def test_identity_is_not_read_off_paths(results: Path, tmp_path: Path) -> None:
    expected = run(results)
    for index, path in enumerate(sorted(results.glob("units/mel/stories/*/*.json"))):
        path.rename(tmp_path / f"{index}.json")
        path.with_suffix(".parquet").rename(tmp_path / f"{index}.parquet")
    flags = ["--unit-manifests", f"{tmp_path}/0.json", f"{tmp_path}/1.json"]
    assert run(results, *flags)["units"] == expected["units"]
    files.write_json(tmp_path / "0.json", {"seconds": 1.0})
    with pytest.raises(InputError, match=r"0.json: does not say which encoder"):
        run(results, *flags)


def score_of(value: dict, model: str, split: str = "test") -> dict:
    return next(one for one in value["benchmarks"] if (one["model"], one["split"]) == (model, split))


def test_what_one_model_cannot_read_is_left_out_for_all(results: Path) -> None:
    """The last four of 40 are too long for cold, whose right ones are the first 34: warm loses two of its 38."""
    whole = run(results)
    write_score(results, "cold", "test", 34, without=4)
    value = run(results)
    found = {name: score_of(value, name) for name in ("cold", "warm", "5gram", "length")}
    assert [one["n"] for one in found.values()] == [36] * 4
    assert [one["accuracy"] for one in found.values()] == [34 / 36, 36 / 36, 30 / 36, 20 / 36]
    assert found["cold"]["left_out"] == {"too_long": 4}
    assert found["warm"]["left_out"] == found["length"]["left_out"] == {"for_other_models": 4}
    gain = next(one for one in value["differences"] if (one["split"], one["against"]) == ("test", "cold"))
    assert gain["gain"] == pytest.approx(2 / 36)
    for name in ("cold", "warm"):  # the other split is as it was
        assert score_of(value, name, "dev") == score_of(whole, name, "dev")
    # As if the pairs had never been there.
    for model, right in (("cold", 34), ("warm", 36), ("5gram", 30), ("length", 20)):
        write_score(results, model, "test", right, without=4)
    alone = run(results)
    for name, one in found.items():
        other = score_of(alone, name)
        assert {key: one[key] for key in ("n", "accuracy", "ci95")} == {
            key: other[key] for key in ("n", "accuracy", "ci95")
        }
    assert alone["differences"] == value["differences"]


def test_what_cannot_be_scored_at_all_is_said_and_stops_nothing(results: Path) -> None:
    write_score(results, "warm", "test", 0, without=N)
    write_score(results, "length", "test", 0, without=N)
    value = run(results)
    assert value["unscored"] == [
        {"benchmark": "cloze", "split": "test", "model": name, "left_out": {"too_long": N}}
        for name in ("warm", "length")
    ]
    assert score_of(value, "cold")["n"] == N
    assert [(one["model"], one["against"]) for one in value["differences"] if one["split"] == "test"] == [
        ("cold", "5gram")
    ]
    assert "cloze, test: warm has no score (too_long: 40)" in table.render(value)


@pytest.mark.parametrize(("right", "marked"), [(40, True), (34, True), (30, False), (20, False), (6, True)])
def test_a_benchmark_that_a_trivial_baseline_solves_is_marked(results: Path, right: int, marked: bool) -> None:
    """Of 40 in clusters that agree: 34 are 85 % [62, 95], and 30 are 75 % [51, 89], which may be chance."""
    write_score(results, "length", "test", right)
    write_score(results, "5gram", "test", 40)  # sees order: it is not trivial
    value = run(results)
    assert [(one["split"], one["solved_by"]) for one in value["audit"]] == [("test", "length")] * marked
    text = table.render(value)
    assert bool(re.search(r"^cloze \* +test +cold", text, re.MULTILINE)) == marked
    assert re.search(r"^cloze +dev +cold", text, re.MULTILINE)
    assert ("cloze, test: length alone has" in text) == marked
    assert ("so its opposite solves it" in text) == (right == 6)


def test_the_three_means_are_in_the_table(results: Path) -> None:
    value = run(results)
    assert "means of" not in table.render(value)
    score_of(value, "cold")["aggregations"] = {"voice_pairs": 0.811, "pairs": 0.822, "phenomena": 0.833}
    line = next(line for line in table.render(value).splitlines() if line.split()[-3:] == ["81.1", "82.2", "83.3"])
    assert line.split()[:3] == ["cloze", "test", "cold"]


def test_scores_of_different_items_are_refused(results: Path) -> None:
    write_score(results, "warm", "test", 38, manifest="other")
    with pytest.raises(InputError, match=r"cold/cloze.test.* and .*warm/cloze.test.* scores of different items"):
        run(results)


def test_pairs_in_another_order_are_refused(results: Path) -> None:
    one, other = (f"{results}/scores/tiny/{model}/cloze.dev" for model in ("cold", "warm"))
    flags = ["--scores", f"{one}.json", f"{other}.json", "--pairs", f"{other}.pairs.parquet", f"{one}.pairs.parquet"]
    with pytest.raises(InputError, match="same order"):
        summarize.main(["--settings", JOBS.summarize(None), *flags, "--output", f"{results}/out.json"])


def test_commit_says_whether_files_differ(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        named = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(named, check=True, capture_output=True, text=True).stdout.strip()

    assert summary.commit_of(tmp_path / "none") is None
    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert summary.commit_of(tmp_path) == commit
    (tmp_path / "file").write_text("two")
    assert summary.commit_of(tmp_path) == f"{commit}-dirty"


def test_table_shows_scores_with_baselines_last(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(results)
    print_summary.main([str(results / "summary" / "tiny.json")])
    text = capsys.readouterr().out
    lines = text.splitlines()
    shown = [line.split()[2] for line in lines if line.startswith("cloze") and " - " not in line]
    assert shown == ["cold", "warm", "5gram", "length"] * 2
    first = next(line for line in lines if line.startswith("cloze"))
    assert first.split()[:6] == ["cloze", "test", "cold", "40", "85.0", "[61.7,"]
    assert "stories/validation 1.234" in text or "stories/validation 1.235" in text
    assert any(line.split()[:2] == ["extract_units", "2"] for line in lines)
    assert "warm - cold" in text
    assert "+10.0" in text


def test_published_models_stand_between_those_trained_here_and_baselines(results: Path) -> None:
    value = run(results)
    value["training"] = [one for one in value["training"] if one["model"] != "cold"]
    lines = [line.split() for line in table.render(value).splitlines()]
    shown = [line[2] for line in lines if line[:2] == ["cloze", "test"] and "-" not in line]
    assert shown == ["warm", "cold", "5gram", "length"]


def test_a_phenomenon_that_a_baseline_cannot_read_is_a_dash_there(results: Path) -> None:
    value = run(results)
    every = {name: {"n": 9, "accuracy": 0.625, "ci95": [0.5, 0.7]} for name in ("music", "words")}
    for score in value["benchmarks"]:
        score["phenomena"] = every
    score_of(value, "length")["phenomena"] = {"words": every["words"]}
    rows = [line.split() for line in table.render(value).splitlines()]
    assert ["music", "9", "62.5", "62.5", "62.5", "-"] in rows
    assert ["words", "9", "62.5", "62.5", "62.5", "62.5"] in rows


def test_what_kinds_say_on_the_page_is_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are settings classes, which are in no digest of code."""
    words = JOBS.page_words()
    assert JOBS.page_words() == words
    for kind, key, value in (
        (BENCHMARKS.settings("tstorycloze"), "question", "Another?"),
        (TOKENIZERS.settings("logmel"), "about", "Other words."),
        (TOKENIZERS.settings("logmel"), "is_comparable", True),
        (BASELINES.settings("length"), "about", "other words"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(kind, key, value)
            assert JOBS.page_words() != words, key


def test_columns_are_aligned() -> None:
    lines = table.table("Title", ["name", "n"], [["a", "1"], ["longer", "1,234"]]).splitlines()
    assert lines[1:] == ["name        n", "------  -----", "a           1", "longer  1,234", ""]
    assert table.table("Title", ["name"], []) == ""


def test_durations() -> None:
    assert [table.duration(seconds) for seconds in (3.14, 12, 185, 7385)] == ["3.1 s", "12 s", "3:05 min", "2:03:05 h"]


def test_summary_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run the workflow first"):
        print_summary.main([str(tmp_path / "none.json")])


def test_usage_of_units() -> None:
    table = pa.table({"units": [[0, 1, 0], [3]], "durations": [[1, 2, 40], [10]]})
    found = usage(table.to_batches(max_chunksize=1), 5)
    assert found.units.tolist() == [2, 1, 0, 1, 0]
    assert found.durations.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.entropy == pytest.approx(1.5)
