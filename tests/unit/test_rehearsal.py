"""A rehearsal is the recipe in small: the same parts, nothing larger, nothing written where a run writes."""

from __future__ import annotations

import copy
import io
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest
from snakemake.utils import update_config

from by_hand import put_in_place
from slamflow.assets import http
from slamflow.assets.asset import AssetFile
from slamflow.assets.beginning import keep_whole_members
from slamflow.assets.fetch import fetch
from slamflow.assets.transfer import SourceError
from slamflow.errors import InputError
from slamflow.jobs.workflow import Jobs
from slamflow.recipe.loading import load_assets, load_recipe
from slamflow.recipe.recipe import Recipe
from slamflow.recipe.rehearsed import rehearsed
from slamflow.strict_yaml import load_yaml
from stand_in.server import StandIn, start
from stand_in.speech import tar

ROOT = Path(__file__).parents[2]
RECIPES = [ROOT / "config.yaml", *sorted(p for p in ROOT.glob("recipes/*.yaml") if "recipe" in load_yaml(p))]
ARCHIVE = {
    "kind": "archive",
    "splits": {
        "train": {"archives": ["asset:talk/long.tar", "asset:talk/short.tar"], "percent": [0, 98], "shards": 50},
        "validation": {"archives": ["asset:talk/long.tar", "asset:talk/short.tar"], "percent": [98, 100]},
    },
}
FILE = {"sources": ["https://host/long.tar"], "sha256": "0" * 64}
TALK = {
    "licence": "none",
    "citation": "none",
    "files": {"long.tar": {**FILE, "bytes": 10**12}, "short.tar": {**FILE, "bytes": 1000}},
}


def merged(*configs: dict[str, Any]) -> dict[str, Any]:
    """Configurations laid over each other, as snakemake does it."""
    result: dict[str, Any] = {}
    for config in configs:
        update_config(result, copy.deepcopy(config))
    return result


def both(*configs: dict[str, Any]) -> tuple[Recipe, Recipe, dict[str, Any]]:
    """A recipe, its rehearsal, and the assets of that."""
    config = merged(*configs)
    whole = load_recipe(config, [])
    recipe = load_recipe(merged({"rehearsal": {}}, config), [])
    return whole, *rehearsed(recipe, load_assets(ROOT / "recipes/assets.yaml", recipe.assets))


def numbers(value: Any, key: str = "") -> dict[str, float]:
    """Every number of a configuration by its dotted key."""
    if isinstance(value, dict):
        return {name: n for part in value for name, n in numbers(value[part], f"{key}.{part}").items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {key: value}
    return {}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_nothing_is_larger_and_all_parts_are_there(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(load_yaml(path), tmp_path)
    monkeypatch.chdir(tmp_path)
    whole, small, assets = both(load_yaml(path))
    before, after = (recipe.model_dump(exclude={"rehearsal"}) for recipe in (whole, small))
    for key, value in numbers(after).items():
        assert value <= numbers(before).get(key, value), key
    for section in ("corpora", "encoders", "datasets", "models", "benchmarks", "preferences", "vocoders"):
        assert list(after[section]) == list(before[section])
    for corpus in after["corpora"].values():
        assert all(split.get("shards", 1) <= 2 for split in corpus["splits"].values())
    for name, model in after["models"].items():
        if "pairs" in model:
            assert model["pairs_per_step"] <= 2
        elif "adapter" not in model and model.get("hours") is None:
            assert model["tokens"] <= 6 * model["batch_tokens"], name
    Jobs(small, assets, ROOT / "workflow_scripts")


def test_a_recipe_without_rehearsal_stays_as_it_is() -> None:
    recipe = load_recipe(load_yaml(ROOT / "config.yaml"), [])
    assets = load_assets(ROOT / "recipes/assets.yaml", {})
    assert rehearsed(recipe, assets) == (recipe, assets)


def test_the_shipped_overlay_is_one() -> None:
    config = merged(load_yaml(ROOT / "config.yaml"), load_yaml(ROOT / "recipes/rehearsal.yaml"))
    assert load_recipe(config, []).rehearsal is not None
    with pytest.raises(InputError, match=r"rehearsal.step: unknown key"):
        load_recipe(merged(config, {"rehearsal": {"step": 3}}), [])


def test_long_archives_are_begun_under_another_name() -> None:
    extra = {"corpora": {"talk": ARCHIVE}, "assets": {"talk": TALK}}
    _, small, assets = both(load_yaml(ROOT / "config.yaml"), extra)
    splits = small.corpora["talk"].splits
    assert splits["train"].archives == ["asset:talk_beginning/long.tar", "asset:talk/short.tar"]
    assert splits["train"].percent == [0, 50]
    assert splits["validation"].percent == [50, 100]
    assert assets["talk_beginning"].files["long.tar"].first_bytes == small.rehearsal.archive_bytes
    assert assets["talk"].files["long.tar"].first_bytes is None


# The beginning of an archive


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_the_whole_members_of_a_beginning(tmp_path: Path, name: str) -> None:
    members = {f"folder/{index}.bin": random.Random(index).randbytes(40_000) for index in range(60)}
    content = tar(name, members)
    (tmp_path / "cut").write_bytes(content[: len(content) // 2 + 5000])
    count = keep_whole_members(tmp_path / "cut", tmp_path / name)
    with tarfile.open(tmp_path / name) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert len(found) == count
    assert found == dict(list(members.items())[:count])
    # bzip2 gives a block of 900 kB or nothing of it.
    assert count >= (20 if name.endswith("bz2") else 29)
    assert (tmp_path / name).read_bytes()[:2] == content[:2]


def test_less_than_one_member_says_so(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(tar("a.tar", {"a": bytes(5000)})[:2000])
    with pytest.raises(SourceError, match="archive_bytes"):
        keep_whole_members(tmp_path / "cut", tmp_path / "out")


@pytest.mark.parametrize(("ranges", "lengths"), [(True, True), (False, True), (False, False)])
def test_only_the_beginning_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges: bool, lengths: bool
) -> None:
    monkeypatch.setattr(http, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    content = tar("a.tar", {f"{index}.bin": bytes([index]) * 100_000 for index in range(20)})
    state = StandIn(files={"/a.tar": content}, ranges=ranges, lengths=lengths, hang_up_after={"/a.tar": [300_000]})
    server = start(state)
    file = AssetFile(sources=[f"{state.url}/a.tar"], sha256="0" * 64, first_bytes=650_000)
    fetch(file, "talk/a.tar", tmp_path / "assets/a.tar", tmp_path / "downloads")
    server.shutdown()
    server.server_close()
    with tarfile.open(tmp_path / "assets/a.tar") as archive:
        assert archive.getnames() == [f"{index}.bin" for index in range(6)]
    asked = [headers.get("Range") for headers in state.asked("/a.tar")]
    assert asked == ["bytes=0-649999", "bytes=300000-649999"]
    assert not list((tmp_path / "downloads/http").glob("*.part"))


def test_a_file_shorter_than_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = StandIn(files={"/a.tar": tar("a.tar", {"a": bytes(5000)})})
    server = start(state)
    file = AssetFile(sources=[f"{state.url}/a.tar"], sha256="0" * 64, first_bytes=10**6)
    fetch(file, "talk/a.tar", tmp_path / "assets/a.tar", tmp_path / "downloads")
    server.shutdown()
    server.server_close()
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "assets/a.tar").read_bytes())) as archive:
        assert archive.getnames() == ["a"]
