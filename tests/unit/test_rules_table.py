"""The table of rules that summary and page read is Snakemake's: names of jobs, files, and who reads them."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

from slamflow.jobs.report import ReportJobs
from slamflow.recipe.loading import load_assets
from slamflow.recipe.recipe import Recipe
from slamflow.report.rules import RULES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The default recipe's workflow, in a folder where nothing was run."""
    quiet = OutputSettings(dryrun=True, quiet={Quietness.ALL}, enable_file_logging=False)
    logging.disable(logging.INFO)
    try:
        with SnakemakeApi(quiet) as api:
            asked = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(),
                snakefile=ROOT / "Snakefile",
                workdir=tmp_path_factory.mktemp("work"),
            )
            asked.dag(DAGSettings()).execute_workflow(executor="dryrun")
            yield asked._workflow
    finally:
        logging.disable(logging.NOTSET)


def plain(pattern: Any) -> str:
    """A pattern of Snakemake without the constraints of its wildcards."""
    return re.sub(r"\{(\w+),(?:[^{}]|\{[^{}]*\})*\}", r"{\1}", str(pattern))


def base(rule: Any) -> str:
    """The name of a rule as the table has it: models that are scored on other benchmarks have a rule of their own."""
    name: str = rule.name
    return name.partition("_of_")[0]


def test_every_rule_with_files_is_in_the_table(workflow: Any) -> None:
    assert {base(rule) for rule in workflow.rules if rule.output} == set(RULES)


def test_jobs_are_named_as_their_costs(workflow: Any) -> None:
    for rule in workflow.rules:
        if base(rule) in RULES:
            assert plain(rule.benchmark) == f"results/job_costs/{base(rule)}/{RULES[base(rule)].job}.tsv"


def test_the_files_of_jobs_are_found(workflow: Any) -> None:
    for rule in workflow.rules:
        if base(rule) not in RULES or not RULES[base(rule)].writes:
            continue
        values = {name: f"{name}1" for name in rule.wildcard_names}
        job = RULES[base(rule)].job.format(**values)
        roots = {"results": "results", "resources": "resources"}
        patterns = [pattern.format(job=job, **roots) for pattern in RULES[base(rule)].writes]
        for output in rule.output:
            path = plain(output).format(**values)
            other = rule.name == "collect_pairs" and path.startswith("results/text/")
            assert other or any(fnmatch.fnmatch(path, pattern) for pattern in patterns), (rule.name, path)


def test_who_reads_what_is_as_in_the_graph(workflow: Any) -> None:
    dag = workflow.dag
    edges = {(base(parent.rule), base(job.rule)) for job in dag.jobs for parent in dag.dependencies[job]}
    told = {(name, reader) for name, rule in RULES.items() for reader in rule.read_by}
    assert ("train", "render_report") in edges
    assert {(name, reader) for name, reader in edges if name != reader and reader in RULES} <= told


def test_jobs_of_the_recipe_are_told_from_others() -> None:
    values = {
        "recipe": "r",
        "corpora": {
            "books": {"kind": "hub", "repo": "a/b", "revision": "unpinned", "splits": {"train": {"files": ["x"]}}}
        },
        "encoders": {"units": {"kind": "hubert", "model": "hubert_base_ls960", "codebook": "x.npy"}},
        "datasets": {"speech": {"encoder": "units", "train": ["books/train"]}},
        "models": {"cold": {"init": "scratch", "architecture": {"model_type": "llama"}, "data": "speech"}},
    }
    assets = load_assets(ROOT / "recipes/assets.yaml", {})
    own = ReportJobs(Recipe.model_validate(values), assets, ROOT / "workflow_scripts").own_jobs()
    for rule, job, expected in (
        ("fetch_asset", "hubert_base_ls960/hubert.pt", True),
        ("fetch_asset", "whisper_tiny_en/model.bin", False),
        ("pin_revision", "a--b", True),
        ("pin_revision", "a--c", False),
        ("stream_audio", "units/books/train/0000-of-0001", True),
        ("stream_audio", "others/books/train/0000-of-0001", False),
        ("train", "r/cold", True),
        ("train", "another/cold", False),
        ("train", "r/cold_2", False),
        ("continue_speech", "r/truth", True),
        ("pack_tokens", "speech/validation.books.train", True),
    ):
        assert bool(re.fullmatch(own[rule], job)) == expected, (rule, job)
