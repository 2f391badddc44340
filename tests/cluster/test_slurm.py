"""What the workflow asks of a SLURM cluster, through the real plugin. No machine of the tests has a GPU."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from ..dag.conftest import ROOT, SMALL
from .conftest import Cluster, Submission, new_cluster

GPU_RULES = {
    "calibrate",
    "train",
    "fit_units",
    "extract_units",
    "score_benchmarks",
    "continue_speech",
    "score_continuations",
}

pytestmark = pytest.mark.slow


@pytest.fixture
def submissions(done: tuple[Cluster, list[Submission]]) -> list[Submission]:
    return done[1]


def of(submissions: list[Submission], rule: str) -> list[Submission]:
    """The submissions with jobs of a rule."""
    return [submission for submission in submissions if rule in submission.rules]


def test_the_whole_recipe_is_submitted(submissions: list[Submission]) -> None:
    submitted = Counter(rule for submission in submissions for rule in submission.rules)
    for rule in ("convert_asset", "fit_units", "pack_tokens", "train", "score_benchmarks", "summarize"):
        assert submitted[rule] >= 1, rule
    # Downloads stay where there is a network.
    assert submitted["fetch_asset"] == 0


def test_each_shard_is_a_job(submissions: list[Submission]) -> None:
    train = [job for submission in submissions for job in submission.jobs if "corpus=stories,split=train" in job]
    assert Counter(job.split(":")[0] for job in train) == {
        "write_stories": 4,
        "synthesize_stories": 4,
        "extract_units": 4,
    }
    for submission in of(submissions, "extract_units"):
        assert len(submission.jobs) == 1


def test_writing_and_speaking_a_shard_are_one_submission(submissions: list[Submission]) -> None:
    for submission in of(submissions, "synthesize_stories"):
        assert submission.rules in (
            ["synthesize_stories", writer] for writer in ("write_stories", "write_minimal_pairs")
        )
        assert submission.value("--mem") == "2000"
        assert submission.value("-t") == "300"


def asks_for_a_gpu(submission: Submission) -> bool:
    """Whether one of its jobs computes with a model; models with other benchmarks have a rule score_benchmarks_of_X."""
    return bool(GPU_RULES & {rule.partition("_of_")[0] for rule in submission.rules})


def test_only_what_computes_with_models_asks_for_a_gpu(submissions: list[Submission]) -> None:
    for submission in submissions:
        wanted = "1" if asks_for_a_gpu(submission) else None
        assert submission.value("--gpus") == wanted, submission.rules
        assert submission.value("--gres") is None
    assert of(submissions, "train")
    assert of(submissions, "extract_units")


def test_models_that_a_core_is_enough_for_ask_for_no_gpu(tmp_path: Path) -> None:
    cluster = new_cluster(tmp_path)
    (cluster.checkout.work / "small.yaml").write_text(yaml.safe_dump({**SMALL, "compute": "core"}))
    submissions = cluster.submit_all("results/units/whisper/codebook.json")
    assert of(submissions, "fit_units")
    assert all(submission.value("--gpus") is None for submission in submissions)


def test_partition_and_account(submissions: list[Submission]) -> None:
    for submission in submissions:
        assert submission.value("-A") == "lab"
        assert submission.value("-p") == ("gpu" if asks_for_a_gpu(submission) else "cpu")


def test_memory_time_cpus_and_log(submissions: list[Submission]) -> None:
    for submission in submissions:
        assert submission.value("--mem")
        assert submission.value("-t")
    cold = next(submission for submission in of(submissions, "train") if "model=cold" in submission.jobs[0])
    assert cold.value("--mem") == "64000"
    assert cold.value("-t") == "2880"
    assert cold.value("--cpus-per-task") == "8"
    assert cold.value("--comment") == "rule_train_wildcards_pocket_cold"
    assert str(cold.value("--output")).endswith(".snakemake/slurm_logs/rule_train/pocket_cold/%j.log")
    [summary] = of(submissions, "summarize")
    assert (summary.value("--mem"), summary.value("-t"), summary.value("--cpus-per-task")) == ("2000", "60", "1")


def test_a_job_runs_and_nothing_is_due_then(cluster: Cluster) -> None:
    score = cluster.checkout.work / "results/scores/pocket/cold/tstorycloze.dev.json"
    score.unlink()
    cluster.snakemake(str(score.relative_to(cluster.checkout.work)))
    assert [submission.rules for submission in cluster.submissions()] == [["score_benchmarks"]]
    assert score.read_text().startswith("score_benchmarks --output")
    [step] = [json.loads(line) for line in (cluster.records / "srun").read_text().splitlines()]
    assert "--gpus=1" in step
    # A run on the cluster can be looked at, and carried on, from anywhere else.
    assert set(cluster.checkout.due()) == {"summarize", "render_report"}


def test_a_cluster_without_gpus(tmp_path: Path) -> None:
    cluster = new_cluster(tmp_path)
    submissions = cluster.submit_all("results/units/whisper/codebook.json", "--resources", "gpu=0")
    assert of(submissions, "fit_units")
    assert all(submission.value("--gpus") is None for submission in submissions)


def test_a_failed_job_is_tried_again_and_names_its_log(cluster: Cluster) -> None:
    score = "results/scores/pocket/cold/tstorycloze.dev.json"
    (cluster.checkout.work / score).unlink()
    (cluster.root / "bin/python").write_text("#!/bin/sh\necho no such luck >&2\nexit 1\n")
    shown = cluster.snakemake(score, check=False)
    assert len(cluster.submissions()) == 2
    assert "log: results/logs/score_benchmarks/pocket/cold.log" in shown
    assert ".snakemake/slurm_logs/rule_score_benchmarks/" in shown
    assert "no such luck" in shown
    assert "Traceback" not in shown


def test_the_profile_names_rules_that_exist_and_all_that_use_a_gpu(profile: dict) -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    text = re.sub(r'rule:(\s+""".*""")?\s+name:\s+f"(\w+)\{.*', r"rule \2:", text)
    _, *parts = re.split(r"^ *rule (\w+):", text, flags=re.MULTILINE)
    rules = dict(zip(parts[::2], parts[1::2], strict=True))
    # score_baselines computes with a model only where the recipe names a text model.
    assert {name for name, block in rules.items() if "gpu=" in block} == GPU_RULES | {"score_baselines"}
    assert set(profile["set-threads"]) == GPU_RULES
    assert GPU_RULES <= set(profile["set-resources"]) <= set(rules)
    assert set(profile["groups"]) <= set(rules)
    # A limit here would cut what each job may ask for (and 0 would make it nothing).
    assert "resources" not in profile


def test_both_profiles_agree_where_they_should(profile: dict) -> None:
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    shared = {key: value for key, value in default.items() if key != "resources"}
    assert {key: profile[key] for key in shared} == shared


def test_a_training_on_several_gpus_is_started_once(cluster: Cluster) -> None:
    path = cluster.checkout.code / "profiles/slurm/config.yaml"
    text = path.read_text().replace("#    gpu: 8\n#    zero_stage: 2\n", "    gpu: 8\n    zero_stage: 2\n")
    path.write_text(text)
    model = cluster.checkout.work / "results/models/pocket/cold/model.safetensors"
    model.unlink()
    cluster.snakemake(str(model.relative_to(cluster.checkout.work)))
    [submission] = cluster.submissions()
    assert (submission.value("--gpus"), submission.value("--nodes")) == ("8", "1")
    assert submission.value("--ntasks-per-gpu") is None
    [step] = [json.loads(line) for line in (cluster.records / "srun").read_text().splitlines()]
    assert {"-n1", "--gpus=8", "--nodes=1"} <= set(step)
    logs = (cluster.checkout.work / ".snakemake/log").glob("*.log")
    shown = max(logs, key=lambda path: path.stat().st_mtime).read_text()
    assert shown.count("torchrun --standalone --nproc_per_node=8 ") == 1
    assert "--zero-stage 2" in shown
