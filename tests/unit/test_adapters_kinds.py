"""Every adapter of a published system keeps the family's contract, and scores as its authors do."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import import_model as command
from slamflow import files
from slamflow.adapters import ADAPTERS, SystemSettings
from slamflow.errors import InputError
from slamflow.generation.sampling import continue_units
from slamflow.jobs.results import Results
from slamflow.jobs.sources import Sources
from slamflow.jobs.systems import SystemJobs
from slamflow.lm.speech import read_speech
from slamflow.recipe.generation import Sampling
from slamflow.recipe.loading import load_assets
from slamflow.recipe.recipe import Recipe
from slamflow.scorers import mean_nll
from slamflow.scorers.language_model import LanguageModelScorer

from .published_models import WRITERS, gslm, sims, slm, twist

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def imported(adapter: str, source: Path, output: Path, *more: str) -> Path:
    command.main(["--adapter", adapter, "--source", str(source), "--output", str(output), *more])
    return output


def sequences(units: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, units, size=size).astype(np.uint16) for size in (2, 40, 3, 17, 29)]


@pytest.mark.parametrize("name", ADAPTERS.names())
def test_the_settings_name_the_kind(name: str) -> None:
    settings = ADAPTERS.settings(name)
    assert issubclass(settings, SystemSettings)
    assert settings.__doc__
    assert ADAPTERS.module(name).__doc__
    found = settings.model_validate({"adapter": name, "weights": "asset", "encoder": "hubert"})
    assert (found.adapter, found.weights, found.encoder) == (name, "asset", "hubert")


@pytest.mark.parametrize("name", ADAPTERS.names())
def test_a_folder_of_another_format_is_refused(name: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(InputError, match=str(source)):
        imported(name, source, tmp_path / "out")
    (source / "config.json").write_text('{"model_type": "other"}')
    with pytest.raises(InputError, match=str(source)):
        imported(name, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_adapter_has_a_model_here() -> None:
    assert {adapter for adapter, _ in WRITERS.values()} == set(ADAPTERS.names())


@pytest.mark.parametrize("name", WRITERS)
def test_it_scores_as_its_authors_do(name: str, tmp_path: Path) -> None:
    adapter, write = WRITERS[name]
    published = write(tmp_path / "source")
    before = {path.name: path.stat().st_size for path in (tmp_path / "source").iterdir()}
    model = imported(adapter, tmp_path / "source", tmp_path / "model")
    assert sorted(path.name for path in model.iterdir()) == ["config.json", "model.safetensors", "speech.json"]
    assert {path.name: path.stat().st_size for path in (tmp_path / "source").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "source"]

    scorer = LanguageModelScorer.load(model)
    assert scorer.vocabulary.units == published.units
    some = sequences(published.units)
    expected = [published.mean_nll(units.tolist()) for units in some]
    assert np.ptp(expected) > 0.1
    for positions in (1, 50, 4096):
        scorer.positions = positions
        np.testing.assert_allclose(mean_nll(scorer, some), expected, atol=1e-4)

    [said] = continue_units(scorer.model, scorer.vocabulary, ["a"], [some[1]], Sampling(max_new_tokens=20))
    assert all(unit < published.units for unit in said.units)


@pytest.mark.parametrize("name", WRITERS)
def test_the_record_says_where_it_is_from(name: str, tmp_path: Path) -> None:
    adapter, write = WRITERS[name]
    units = write(tmp_path / "source").units
    files.write_json(tmp_path / "codebook.json", {"clusters": units, "sha256": "0" * 64, "frame_rate_hz": 25.0})
    settings = {"name": "theirs", "encoder": "mel", "tokenizer": {"kind": "logmel", "clusters": units}}
    flags = ("--settings", json.dumps(settings), "--codebook", str(tmp_path / "codebook.json"))
    record, vocabulary = read_speech(imported(adapter, tmp_path / "source", tmp_path / "model", *flags))
    assert (record["model"], record["encoder"], record["tokenizer"]["kind"]) == ("theirs", "mel", "logmel")
    assert (record["codebook_sha256"], vocabulary.units) == ("0" * 64, units)

    for clusters in (units + 1, units - 1):
        files.write_json(tmp_path / "codebook.json", {"clusters": clusters})
        if clusters < units and ADAPTERS.settings(adapter).spare_units:
            _, fewer = read_speech(imported(adapter, tmp_path / "source", tmp_path / "model", *flags))
            assert fewer.units == clusters
            continue
        with pytest.raises(InputError, match=f"speaks {units} units, the encoder mel has {clusters}"):
            imported(adapter, tmp_path / "source", tmp_path / "model", *flags)


def test_what_is_wrong_inside_an_archive_is_named_by_the_archive(tmp_path: Path) -> None:
    twist(tmp_path / "source")
    archive = tmp_path / "source/TWIST-tiny.zip"
    with zipfile.ZipFile(archive) as whole:
        config = json.loads(whole.read("TWIST-tiny/config.json"))
    del config["offset"]
    with zipfile.ZipFile(archive, "w") as changed:
        changed.writestr("TWIST-tiny/config.json", json.dumps(config))
    with pytest.raises(InputError, match=rf"{archive}/config\.json: offset is None; a model of TWIST has a number"):
        imported("twist", tmp_path / "source", tmp_path / "out")
    with zipfile.ZipFile(archive, "w") as changed:
        changed.writestr("TWIST-tiny/weights.bin", b"")
    with pytest.raises(InputError, match=rf"{archive}/config\.json: no such file"):
        imported("twist", tmp_path / "source", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    gslm(tmp_path / "source")
    archive = tmp_path / "source/tiny_lm.tgz"
    whole = archive.read_bytes()
    place = len(whole) // 4
    overwritten = whole[:place] + b"\xff" * 64 + whole[place + 64 :]
    for damaged in (whole[:place], overwritten, b"no archive"):
        archive.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"{archive}: cannot be unpacked"):
            imported("gslm", tmp_path / "source", tmp_path / "out")


def test_a_projection_that_is_not_the_embeddings_is_not_dropped(tmp_path: Path) -> None:
    slm(tmp_path / "source")
    weights = tmp_path / "source/model.safetensors"
    state = load_file(weights)
    save_file({**state, "output.weight": state["tok_embeddings.weight"].clone()}, weights)
    imported("slm", tmp_path / "source", tmp_path / "model")
    save_file({**state, "output.weight": state["tok_embeddings.weight"] + 1}, weights)
    with pytest.raises(InputError, match=r"lm_head\.weight differs from model\.embed_tokens\.weight"):
        imported("slm", tmp_path / "source", tmp_path / "other")


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    sims(tmp_path / "source")
    (tmp_path / "source/tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=rf"{tmp_path}/source: cannot be read as a transformers tokenizer"):
        imported("sims", tmp_path / "source", tmp_path / "out")


def test_a_recipe_imports_gslm_from_its_archive(tmp_path: Path) -> None:
    published = WRITERS["gslm"][1](tmp_path / "weights")
    splits = {"train": {"stories": 4}, "test": {"stories": 4}}
    mel = {"kind": "logmel", "clusters": published.units, "fit": {"corpora": ["stories/train"]}}
    theirs = {"adapter": "gslm", "weights": "gslm_km100", "encoder": "mel"}
    recipe = Recipe.model_validate(
        {
            "recipe": "theirs",
            "corpora": {"stories": {"kind": "stories", "splits": splits}},
            "encoders": {"mel": mel},
            "models": {"asset": theirs, "folder": {**theirs, "weights": str(tmp_path / "weights")}},
        }
    )
    jobs = SystemJobs(recipe, Sources(load_assets(ROOT / "recipes/assets.yaml", {}), ROOT), Results(recipe))
    asset, folder = (SimpleNamespace(model=name) for name in ("asset", "folder"))
    assert jobs.weights(asset) == ["<resources>/assets/gslm_km100/hubert100_lm.tgz"]
    fetched = SimpleNamespace(source="elsewhere/assets/gslm_km100/hubert100_lm.tgz")
    assert jobs.folder(asset, fetched) == "elsewhere/assets/gslm_km100"
    assert jobs.kinds(folder) == ["slamflow.adapters.gslm"]

    source = jobs.folder(folder, SimpleNamespace(source=jobs.weights(folder)))
    assert source == str(tmp_path / "weights")
    files.write_json(tmp_path / "codebook.json", {"clusters": published.units, "sha256": "0" * 64})
    flags = ("--settings", jobs.import_model(folder), "--codebook", str(tmp_path / "codebook.json"))
    model = imported(jobs.adapter(folder), Path(source), tmp_path / "model", *flags)
    record, _ = read_speech(model)
    assert (record["model"], record["encoder"]) == ("folder", "mel")
    some = sequences(published.units)
    expected = [published.mean_nll(units.tolist()) for units in some]
    np.testing.assert_allclose(mean_nll(LanguageModelScorer.load(model), some), expected, atol=1e-4)
