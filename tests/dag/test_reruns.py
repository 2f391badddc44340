"""The right thing reruns, and only that. Real Snakefile, real parameters, commands that only write files."""

from __future__ import annotations

import os
import re
import shutil
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import yaml

from slamflow.report.rules import RULES

from .conftest import ROOT, Checkout

POCKET = yaml.safe_load((ROOT / "config.yaml").read_text())
PAGE = {"summarize": 1, "render_report": 1}  # what all else ends in


def trained(count: int) -> dict[str, int]:
    """The jobs that follow if the weights of `count` models of units are trained anew."""
    return {"train": count, "package_model": count}


def continued(count: int) -> dict[str, int]:
    """The jobs that follow if `count` models, or ends of the scale, continue anew."""
    return {"continue_speech": count, "score_continuations": count}


ALL_CONTINUED = continued(len(POCKET["generation"]["models"]) + 2)  # the truth and its units in disorder too


def test_nothing_is_due_after_a_run_even_in_a_moved_checkout(checkout: Checkout) -> None:
    assert checkout.due() == Counter()
    checkout.own_code()
    assert checkout.due() == Counter()


def test_a_deleted_score_reruns_one_job(checkout: Checkout) -> None:
    (checkout.work / "results/scores/pocket/cold/tstorycloze.dev.json").unlink()
    assert checkout.due() == {"score_benchmarks": 1, **PAGE}
    assert checkout.due("results/scores/pocket/cold/tstorycloze.dev.json") == {"score_benchmarks": 1}


def test_a_benchmark_of_other_models_does_not_need_another_rule_name(checkout: Checkout) -> None:
    """What is set for score_benchmarks holds for its rule of the models with other benchmarks too."""
    (checkout.work / "results/scores/pocket/warm/tstorycloze.dev.json").unlink()
    text = checkout.snakemake(
        *("results/scores/pocket/warm/tstorycloze.dev.json", "--dry-run", "--configfile", "small.yaml"),
        *("--set-resources", "score_benchmarks:mem_mb=12345"),
    ).stdout
    assert "rule score_benchmarks_of_warm:" in text
    assert "mem_mb=12345" in text


def test_one_more_benchmark_is_one_job_for_each_model(checkout: Checkout) -> None:
    again = {**POCKET["benchmarks"]["swuggy"], "seed": 5}
    checkout.edit_recipe(benchmarks={"swuggy_again": again})
    assert checkout.due() == {"build_benchmark": 2, "score_benchmarks": 2, "score_baselines": 2, **PAGE}
    checkout.run()
    assert checkout.due() == Counter()


def test_a_changed_template_renders_the_page_again(checkout: Checkout) -> None:
    checkout.edit_code("workflow_scripts/slamflow/report/page.html.j2", "Provenance</h2>", "Origin</h2>")
    assert checkout.due() == {"render_report": 1}


def test_the_drawn_workflow_is_snakemakes(checkout: Checkout) -> None:
    dot = checkout.snakemake("--configfile", "small.yaml", "--rulegraph").stdout
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+?)(?:_of_\w+)?"', dot, flags=re.MULTILINE))
    edges = {(names[a], names[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)", dot, flags=re.MULTILINE)}
    edges = {(a, b) for a, b in edges if a != b and b != "all"}
    assert ("train", "render_report") in edges
    assert edges <= {(name, other) for name, rule in RULES.items() for other in rule.read_by}


@pytest.mark.slow
def test_snakemakes_own_report_has_the_page_and_the_scores(checkout: Checkout) -> None:
    checkout.snakemake("--configfile", "small.yaml", "--report", "report.zip")
    with zipfile.ZipFile(checkout.work / "report.zip") as archive:
        kept = {Path(name).name for name in archive.namelist()}
        index = archive.read("report/report.html").decode()
    assert {"pocket.html", "pocket.json", "tstorycloze.test.json", "metrics.jsonl"} <= kept
    for text in ("Results", "Scores", "Training", "how often the right sequence of a pair is the likelier one"):
        assert text in index


def test_a_deleted_shard_of_units_is_made_again(checkout: Checkout) -> None:
    (checkout.work / "results/units/whisper/stories/train/0001-of-0004.parquet").unlink()
    assert checkout.due("units") == {"extract_units": 1}
    checkout.run("units")
    assert checkout.due() == Counter()


def test_a_changed_learning_rate_reruns_that_model_and_what_follows(checkout: Checkout) -> None:
    checkout.edit_recipe(models={"warm": {"learning_rate": 4.0e-3}})
    assert checkout.due() == {**trained(1), "score_benchmarks": 1, **PAGE}
    checkout.edit_recipe(models={"warm": {"learning_rate": 1.0e-3}, "cold": {"learning_rate": 4.0e-3}})
    assert checkout.due() == {
        **trained(2),
        "score_benchmarks": 2,
        **continued(2),
        **PAGE,
    }


def test_a_changed_dpo_learning_rate_reruns_dpo_and_what_follows(checkout: Checkout) -> None:
    checkout.edit_recipe(models={"aligned": {"learning_rate": 1.0e-6}})
    assert checkout.due() == {**trained(1), "score_benchmarks": 1, **continued(1), **PAGE}


def test_other_defaults_of_pretraining_do_not_concern_dpo(checkout: Checkout) -> None:
    checkout.edit_recipe(training={"weight_decay": 0.2})
    assert checkout.due("models") == {"train": 4, "package_model": 3}  # aligned for its parent's sake
    out = checkout.snakemake("models", "--dry-run", "--configfile", "small.yaml").stdout
    [job] = [text for text in out.split("rule train:")[1:] if "model=aligned" in text.split("rule ")[0]]
    assert "Params have changed" not in job.split("rule ")[0]


def test_a_stricter_filter_of_pairs_reruns_dpo_and_no_speech(checkout: Checkout) -> None:
    checkout.edit_recipe(preferences={"endings": {"max_auto_bleu": 0.1}})
    assert checkout.due() == {
        "build_preferences": 1,
        **trained(1),
        "score_benchmarks": 1,
        **continued(1),
        **PAGE,
    }


def test_how_a_training_is_watched_reruns_no_training(checkout: Checkout) -> None:
    checkout.edit_recipe(training={"save_every": 7, "validate_every": 7, "wandb_project": "mine"})
    assert checkout.due() == {**PAGE}


def test_a_text_models_change_reaches_the_warm_model(checkout: Checkout) -> None:
    checkout.edit_recipe(models={"story_text": {"seed": 5}})
    assert checkout.due() == {
        "train": 2,
        "package_model": 1,
        "score_benchmarks": 1,
        **PAGE,
    }


def test_another_training_of_the_vocoder_reruns_it_and_what_is_spoken(checkout: Checkout) -> None:
    checkout.edit_recipe(vocoders={"whisper": {"training": {"steps": 7}}})
    followers = {"score_vocoder": 1, "package_model": 3, **ALL_CONTINUED, **PAGE}
    assert checkout.due() == {"train_vocoder": 1, **followers}


def test_another_temperature_reruns_continuations_only(checkout: Checkout) -> None:
    checkout.edit_recipe(generation={"sampling": {"temperature": 1.0}})
    assert checkout.due() == {**ALL_CONTINUED, **PAGE}


def test_more_judged_utterances_rerun_the_vocoders_score_only(checkout: Checkout) -> None:
    checkout.edit_recipe(vocoders={"whisper": {"eval_utterances": 10}})
    assert checkout.due() == {"score_vocoder": 1, **PAGE}


def test_a_judge_is_asked_where_a_recipe_has_one_and_nothing_else_is_judged(checkout: Checkout) -> None:
    judge = {"endpoint": "http://127.0.0.1:1/v1", "model": "any"}
    checkout.edit_recipe(generation={"judge": judge})
    judged = {"judge_continuations": ALL_CONTINUED["continue_speech"]}
    # Prompt and continuation are transcribed apart too.
    assert checkout.due() == {"score_continuations": ALL_CONTINUED["score_continuations"], **judged, **PAGE}
    checkout.run("continuations")
    checkout.edit_recipe(generation={"judge": {**judge, "model": "another"}})
    assert checkout.due() == {**judged, **PAGE}


def test_a_model_that_is_not_asked_to_continue_does_not(checkout: Checkout) -> None:
    checkout.edit_recipe(generation={"models": ["cold"]})
    for model in ("cold", "aligned"):
        (checkout.work / f"results/generation/pocket/{model}/continuations.parquet").unlink()
    assert checkout.due("continuations") == continued(1)


def test_a_recipe_without_vocoder_and_continuations_has_their_jobs_not(checkout: Checkout) -> None:
    for path in ("vocoders", "generation"):
        shutil.rmtree(checkout.work / "results" / path)
    recipe = yaml.safe_load((checkout.code / "config.yaml").read_text())
    del recipe["vocoders"], recipe["generation"]
    checkout.own_code(library=False)
    (checkout.code / "config.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    assert checkout.due() == {"package_model": 3, **PAGE}  # without the vocoder in the models' folders


def test_an_edit_in_the_packing_code_reruns_packing_and_what_follows(checkout: Checkout) -> None:
    checkout.edit_code("workflow_scripts/slamflow/packing.py", "from __future__ import annotations", "EDITED = True")
    due = checkout.due()
    assert due["pack_tokens"] == 5
    assert due["train"] == 4
    assert due["score_benchmarks"] == 3
    assert due["extract_units"] == due["synthesize_stories"] == due["build_benchmark"] == 0


def test_comments_and_docstrings_rerun_nothing(checkout: Checkout) -> None:
    checkout.own_code()
    for path in checkout.code.rglob("workflow_scripts/**/*.py"):
        text = path.read_text()
        path.write_text(f"{text}\n# A comment.\n".replace('"""', '"""Also: ', 1))
    assert checkout.due() == Counter()


def test_a_recipe_that_a_yaml_tool_wrote_anew_reruns_nothing(checkout: Checkout) -> None:
    checkout.own_code(library=False)
    config = checkout.code / "config.yaml"
    written = yaml.safe_dump(yaml.safe_load(config.read_text()), sort_keys=True)
    config.write_text(
        written.replace("temperature: 0.8", "temperature: 8.0e-1").replace("warmup: 0.05", "warmup: 5.0e-2")
    )
    assert list(yaml.safe_load(written)["models"]) != list(POCKET["models"])
    assert checkout.due() == Counter()


def test_touched_files_rerun_nothing(checkout: Checkout) -> None:
    later = time.time() + 100
    for path in checkout.work.glob("results/[tauer]*/**/*"):
        if path.is_file():
            os.utime(path, (later, later))
    assert checkout.due() == Counter()


@pytest.mark.parametrize("cores", ["1", "16"])
def test_another_number_of_cores_reruns_nothing(checkout: Checkout, cores: str) -> None:
    assert checkout.due("--cores", cores) == Counter()


def test_another_micro_batch_reruns_nothing(checkout: Checkout) -> None:
    assert checkout.due("--set-resources", "train:micro_batch_tokens=1024") == Counter()


def test_other_pseudo_words_rerun_their_benchmark_alone(checkout: Checkout) -> None:
    checkout.edit_recipe(corpora={"swuggy": {"seed": 2}})
    both_parts = ("write_minimal_pairs", "synthesize_stories", "extract_units", "build_benchmark", "score_baselines")
    scored = len(POCKET["benchmarks"]["swuggy"]["models"])
    assert checkout.due() == {**dict.fromkeys(both_parts, 2), "score_benchmarks": scored, **PAGE}


def test_one_more_story_of_the_grammar_touches_one_shard(checkout: Checkout) -> None:
    checkout.edit_recipe(corpora={"stories": {"splits": {"train": {"stories": 41}}}})
    assert checkout.due("units") == {"write_stories": 1, "synthesize_stories": 1, "extract_units": 1}


@pytest.mark.slow
def test_one_more_story_in_a_file_touches_one_shard(checkout: Checkout) -> None:
    stories = checkout.work / "stories.txt"
    stories.write_text("\n<|endoftext|>\n".join(story(number) for number in range(200)))
    given = checkout.work / "codebook.npy"
    given.write_bytes(b"centroids")
    splits = {name: {"stories": None} for name in ("train", "dev", "test", "validation", "text", "preference")}
    checkout.edit_recipe(
        corpora={"stories": {"text": {"source": "file", "path": "stories.txt"}, "splits": splits}},
        encoders={"whisper": {"fit": None, "codebook": "codebook.npy"}},
    )
    checkout.run("units")
    assert checkout.due("units") == Counter()
    stories.write_text(stories.read_text() + "\n<|endoftext|>\n" + story(1000))
    assert checkout.due("units") == {"write_stories": 1, "synthesize_stories": 1, "extract_units": 1}


def story(number: int) -> str:
    return f"Tom had {number} red balls. He lost one in the park. Anna found it. Tom was happy with his {number} balls."


@pytest.mark.slow
def test_directory_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    checkout.snakemake("rows", "--directory", str(elsewhere), "--configfile", "small.yaml")
    assert (elsewhere / "results/rows/speech/train/manifest.json").is_file()


FORBIDDEN = """
import builtins, socket, sys
real = builtins.__import__
def guarded(name, *rest, **named):
    if name.split(".")[0] in ("torch", "transformers", "datasets", "deepspeed", "sklearn", "numpy") and (
        sys._getframe(1).f_globals.get("__name__", "").startswith("slamflow")
    ):
        raise ImportError("heavy import while parsing: " + name)
    return real(name, *rest, **named)
builtins.__import__ = guarded
def refused(*arguments, **named):
    raise OSError("network while parsing")
socket.socket.connect = refused
socket.getaddrinfo = refused
"""


@pytest.mark.slow
def test_parsing_imports_nothing_heavy_and_touches_no_network(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(FORBIDDEN)
    done = checkout.snakemake("--configfile", "small.yaml", "--dry-run", PYTHONPATH=str(tmp_path), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_model_of_so_many_hours_is_calibrated_once_and_never_again(checkout: Checkout) -> None:
    assert checkout.due("calibrations") == {"calibrate": 3}  # on demand: a model of so many tokens does not need it
    checkout.edit_recipe(models={"cold": {"hours": 1.0, "tokens": None}})
    due = checkout.due()
    assert (due["calibrate"], due["train"]) == (1, 2)
    checkout.run()
    assert checkout.due() == Counter()
    plan = checkout.work / "results/calibration/pocket/cold.json"
    plan.write_text("another device")
    assert checkout.due() == Counter()
    plan.unlink()
    assert checkout.due("models") == Counter()
    assert checkout.due(str(plan.relative_to(checkout.work))) == {"calibrate": 1}


def test_the_estimate_runs_nothing_else(checkout: Checkout) -> None:
    assert checkout.due("estimate") == {"estimate": 1}
