"""A bad configuration ends before any job, with one clear message and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from slamflow.errors import InputError
from slamflow.jobs.workflow import Jobs
from slamflow.recipe.loading import load_assets, read_recipe

from .conftest import ROOT, Checkout


@pytest.fixture(scope="module")
def fresh(code: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(code, tmp_path_factory.mktemp("fresh"))


REFUSED = [
    ("training: {learning_rat: 0.1}", ["training.learning_rat: unknown key"]),
    ("training: {batch_tokens: many}", ["training.batch_tokens"]),
    ("training:\n  tokens: 1\n  tokens: 2", ["line 3", "'tokens' is given twice"]),
    ("training: {learning_rate: 1e-4}", ["training.learning_rate: '1e-4' is text in YAML"]),
    ("corpora: {stories: {splits: {train: {shards: -1}}}}", ["corpora.stories.splits.train.shards"]),
    ("datasets: {speech: {train: [nowhere/train]}}", ["no corpus 'nowhere'"]),
    (
        "corpora: {mine: {kind: folder, path: nowhere, splits: {train: {}}}}",
        ["corpora.mine.path: nowhere: no such folder"],
    ),
    ("corpora: {mine: {kind: folder, path: ., splits: {train: {}}}}", ["corpora.mine.path: .: no audio"]),
    (
        "corpora: {mine: {kind: librispeech, path: examples, splits: {train: {folders: [speach]}}}}",
        ["corpora.mine.splits.train.folders: examples has no folder speach"],
    ),
    (
        "corpora: {mine: {kind: archive, splits: {train: {archives: [x.tar]}, dev: {archives: [asset:ls/y.tar]}}}}",
        ["splits.train.archives: x.tar: no such file", "asset:ls/y.tar: no such file among the assets"],
    ),
    (
        "corpora: {stories: {speech: {engine: kokoro, voices: [af_heart, xx_me]}}}",
        ["corpora.stories.speech.voices: kokoro has no xx_me.bin"],
    ),
    (
        "corpora: {stories: {speech: {engine: piper, voices: [joe], model: nowhere}}}",
        ["corpora.stories.speech.model: 'nowhere' is neither an asset", "nor a folder"],
    ),
    ("corpora: {stories: {text: {source: file, path: nowhere.txt}}}", ["nowhere.txt", "no such file"]),
    (
        "models: {other: {adapter: slamkti, weights: slam, encoder: whisper}}",
        ["models.other: adapter must be one of slamkit, twist"],
    ),
    (
        "models: {other: {adapter: slamkit, weights: nowhere, encoder: whisper}}",
        ["models.other.weights: 'nowhere' is neither an asset", "nor a folder"],
    ),
    (
        "models: {other: {adapter: slamkit, weights: examples, encoder: whispre, tokens: 5}}",
        ["models.other.tokens: unknown key"],
    ),
    (
        "models: {other: {adapter: slamkit, weights: ., encoder: whispre}}",
        ["models.other.encoder: no encoder 'whispre'"],
    ),
    (
        "models: {a: {adapter: slamkit, weights: ., encoder: whisper}, b: {init: a, data: speech}}",
        ["models.b.init: a is a published model; only a model of pairs can start from it"],
    ),
]


def jobs(path: Path) -> Jobs:
    """The jobs of a configuration, as rules/common.smk reads it."""
    recipe = read_recipe([path], ROOT / "config.yaml")
    return Jobs(recipe, load_assets(ROOT / "recipes/assets.yaml", recipe.assets), ROOT / "workflow_scripts")


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError) as refused:
        jobs(Path("bad.yaml"))
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(("text", "words"), [REFUSED[0], REFUSED[2], REFUSED[6]], ids=["settings", "yaml", "files"])
def test_refused_before_any_job(fresh: Checkout, text: str, words: list[str]) -> None:
    (fresh.work / "bad.yaml").write_text(text)
    done = fresh.snakemake("--configfile", "bad.yaml", check=False)
    message = done.stdout + done.stderr
    assert done.returncode != 0
    for word in words:
        assert word in message
    assert "Traceback" not in message
    assert not Path(fresh.work, "results").exists()


def test_a_recipe_is_not_laid_over_the_pocket(fresh: Checkout) -> None:
    recipe = yaml.safe_load((fresh.code / "config.yaml").read_text())
    recipe["recipe"] = "mine"
    del recipe["benchmarks"]
    (fresh.work / "mine.yaml").write_text(yaml.safe_dump(recipe))
    done = fresh.snakemake("--configfile", "mine.yaml", "--dry-run")
    assert "results/models/mine/cold" in done.stdout
    assert "pocket" not in done.stdout
    assert "rule score_benchmarks" not in done.stdout
