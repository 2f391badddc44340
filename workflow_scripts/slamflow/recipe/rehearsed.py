"""A recipe made tiny, so that a rehearsal runs every part of it in minutes."""

from __future__ import annotations

from typing import Any

from slamflow.assets.asset import Asset
from slamflow.recipe.recipe import Recipe
from slamflow.recipe.rehearsal import Rehearsal

BEGINNING = "_beginning"
"""Ends the name of an asset of which only the beginning is fetched, so that it never stands for the whole one."""
TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def rehearsed(recipe: Recipe, assets: dict[str, Asset]) -> tuple[Recipe, dict[str, Asset]]:
    """The recipe and the assets in the sizes of its `rehearsal`; as they are in a recipe without one.

    Corpora, encoders, models and benchmarks keep their names and kinds: the same jobs run, on less.
    """
    sizes = recipe.rehearsal
    if sizes is None:
        return recipe, assets
    values = recipe.model_dump()
    beginnings: dict[str, Asset] = {}
    for corpus in values["corpora"].values():
        for split in corpus["splits"].values():
            cap(split, shards=sizes.shards, stories=sizes.stories, pairs=sizes.pairs, recordings=sizes.recordings)
        widen(list(corpus["splits"].values()))
        for split in corpus["splits"].values():
            if "archives" in split:
                split["archives"] = [beginning(archive, sizes, assets, beginnings) for archive in split["archives"]]
    for encoder in values["encoders"].values():
        if encoder.get("fit") is not None:
            cap(encoder, clusters=sizes.clusters)
    for name in recipe.trained:
        shorten(values["models"][name], values["datasets"], sizes)
    for vocoder in values["vocoders"].values():
        cap(vocoder, eval_utterances=sizes.prompts)
        if vocoder.get("training") is not None:
            cap(vocoder["training"], steps=sizes.steps)
    if values["generation"] is not None:
        cap(values["generation"]["sampling"], prompts=sizes.prompts, max_new_tokens=sizes.new_tokens)
    return Recipe.model_validate(values), {**assets, **beginnings}


def widen(splits: list[dict[str, Any]]) -> None:
    """Give the shares of a corpus like sizes, in the same order: one percent of a few recordings would be none."""
    shares = [split["percent"] for split in splits if "percent" in split]
    bounds = sorted({0, 100, *(bound for share in shares for bound in share)})
    for share in shares:
        share[:] = [round(100 * bounds.index(bound) / (len(bounds) - 1)) for bound in share]


def cap(section: dict[str, Any], **limits: float) -> None:
    """Lower the keys of `section` that are above a limit; null stands for no limit."""
    for key, limit in limits.items():
        if key in section:
            section[key] = limit if section[key] is None else min(section[key], limit)


def shorten(model: dict[str, Any], datasets: dict[str, Any], sizes: Rehearsal) -> None:
    """Make the training of a model short: a few steps, or a few seconds where its length is said in hours."""
    every = max(1, sizes.steps // 2)
    cap(model, validate_every=every, save_every=every)
    timed = model.get("hours") is not None
    if timed:
        cap(model, hours=sizes.hours)
    cap(model, pairs_per_step=sizes.batch_rows)
    if model["data"] is not None:
        cap(model, batch_tokens=sizes.batch_rows * datasets[model["data"]]["context"])
        cap(model, **({} if timed else {"tokens": sizes.steps * model["batch_tokens"]}))
    elif not timed:
        cap(model, epochs=1, steps=sizes.steps)


def beginning(archive: str, sizes: Rehearsal, assets: dict[str, Asset], beginnings: dict[str, Asset]) -> str:
    """The reference to the beginning of a long archive on a web server, added to `beginnings`; others as they are."""
    name, _, file = archive.removeprefix("asset:").partition("/")
    if not archive.startswith("asset:") or not file.endswith(TAR) or file not in assets[name].files:
        return archive
    whole = assets[name].files[file]
    short = whole.bytes is not None and whole.bytes <= sizes.archive_bytes
    if short or not all(source.startswith(("https://", "http://")) for source in whole.sources):
        return archive
    asset = assets[name]
    known = beginnings.get(name + BEGINNING)
    part = whole.model_copy(update={"first_bytes": sizes.archive_bytes})
    files = {**(known.files if known else {}), file: part}
    beginnings[name + BEGINNING] = asset.model_copy(update={"files": files, "convert": None})
    return f"asset:{name}{BEGINNING}/{file}"
