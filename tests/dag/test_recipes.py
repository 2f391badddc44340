"""The shipped recipes as graphs of jobs: complete, of the right size, and each for itself."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from by_hand import put_in_place
from slamflow.strict_yaml import load_yaml

from .conftest import ROOT, TARGETS, Checkout, copy_checkout

SCORED_ONLY = ["leaderboard"]
"""Recipes that train nothing."""
WHOLE = sorted({path.stem for path in ROOT.glob("recipes/*.yaml") if "recipe" in load_yaml(path)} - {*SCORED_ONLY})


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which nothing has run."""
    root = tmp_path_factory.mktemp("recipes")
    (root / "work").mkdir()
    return Checkout(copy_checkout(root / "code"), root / "work")


def with_few_shards(config: Any) -> Any:
    """The same recipe in at most two shards each: thousands would only take longer."""
    if isinstance(config, dict):
        return {k: min(v, 2) if k == "shards" else with_few_shards(v) for k, v in config.items()}
    return config


def jobs(checkout: Checkout, config: Path) -> Counter[str]:
    """The jobs of a recipe, by rule."""
    text = checkout.snakemake("--dry-run", "--configfile", str(config)).stdout
    found = re.findall(r"^(?:local)?rule (\w+?)(?:_of_\w+)?:", text, flags=re.MULTILINE)
    return Counter(job for job in found if job not in TARGETS)


def commands(checkout: Checkout, *arguments: str) -> list[str]:
    """The commands and settings of all jobs, sorted."""
    text = checkout.snakemake(*arguments).stdout
    return sorted(re.findall(r"^ +python .*|--settings.*", text, flags=re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_a_shipped_recipe_makes_a_complete_graph(fresh: Checkout, tmp_path: Path, name: str) -> None:
    config = with_few_shards(load_yaml(ROOT / f"recipes/{name}.yaml"))
    path = tmp_path / "few.yaml"
    path.write_text(yaml.safe_dump(config))
    due = jobs(fresh, path)
    models = {"train": len(config["models"])}
    assert {rule: due[rule] for rule in models} == dict(models)
    assert due["fit_units"] == len(config["encoders"])
    assert due["pack_tokens"] == sum(1 + len(dataset["validation"]) for dataset in config["datasets"].values())
    assert due["build_benchmark"] == len(config.get("benchmarks", {}))
    assert due["score_benchmarks"] == (len(config["models"]) if config.get("benchmarks") else 0)
    recordings = due["collect_audio"] + due["stream_audio"]
    generation = config.get("generation")
    prompts = config["corpora"][generation["corpus"]]["splits"]["test"].get("shards", 1) if generation else 0
    assert due["extract_units"] == recordings - prompts + due["collect_pairs"] + due["synthesize_stories"]
    assert due["summarize"] == due["render_report"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORED_ONLY)
def test_a_recipe_that_trains_nothing_makes_a_complete_graph(fresh: Checkout, tmp_path: Path, name: str) -> None:
    config = with_few_shards(load_yaml(ROOT / f"recipes/{name}.yaml"))
    put_in_place(config, fresh.work)
    path = tmp_path / "few.yaml"
    path.write_text(yaml.safe_dump(config))
    due = jobs(fresh, path)
    models = config["models"]
    assert due["train"] == due["pack_tokens"] == 0
    assert due["import_model"] == due["score_benchmarks"] == len(models)
    assert due["fit_units"] == len({model["encoder"] for model in models.values()}) == len(config["encoders"])
    assert due["build_benchmark"] == len(config["benchmarks"])
    speaking = sum(model["encoder"] == config["generation"]["encoder"] for model in models.values())
    assert due["continue_speech"] == due["score_continuations"] == speaking + 2
    assert due["summarize"] == due["render_report"] == due["render_leaderboard"] == 1


def test_tuning_the_pocket_cannot_change_another_recipe(fresh: Checkout) -> None:
    config = fresh.code / "recipes/own_audio.yaml"
    shown = ["--dry-run", "--printshellcmds", "--configfile", str(config)]
    before = commands(fresh, *shown)
    pocket = fresh.code / "config.yaml"
    text = pocket.read_text()
    tuned = yaml.safe_load(text)
    tuned["training"] = {"learning_rate": 0.5, "gradient_clip": 9.0}
    tuned["evaluation"] = {"ngram_tokens": 7}
    tuned["datasets"]["speech"]["context"] = 64
    try:
        pocket.write_text(yaml.safe_dump(tuned))
        assert commands(fresh, *shown) == before
        # The pocket itself is another now.
        assert "0.5" in fresh.snakemake("--dry-run", "--printshellcmds", "models").stdout
    finally:
        pocket.write_text(text)
    assert len(before) > 10
