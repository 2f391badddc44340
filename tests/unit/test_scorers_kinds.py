"""What every baseline must have, by the registry, and where sums become scores."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slamflow.code_digest import code_digest
from slamflow.evaluation.parts import Level
from slamflow.jobs.evaluation import EvaluationJobs
from slamflow.jobs.results import Results
from slamflow.jobs.sources import Sources
from slamflow.recipe.recipe import Recipe
from slamflow.scorers import BASELINES, BaselineSettings, Material, mean_nll
from slamflow.strict_yaml import load_yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow_scripts"
NAMES = BASELINES.names()
UNITS = 9


def sequences(seed: int, count: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, UNITS, size=random.integers(1, 30)).astype(np.uint16) for _ in range(count)]


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_say_what_the_workflow_asks(name: str) -> None:
    settings = BASELINES.settings(name)
    assert issubclass(settings, BaselineSettings)
    assert settings().baseline == name
    assert settings.about
    assert isinstance(settings.needs_training_units, bool)
    needs = {"units": (False, False), "levels": (True, False), "text": (False, True)}
    assert (settings.needs_speech, settings.needs_text_model) == needs[BASELINES.module(name).READS]


def asked_of(reads: str) -> list[Any]:
    """Twenty sequences and an empty one, as what reads them takes them."""
    if reads == "levels":
        random = np.random.default_rng(1)
        some = [[Level(random.random(), 100) for _ in range(random.integers(1, 4))] for _ in range(20)]
        return [*map(tuple, some), ()]
    return [*sequences(1, 20), np.zeros(0, dtype=np.uint16)]


@pytest.mark.parametrize("name", [name for name in NAMES if not BASELINES.settings(name).needs_text_model])
def test_sums_and_counts_are_of_each_sequence_alone(name: str) -> None:
    train = sequences(0, 50) if BASELINES.settings(name).needs_training_units else []
    scorer = BASELINES.module(name).fit(Material(train, UNITS))
    asked = asked_of(BASELINES.module(name).READS)
    sums, counts = scorer.nll(asked)
    assert sums.dtype == np.float64
    assert counts.dtype == np.int64
    assert sums.shape == counts.shape == (21,)
    assert np.isfinite(sums).all()
    assert (counts > 0).all()
    one_by_one = [mean_nll(scorer, [units])[0] for units in asked]
    np.testing.assert_array_equal(mean_nll(scorer, asked), one_by_one)
    assert len(set(one_by_one)) > 1


def test_the_mean_is_over_a_scorers_own_tokens() -> None:
    class Fixed:
        def nll(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
            return np.array([3.0] * len(texts)), np.array([len(text) for text in texts])

    assert mean_nll(Fixed(), ["a", "bcd"]).tolist() == [3.0, 1.0]  # type: ignore[arg-type]


def test_a_models_score_does_not_depend_on_baselines_or_on_benchmarks() -> None:
    found = code_digest(SCRIPTS / "score_benchmarks.py")
    assert "scorers/language_model.py:" in found
    assert not any(BASELINES.module_name(name).replace(".", "/") in found for name in NAMES)
    assert "benchmarks/" not in found
    assert "recipe/" not in found
    five_gram = code_digest(SCRIPTS / "score_baselines.py", (BASELINES.module_name("5gram"),))
    assert "scorers/five_gram.py:" in five_gram
    assert "scorers/unigram.py:" not in five_gram


def jobs_of(**changes: Any) -> EvaluationJobs:
    """The jobs of the pocket recipe with some sections laid over."""
    config = load_yaml(ROOT / "config.yaml")
    for section, values in changes.items():
        config[section] = {**config.get(section, {}), **values}
    recipe = Recipe.model_validate(config)
    return EvaluationJobs(recipe, Sources({}, ROOT), Results(recipe))


WILDCARDS = SimpleNamespace(benchmark="tstorycloze", encoder="whisper", split="dev", model="cold")


def test_n_grams_are_fitted_on_what_the_scored_models_are_trained_on() -> None:
    """Whatever the order of the datasets, and not on what only other models are trained on."""
    assert {path.split("/")[-2] for path in jobs_of().baseline_units(WILDCARDS)} == {"train"}
    other = {"encoder": "whisper", "context": 832, "train": ["stories/validation", "stories/dev"]}
    datasets = load_yaml(ROOT / "config.yaml")["datasets"]
    extra = {"models": {"second": {"init": "scratch", "architecture": {"model_type": "llama"}, "data": "other"}}}
    orders: list[dict[str, Any]] = [{"other": other, **datasets}, {**datasets, "other": other}]
    both = [jobs_of(datasets=order, **extra) for order in orders]
    units = [jobs.baseline_units(WILDCARDS) for jobs in both]
    assert units[0] == units[1]
    assert {path.split("/")[-2] for path in units[0]} == {"dev", "train", "validation"}
    alone = SimpleNamespace(benchmark="sblimp")  # its models are cold and aligned
    assert both[0].baseline_units(alone) == jobs_of().baseline_units(alone) == jobs_of().baseline_units(WILDCARDS)


def test_outputs_and_units_follow_the_baselines_of_the_recipe() -> None:
    jobs = jobs_of(evaluation={"baselines": ["length"]})
    stem = "<results>/scores/{recipe}/length/{benchmark}.{split}"
    assert jobs.baseline_outputs() == [f"{stem}.json", f"{stem}.pairs.parquet"]
    assert jobs.baseline_flags(WILDCARDS, ["a", "b"]) == "--score length=a --pairs length=b"
    assert jobs.baseline_units(WILDCARDS) == []
    assert jobs.baseline_kinds(WILDCARDS) == ["slamflow.scorers.length"]
    assert len(jobs_of().baseline_outputs()) == 8


@pytest.mark.parametrize(
    ("baselines", "message"),
    [
        (["length", "length"], "named twice"),
        (["6gram"], "no baseline '6gram'; there are"),
        (["text_model"], "text_model comes by itself where evaluation.text_model names a text model"),
    ],
)
def test_baselines_that_a_recipe_cannot_have(baselines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=rf"evaluation\.baselines: .*{message}"):
        jobs_of(evaluation={"baselines": baselines})


def test_which_models_and_baselines_are_scored_changes_no_pairs_and_no_other_score() -> None:
    fewer = {"tstorycloze": {"kind": "tstorycloze", "corpus": "stories", "encoder": "whisper", "models": ["cold"]}}
    plain, changed = jobs_of(), jobs_of(benchmarks=fewer, evaluation={"baselines": ["length"], "ngram_tokens": 5})
    assert changed.build_benchmark(WILDCARDS) == plain.build_benchmark(WILDCARDS)
    assert changed.score_benchmarks(WILDCARDS) == plain.score_benchmarks(WILDCARDS)
    assert changed.score_baselines(WILDCARDS) != plain.score_baselines(WILDCARDS)
    assert changed.kinds(WILDCARDS) == ["slamflow.benchmarks.tstorycloze"]


def test_what_baselines_read_beside_units_follows_from_the_recipe() -> None:
    """Units alone need nothing of what the items were built from; loudness needs speech, a text model its files."""
    units = jobs_of(evaluation={"baselines": ["unigram", "length"]})
    assert (
        units.baseline_records(WILDCARDS) == units.baseline_spoken(WILDCARDS) == units.baseline_speech(WILDCARDS) == []
    )
    assert '"built": null' in units.score_baselines(WILDCARDS)
    loud = jobs_of()
    assert loud.baseline_speech(WILDCARDS) == ["<results>/audio/stories/dev/0000-of-0001.parquet"]
    assert loud.baseline_records(WILDCARDS) == ["<results>/text/stories/dev/0000-of-0001.jsonl"]
    assert loud.baseline_text_model(WILDCARDS) == []
    assert any(use.what == "audio" and use.reader == "evaluation" for use in loud.recipe.uses())
    both = jobs_of(evaluation={"text_model": "a/folder"})
    assert both.baseline_text_model(WILDCARDS)[-1] == "a/folder/tokenizer.json"
    assert both.recipe.evaluation.rows()[-1] == "text_model"
    assert len(both.baseline_outputs()) == 10
    assert "slamflow.benchmarks.tstorycloze" in both.baseline_kinds(WILDCARDS)


def test_models_with_the_same_benchmarks_share_a_rule() -> None:
    first, second = jobs_of().scored_alike()
    assert (first.suffix, first.models, len(first.scored)) == ("", ["aligned", "cold"], 10)
    assert (second.suffix, second.models, len(second.scored)) == ("_of_warm", ["warm"], 4)
    assert second.names == ["sstorycloze.dev", "sstorycloze.test", "tstorycloze.dev", "tstorycloze.test"]
