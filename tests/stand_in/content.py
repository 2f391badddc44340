"""What a recipe takes from outside, in small: every download that its rehearsal asks for, made from seeds."""

from __future__ import annotations

import copy
import hashlib
import re
from pathlib import Path
from typing import Any

from snakemake.utils import update_config

from slamflow.assets.asset import AssetFile
from slamflow.jobs.sources import Sources
from slamflow.recipe.loading import load_assets, load_recipe
from slamflow.recipe.recipe import Recipe
from slamflow.recipe.report import asset_uses
from slamflow.strict_yaml import load_yaml
from stand_in import models, speech

ROOT = Path(__file__).parents[2]
RECORDINGS = 24
"""Recordings of an archive or a Parquet file."""
TABLES = 2
"""Parquet files for a pattern of names."""
COMMIT = "5" * 40
"""Commit of datasets that a recipe does not pin."""
HUB = re.compile(r"hf://(?P<repo>(?:datasets/)?[^/]+/[^@]+)@(?P<commit>[^/]+)/(?P<path>.+)")
WHISPER = "whisper_tiny_en"
LOCAL = ("pypi://", "npm://", "file://")
"""Sources that a package index or the disk serves: these assets stay real."""


def whole(path: Path) -> Recipe:
    """The recipe in a file, laid over the pocket recipe if it is not a whole one."""
    config = load_yaml(path)
    if "recipe" not in config:
        under = load_yaml(ROOT / "config.yaml")
        update_config(under, config)
        config = under
    return load_recipe(copy.deepcopy(config), [])


class Content:
    """Files by the path that a server gives them, and the assets that point there."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.assets: dict[str, dict[str, Any]] = {}
        self.folders: dict[str, dict[str, bytes]] = {}
        """What a user has to put into place by hand: files by folder of the working folder and name."""

    def add(self, recipe: Recipe) -> None:
        """Add what one recipe takes. Raises KeyError that names a source for which nothing stands."""
        table = load_assets(ROOT / "recipes/assets.yaml", recipe.assets)
        single = set(re.findall(r"asset:(\w+/[\w.-]+)", recipe.model_dump_json()))
        for name in asset_uses(recipe, table):
            if name == _recognizer(recipe):
                continue
            asset = table[name]
            if all(source.startswith(LOCAL) for file in asset.files.values() for source in file.sources):
                continue
            # Of a list of codebooks or archives only those that are named; of a model all.
            chosen = [file for file in asset.files if f"{name}/{file}" in single] or list(asset.files)
            known = self.assets.setdefault(name, {**asset.model_dump(exclude_defaults=True), "files": {}})
            for file in chosen:
                if file not in known["files"]:
                    known["files"][file] = self.stand_in(name, file, asset.files[file], recipe)
        for corpus in recipe.corpora.values():
            if corpus.is_downloaded:
                self.add_dataset(corpus)
            elif corpus.holds == "pairs" and getattr(corpus, "path", None):
                self.folders[corpus.path] = speech.pair_folder(RECORDINGS)

    def stand_in(self, name: str, file: str, settings: AssetFile, recipe: Recipe) -> dict[str, Any]:
        """A file of an asset with this content in place of its own, which is put where it is served."""
        content = self.content_of(name, file, settings, recipe)
        if match := HUB.fullmatch(settings.sources[0]):
            self.files[f"/{match['repo']}/resolve/{match['commit']}/{match['path']}"] = content
            sources = settings.sources[:1]
        else:
            self.files[f"/files/{name}/{file}"] = content
            sources = [f"/files/{name}/{file}"]
        replaced = {key: None for key in settings.model_dump(exclude_defaults=True) if key != "sources"}
        return {**replaced, "sources": sources, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    def content_of(self, name: str, file: str, settings: AssetFile, recipe: Recipe) -> bytes:
        """What stands for one file."""
        reference = f"asset:{name}/{file}"
        sources = Sources(load_assets(ROOT / "recipes/assets.yaml", recipe.assets), checkout=ROOT)
        place = sources.file(reference)
        for corpus in (corpus for corpus in recipe.corpora.values() if corpus.holds == "recordings"):
            for name_of_split, split in corpus.splits.items():
                if place[0] in corpus.source_files(name_of_split, sources):
                    return speech.archive(file, corpus, split, RECORDINGS)
        for encoder in recipe.encoders.values():
            layer = getattr(encoder, "layer", None)
            if encoder.codebook_file(sources) == place and layer is not None:
                return models.hubert_kmeans(8 if encoder.tick_hz == 25 else 7, encoder.clusters, layer)
        if name in {system.weights for system in recipe.systems.values()}:
            return models.model_file(settings.sources[0], file)
        if file.endswith(".parquet"):
            return speech.parquet([{"text": story["text"]} for story in speech.stories(400)])
        if file.endswith(".csv"):
            return speech.swag(60)
        if file.endswith((".tar", ".tar.gz", ".tgz")):
            return speech.tar(file, speech.librispeech(file, RECORDINGS))
        try:
            return models.model_file(settings.sources[0], file)
        except KeyError:
            raise KeyError(f"nothing in tests/stand_in stands for {reference} ({settings.sources[0]})") from None

    def add_dataset(self, corpus: Any) -> None:
        """Put the Parquet files of a dataset of the hub where they are served."""
        commit = corpus.revision if re.fullmatch("[0-9a-f]{40}", corpus.revision) else COMMIT
        if corpus.holds == "pairs":
            make, patterns = speech.spoken_pairs, corpus.files
        elif corpus.holds == "preferences":
            make, patterns = speech.spoken_preferences, corpus.files
        else:
            make, patterns = speech.hub_audio, [pattern for split in corpus.splits.values() for pattern in split.files]
        columns = corpus.columns.model_dump()
        for pattern in patterns:
            for part in range(TABLES):
                name = re.sub(r"\*+", f"{part:05d}-of-{TABLES:05d}", pattern)
                path = f"/datasets/{corpus.repo}/resolve/{commit}/{name}"
                self.files[path] = make(columns, part, RECORDINGS)

    def overlay(self, recipe: Recipe, url: str) -> dict[str, Any]:
        """A configuration to lay over a recipe: its assets as the server at `url` has them, its own models tiny."""
        assets = copy.deepcopy(self.assets)
        for asset in assets.values():
            for file in asset["files"].values():
                file["sources"] = [f"{url}{source}" if source.startswith("/") else source for source in file["sources"]]
        architectures = {name: getattr(model, "architecture", None) for name, model in recipe.models.items()}
        own = {
            name: {"architecture": {key: size for key, size in models.TINY.items() if key in architecture}}
            for name, architecture in architectures.items()
            if architecture is not None
        }
        heard = {"generation": {"recognizer": WHISPER}} if _recognizer(recipe) else {}
        return {"assets": assets, "models": own, "rehearsal": {"archive_bytes": 1 << 20}, **heard}


def _recognizer(recipe: Recipe) -> str | None:
    """The Whisper that transcribes continuations, if it is not the one that stays real, which then stands for it."""
    name = recipe.generation.recognizer if recipe.generation else WHISPER
    return None if name == WHISPER else name
