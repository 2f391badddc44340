"""The shipped recipes: what they say of themselves, and that none speaks of another's things in other terms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from by_hand import put_in_place
from slamflow.jobs.patterns import shell_patterns
from slamflow.jobs.workflow import Jobs
from slamflow.recipe.loading import load_assets, load_recipe, merge
from slamflow.recipe.recipe import Recipe
from slamflow.strict_yaml import load_yaml

ROOT = Path(__file__).parents[2]
WHOLE = sorted(
    path for path in [*ROOT.glob("recipes/*.yaml"), ROOT / "config.yaml"] if "recipe" in (load_yaml(path) or {})
)
PUBLISHED = [path for path in WHOLE if re.match("slam|twist|gslm|scaled", path.stem)]


def recipe(path: Path) -> Recipe:
    return load_recipe(load_yaml(path), [str(path)])


def jobs(path: Path) -> Jobs:
    return Jobs(recipe(path), load_assets(ROOT / "recipes/assets.yaml", recipe(path).assets), ROOT / "workflow_scripts")


def test_all_recipes_that_were_asked_for_are_there() -> None:
    names = {"slam", "slam_scaled", "slam_large", "slam_day", "twist_350m", "twist_1_3b", "twist_7b", "gslm"}
    assert {path.stem for path in WHOLE} >= names | {"scaled_optimal", "slam_ablations", "own_audio", "config"}


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_a_recipe_is_named_as_its_file(path: Path) -> None:
    assert recipe(path).recipe == ("pocket" if path.stem == "config" else path.stem)


def named_settings(checked: Recipe) -> Iterator[tuple[str, Any]]:
    """What lies under a path without the recipe's name, by a name for it, and its settings."""
    for name, corpus in checked.corpora.items():
        yield f"corpora.{name}", corpus.model_copy(update={"splits": {}})
        for split, settings in corpus.splits.items():
            yield f"corpora.{name}.splits.{split}", settings
    for name, encoder in checked.encoders.items():
        yield f"encoders.{name}", encoder
    for name, dataset in checked.datasets.items():
        yield f"datasets.{name}", dataset
    for name, benchmark in checked.benchmarks.items():
        told = benchmark.model_dump(exclude={"models"})
        yield f"benchmarks of {benchmark.encoder}: {name}", told
    for name, preferences in checked.preferences.items():
        yield f"preferences of {preferences.encoder}: {name}", preferences
    for name, vocoder in checked.vocoders.items():
        yield f"vocoders.{name}", vocoder


def test_one_name_means_one_set_of_settings_in_all_recipes() -> None:
    seen: dict[str, tuple[Path, Any]] = {}
    for path in WHOLE:
        for name, settings in named_settings(recipe(path)):
            if name in seen:
                assert seen[name][1] == settings, f"{name}: {path.name} and {seen[name][0].name} differ"
            seen[name] = (path, settings)
    assert "corpora.libri_light.splits.train" in seen


def test_slam_is_what_the_paper_says() -> None:
    checked = recipe(ROOT / "recipes/slam.yaml")
    model, aligned = checked.models["pretrained"], checked.models["slam"]
    assert (model.objective, aligned.objective) == ("next_token", "dpo")
    assert model.tokens == 17_625 * model.batch_tokens
    assert model.batch_tokens == 78 * checked.datasets["slam"].context == 79_872
    assert model.tokens == pytest.approx(1.4e9, rel=0.01)
    assert (model.learning_rate, model.min_learning_rate, model.warmup, model.gradient_clip) == (1e-3, 5e-5, 0.01, 0.5)
    assert (model.rope_theta, model.embeddings, model.schedule) == (10_000, "first_rows", "cosine")
    assert (aligned.steps, aligned.pairs_per_step, aligned.learning_rate) == (813, 64, 5e-5)
    assert (aligned.beta, aligned.schedule, aligned.gradient_clip) == (0.1, "inverse_sqrt", 0.5)
    encoder = checked.encoders["mhubert"]
    assert (encoder.layer, encoder.clusters, encoder.frame_rate_hz, encoder.normalize) == (11, 500, 25, False)
    pairs = checked.preferences["swag"]
    assert (pairs.negatives, pairs.max_auto_bleu) == (["detail"], 0.3)
    assert (pairs.corpus, checked.corpora["spoken_swag"].repo) == ("spoken_swag", "slprl/SpokenSwag")  # type: ignore[attr-defined]


def test_swag_can_be_made_anew() -> None:
    config = merge(load_yaml(ROOT / "recipes/slam.yaml"), load_yaml(ROOT / "recipes/remade_swag.yaml"))
    checked = load_recipe(config, [])
    assert checked.preferences["swag"].reference == "swag/preference"
    swag = checked.corpora["swag"]
    assert swag.speech.voices == ["af_heart", "am_fenrir", "bf_emma", "bm_george"]  # type: ignore[attr-defined]
    used = {use.reference for use in checked.uses()}
    assert "swag/preference" in used
    assert "spoken_swag/preference" not in used


def warm_up_steps(recipe_name: str, model: str) -> float:
    settings = recipe(ROOT / f"recipes/{recipe_name}.yaml").models[model]
    return settings.warmup * settings.steps  # type: ignore[attr-defined, no-any-return]


def test_dpo_warms_up_for_100_steps() -> None:
    """SlamKit as the paper came out: f563e56, config/training_args/default.yaml."""
    assert warm_up_steps("slam", "slam") == pytest.approx(100, abs=0.5)
    # 2 epochs of 47,900 pairs, 64 at once.
    for name in ("slam_scaled", "slam_large"):
        aligned = recipe(ROOT / f"recipes/{name}.yaml").models[name]
        assert aligned.warmup * aligned.epochs * 47_900 / 64 == pytest.approx(100, abs=0.5)  # type: ignore[attr-defined]


def test_slamkits_batches_as_they_are() -> None:
    """The lines in the comment of recipes/slam.yaml: 128 sequences and 17,625 steps."""
    text = (ROOT / "recipes/slam.yaml").read_text()
    commented = dict(re.findall(r"#   (batch_tokens|tokens): ([\d_]+)", text))
    assert int(commented["batch_tokens"]) == 128 * 1024
    assert int(commented["tokens"]) == 17_625 * int(commented["batch_tokens"])


@pytest.mark.parametrize(
    ("name", "model", "steps"),
    [
        ("slam", "pretrained", 17_625),
        ("slam_scaled", "pretrained", 104_543),
        ("slam_large", "pretrained", 38_187),
        ("scaled_optimal", "scaled_optimal", 66_050),
    ],
)
def test_published_steps_come_out(name: str, model: str, steps: int) -> None:
    settings = recipe(ROOT / f"recipes/{name}.yaml").models[model]
    assert settings.objective == "next_token"
    assert -(-settings.tokens // settings.batch_tokens) == steps


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_every_value_of_a_published_recipe_tells_where_it_comes_from(path: Path) -> None:
    lines = path.read_text().splitlines()
    for section in ("training", "encoders"):
        start = lines.index(f"{section}:")
        end = next(i for i in range(start + 1, len(lines)) if re.match(r"\w", lines[i]))
        told = [line for line in lines[start + 1 : end] if re.match(r"\s+\w+: \S", line)]
        assert len(told) > 5
        silent = [line for line in told if "#" not in line and not re.search("kind|frame_rate_hz|codebook", line)]
        assert not silent, f"{path.name}: {silent}"


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_no_command_is_longer_than_a_shell_takes(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(load_yaml(path), tmp_path)
    monkeypatch.chdir(tmp_path)
    planned = jobs(path)
    longest = max(
        [len(shell_patterns(planned.units.all(".json")))]
        + [
            len(shell_patterns(planned.results.units(dataset.encoder, dataset.trained_on)))
            for dataset in planned.recipe.datasets.values()
            if dataset.encoder != "text"
        ]
        + [len(planned.recipe.model_dump_json()), len(planned.report.render_report(None))]
    )
    assert longest < 100_000  # Linux takes 131,072 bytes in one argument


def used_assets(planned: Jobs) -> set[str]:
    """The assets that some path of a recipe leads to."""
    text = planned.recipe.model_dump_json(exclude={"assets"})
    return {name for name in planned.sources.assets if re.search(rf'"(asset:)?{name}["/]', text)}


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_every_file_that_a_recipe_names_is_among_its_assets(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_place(load_yaml(path), tmp_path)
    monkeypatch.chdir(tmp_path)
    planned = jobs(path)
    for corpus in planned.recipe.corpora.values():
        for split in corpus.splits.values():
            for archive in getattr(split, "archives", []):
                assert planned.sources.file(archive)
        revision = getattr(corpus, "revision", None)
        assert revision is None or revision == "unpinned" or len(revision) == 40
    assert used_assets(planned) or path.stem == "config"


def test_the_ablations_differ_in_their_speech_alone() -> None:
    checked = recipe(ROOT / "recipes/slam_ablations.yaml")
    models = [checked.models[name] for name in ("with_synthetic", "neither", "with_diverse", "with_both")]
    assert len({model.model_copy(update={"data": "x"}).model_dump_json() for model in models}) == 1
    trained_on = {name: set(dataset.trained_on) for name, dataset in checked.datasets.items()}
    assert trained_on["slam"] - trained_on["read"] == {"stinystories/train"}
    diverse = {"voxpopuli/train", "tedlium3/train", "peoples_speech/train", "spoken_wikipedia/train"}
    assert trained_on["diverse"] - trained_on["read"] == diverse
    assert trained_on["diverse_synthetic"] == trained_on["slam"] | diverse
    assert checked.datasets["even"].weights == {
        "librispeech/train": 0.02,
        "libri_light/train": 0.48,
        "stinystories/train": 0.5,
    }


def test_the_spoken_storycloze_makes_generation_as_published() -> None:
    """Slam's Table 6 and SlamKit's issue 9 and config/metric/asr_perplexity.yaml, over a recipe with other values."""
    config = load_yaml(ROOT / "recipes/slam.yaml")
    update_config(config, load_yaml(ROOT / "recipes/spoken_storycloze.yaml"))
    checked = load_recipe(config, [])
    assert checked.generation is not None
    sampling = checked.generation.sampling
    assert checked.generation.reference == "spoken_sstorycloze/test"
    assert checked.corpora["spoken_sstorycloze"].holds == "pairs"
    assert (sampling.prompts, sampling.order, sampling.prompt_seconds) == (1000, "name", 3.0)
    assert (sampling.temperature, sampling.top_k, sampling.max_new_tokens) == (0.8, 25, 150)
    assert sampling.repetition_penalty == 1.1
    assets = load_assets(ROOT / "recipes/assets.yaml", checked.assets)
    recognizer, text_model = assets[checked.generation.recognizer], assets[checked.generation.text_model]
    assert all("large-v3-turbo" in source for file in recognizer.files.values() for source in file.sources)
    assert all("meta-llama/Llama-3.2-1B@" in source for file in text_model.files.values() for source in file.sources)


def test_the_shipped_files_are_plain_yaml() -> None:
    for path in WHOLE:
        assert yaml.safe_load(path.read_text())["recipe"]


OLD = {
    "corpora": {"examples": {"splits": {"validation": {"per_cent": [0, 50]}}}},
    "preferences": {"endings": {"wrong": ["detail"]}},
    "vocoders": {"whisper": {"judged": 7}},
}


def test_keys_of_earlier_recipes_are_read_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    config = merge(load_yaml(ROOT / "config.yaml"), OLD)
    del config["preferences"]["endings"]["negatives"]
    del config["models"]["aligned"]["objective"]
    found = load_recipe(config, [])
    assert found.corpora["examples"].splits["validation"].percent == [0, 50]  # type: ignore[attr-defined]
    assert found.preferences["endings"].negatives == ["detail"]
    assert found.vocoders["whisper"].eval_utterances == 7
    assert found.models["aligned"].objective == "dpo"
    assert "corpora.examples.splits.validation.per_cent: is called percent now" in caplog.text
    assert "models.aligned: has pairs, so it is taken for objective: dpo" in caplog.text


def test_the_order_of_keys_decides_nothing() -> None:
    """A recipe that a YAML tool wrote anew, its keys sorted, gives every job the same settings."""
    config = load_yaml(ROOT / "config.yaml")
    written = yaml.safe_load(yaml.safe_dump(config, sort_keys=True))
    assets = load_assets(ROOT / "recipes/assets.yaml", {})
    one, other = (Jobs(load_recipe(text, []), assets, ROOT / "workflow_scripts") for text in (config, written))
    assert sorted(one.recipe.uses()) == sorted(other.recipe.uses())
    for model in one.recipe.models:
        wildcards = SimpleNamespace(recipe="pocket", model=model)
        assert one.training.experiment(wildcards) == other.training.experiment(wildcards)
    for benchmark in one.recipe.benchmarks:
        wildcards = SimpleNamespace(recipe="pocket", benchmark=benchmark, split="dev", encoder="whisper")
        assert one.evaluation.build_benchmark(wildcards) == other.evaluation.build_benchmark(wildcards)
        assert one.evaluation.baseline_units(wildcards) == other.evaluation.baseline_units(wildcards)
