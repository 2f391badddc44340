"""Bad configurations are refused with the key and the way out; what is generated from the settings is up to date."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

import describe_settings
from by_hand import put_in_place
from slamflow.assets.asset import AssetFile
from slamflow.corpora import CORPORA
from slamflow.errors import InputError
from slamflow.jobs.workflow import Jobs
from slamflow.recipe.loading import load_assets, load_recipe
from slamflow.strict_yaml import load_yaml
from slamflow.tts import ENGINES

ROOT = Path(__file__).parents[2]
POCKET: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())


def changed(path: str, value: Any) -> dict[str, Any]:
    """The pocket recipe with one key set; None in a path step that is missing makes a mapping."""
    config = copy.deepcopy(POCKET)
    *parents, last = path.split(".")
    section = config
    for key in parents:
        section = section.setdefault(key, {})
    section[last] = value
    return config


def refusal(config: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        load_recipe(config, [])
    return str(caught.value)


def test_the_pocket_recipe_is_accepted() -> None:
    assert load_recipe(POCKET, [str(ROOT / "config.yaml")]).recipe == "pocket"


@pytest.mark.parametrize("path", sorted(set(ROOT.glob("recipes/*.yaml")) - {ROOT / "recipes/assets.yaml"}))
def test_shipped_recipes_are_accepted(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_yaml(path)
    if "recipe" not in config:
        under = "recipes/slam.yaml" if path.stem in ("spoken_storycloze", "salmon", "remade_swag") else "config.yaml"
        laid_over = load_yaml(ROOT / under)
        update_config(laid_over, config)
        config = laid_over
    checked = load_recipe(config, [])
    if path.stem == "spoken_storycloze":
        with pytest.raises(InputError, match=r"sSC: no such folder.*docs/audio.md"):
            Jobs(checked, load_assets(ROOT / "recipes/assets.yaml", {}), ROOT / "workflow_scripts")
    put_in_place(config, tmp_path)
    monkeypatch.chdir(tmp_path)
    Jobs(checked, load_assets(ROOT / "recipes/assets.yaml", checked.assets), ROOT / "workflow_scripts")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("training.learning_rat", 1.0, ["training.learning_rat", "unknown key"]),
        ("models.cold.learning_rat", 1.0, ["models.cold.learning_rat", "unknown key"]),
        ("trainig", {}, ["trainig", "unknown key"]),
        ("training.batch_tokens", "many", ["training.batch_tokens", "integer"]),
        ("training.batch_tokens", 8192.5, ["training.batch_tokens", "integer"]),
        ("training.learning_rate", "1e-4", ["training.learning_rate", "text in YAML", "1.0e-4"]),
        ("corpora.stories.splits.train.shards", -4, ["corpora.stories.splits.train.shards", "greater than"]),
        ("corpora.stories.splits.extra", {"stories": 3}, ["corpora.stories.splits.extra", "train"]),
        ("datasets.speech.train", {"stories/train": 0.0}, ["datasets.speech.train", "greater than 0"]),
        ("datasets.speech.train", {"stories/trian": 1.0}, ["no split 'stories/trian'"]),
        (
            "corpora.published",
            {"kind": "spoken_pairs", "task": "sblimp", "splits": {"test": {}}},
            ["corpora.published", "give one of repo", "path, a folder, and archives"],
        ),
        (
            "corpora.published",
            {"kind": "spoken_pairs", "task": "sblimp", "repo": "a/b", "splits": {"test": {}}},
            ["corpora.published", "needs revision and files"],
        ),
        (
            "corpora.published",
            {
                "kind": "spoken_pairs",
                "task": "sblimp",
                "path": "a",
                "splits": {"dev": {}, "test": {"percent": [50, 100]}},
            },
            ["corpora.published", "dev and test share pairs"],
        ),
        ("datasets.speech.train", ["storys/train"], ["datasets.speech", "no corpus 'storys'", "stories"]),
        ("datasets.speech.train", ["stories/trian"], ["no split 'stories/trian'", "stories/train"]),
        ("datasets.speech.train", ["stories/text"], ["datasets.speech", "stories/text is not spoken"]),
        (
            "vocoders.wisper",
            {"corpora": ["stories/train"], "held_out": ["stories/dev"]},
            ["vocoders.wisper", "whisper"],
        ),
        ("vocoders.whisper.corpora", ["stories/text"], ["vocoders.whisper.corpora", "stories/text is not spoken"]),
        ("vocoders.whisper.held_out", ["stories/tset"], ["vocoders.whisper.held_out", "no split 'stories/tset'"]),
        ("vocoders", {}, ["generation.encoder", "no vocoder", "whisper"]),
        ("generation.encoder", "wisper", ["generation.encoder", "wisper"]),
        ("generation.corpus", "tales", ["generation.corpus", "no corpus 'tales'"]),
        ("generation.models", ["warmer"], ["generation.models", "no model 'warmer'", "cold"]),
        ("generation.models", ["story_text"], ["generation.models", "story_text does not speak units of whisper"]),
        ("models.truth", POCKET["models"]["cold"], ["models.truth", "taken"]),
        ("benchmarks.sblimp.corpus", "swuggy", ["benchmarks.sblimp.corpus", "has task swuggy, not sblimp"]),
        ("benchmarks.swuggy.corpus", "stories", ["benchmarks.swuggy.corpus", "stories is of kind stories"]),
        ("benchmarks.tstorycloze.corpus", "sblimp", ["sblimp has task sblimp, not tstorycloze"]),
        ("corpora.sblimp.task", "blimp", ["corpora.sblimp", "task 'blimp'", "sblimp, swuggy"]),
        ("corpora.sblimp.splits.dev.pairs", 7, ["corpora.sblimp", "splits.dev.pairs", "even number"]),
        ("datasets.speech.encoder", "wisper", ["datasets.speech.encoder", "wisper"]),
        ("models.cold.data", "speach", ["models.cold.data", "speach"]),
        ("models.cold.architecture", None, ["models.cold", "architecture", "scratch"]),
        ("models.5gram", POCKET["models"]["cold"], ["models.5gram", "baseline"]),
        ("models.story_text.init", "story_text", ["models.story_text"]),
        ("encoders.whisper.fit", None, ["encoders.whisper", "either fit or codebook"]),
        (
            "corpora.mine",
            {"kind": "mp3s"},
            ["corpora.mine", ", ".join(CORPORA.names())],
        ),
        ("corpora.examples.splits.validation.shards", 0, ["corpora.examples.splits.validation.shards"]),
        ("corpora.examples.text", {}, ["corpora.examples.text", "unknown key"]),
        (
            "datasets.story_text.train",
            ["examples/validation"],
            ["datasets.story_text", "examples is of kind librispeech"],
        ),
        (
            "benchmarks.tstorycloze.corpus",
            "examples",
            ["benchmarks.tstorycloze.corpus", "no split 'examples/test'"],
        ),
        ("evaluation.voices", ["exampels"], ["evaluation.voices", "no corpus 'exampels'", "examples"]),
        ("corpora.stories.speech.engine", "none", ["corpora.stories.speech", ", ".join(ENGINES.names())]),
        ("corpora.stories.speech", {"engine": "kokoro", "voices": {"a": 1.0}}, ["speech.voices", "list"]),
        ("corpora.stories.speech", {"engine": "kokoro", "voices": ["a"], "seed": 1}, ["speech.seed", "unknown key"]),
        ("corpora.stories.speech", {"engine": "piper", "voices": ["a"]}, ["speech.model", "required"]),
        ("corpora.stories.speech", {"voices": ["a"]}, ["speech.voices", "dictionary"]),
    ],
)
def test_refused(key: str, value: Any, words: list[str]) -> None:
    message = refusal(changed(key, value))
    for word in words:
        assert word in message


def test_a_benchmark_of_stories_on_recordings() -> None:
    config = changed("benchmarks.tstorycloze.corpus", "examples")
    splits = config["corpora"]["examples"]["splits"]
    splits["test"] = {**splits["validation"], "percent": [50, 100]}
    splits["validation"] = {**splits["validation"], "percent": [0, 50]}
    assert "needs a corpus of kind stories; examples is of kind librispeech" in refusal(config)


def test_seeds_differ_in_their_seed_only() -> None:
    pocket, seeds = POCKET["models"], load_yaml(ROOT / "recipes/pocket_seeds.yaml")["models"]
    for seed in (1, 2):
        assert seeds[f"cold_{seed}"] == pocket["cold"] | {"seed": seed}
        assert seeds[f"aligned_{seed}"] == pocket["aligned"] | {"seed": seed, "init": f"cold_{seed}"}


def test_a_circle_of_models() -> None:
    config = changed("models.story_text", {"init": "warm", "data": "story_text"})
    assert "circle" in refusal(config)


def test_an_init_that_is_nothing() -> None:
    recipe = load_recipe(changed("models.warm.init", "no/such/folder"), [])
    with pytest.raises(InputError, match="neither an asset"):
        Jobs(recipe, load_assets(ROOT / "recipes/assets.yaml", {}), ROOT / "workflow_scripts")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("vocoders.whisper.recognizer", "wisper", "vocoders.whisper.recognizer: 'wisper' is not an asset"),
        ("generation.recognizer", "wisper", "generation.recognizer: 'wisper' is not an asset"),
        ("generation.text_model", "no/such/folder", "generation.text_model: 'no/such/folder' is neither an asset"),
    ],
)
def test_an_evaluator_that_is_nothing(key: str, value: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Jobs(
            load_recipe(changed(key, value), []),
            load_assets(ROOT / "recipes/assets.yaml", {}),
            ROOT / "workflow_scripts",
        )


def test_a_key_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("recipe: pocket\ntraining:\n  tokens: 1\n  seed: 0\n  tokens: 2\n")
    with pytest.raises(InputError, match=r"line 5: the key 'tokens' is given twice \(first on line 3\)"):
        load_yaml(path)


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("recipe: pocket\ntraining: [1, 2\n")
    with pytest.raises(InputError, match=r"config.yaml, line 3"):
        load_yaml(path)


def test_models_inherit_from_training_and_may_differ() -> None:
    config = changed("models.cold.learning_rate", 0.5)
    recipe = load_recipe(config, [])
    assert recipe.models["cold"].learning_rate == 0.5
    assert recipe.models["warm"].learning_rate == POCKET["training"]["learning_rate"]


@pytest.mark.parametrize(
    ("sources", "sha256", "words"),
    [
        (["ftp://x/y"], "0" * 64, "must begin with"),
        (["pypi://package/member"], "0" * 64, "pypi://name==version"),
        (["npm://package/member"], "0" * 64, "npm://name@version"),
        (["hf://owner/name@main/model.safetensors"], None, "'main' is a name that can move"),
        (["https://host/file"], None, "needs a sha256"),
    ],
)
def test_assets_are_pinned(sources: list[str], sha256: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AssetFile(sources=sources, sha256=sha256)


def test_what_training_waits_for_is_made_first() -> None:
    jobs = Jobs(load_recipe(POCKET, []), load_assets(ROOT / "recipes/assets.yaml", {}), ROOT / "workflow_scripts")

    def priority(corpus: str, split: str) -> int:
        return jobs.priority(SimpleNamespace(corpus=corpus, split=split))

    assert {priority("stories", split) for split in ("train", "text", "validation")} == {2}
    assert priority("examples", "validation") == 2
    assert priority("stories", "preference") == 1
    assert {priority(corpus, "test") for corpus in ("stories", "other_voice", "sblimp", "swuggy")} == {0}


def test_generated_files_are_up_to_date() -> None:
    again = "run python workflow_scripts/describe_settings.py"
    assert json.loads((ROOT / "rules/schemas/recipe.schema.json").read_text()) == describe_settings.schema(), again
    assert (ROOT / "docs/recipes.md").read_text() == describe_settings.page(), again


def test_every_key_is_described() -> None:
    described = describe_settings.schema()
    for section in [described, *described["$defs"].values()]:
        for key, field in section.get("properties", {}).items():
            assert field.get("description") or "$ref" in field, f"{section['title']}.{key} has no description"
