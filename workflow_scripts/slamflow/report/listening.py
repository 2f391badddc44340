"""What there is to listen to on the page: continuations of prompts, and speech after units and vocoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from slamflow import files
from slamflow.audio import SAMPLE_RATE, decode
from slamflow.recipe.recipe import REFERENCE_CONTINUATIONS, Recipe
from slamflow.report.results import remark
from slamflow.report.sound import mel_picture, player
from slamflow.shards.continuations import read_continuations
from slamflow.shards.parquet import open_parquet

PROMPTS = 5
RESYNTHESES = 4
MODELS = 4
LONGEST_PLAYER = 15.0
"""Seconds."""
TRUTH, SHUFFLED = REFERENCE_CONTINUATIONS


class Budget:
    """Counts what is put into a page, and says when it is full."""

    def __init__(self, total: int) -> None:
        self.left = total

    def take(self, *texts: str | None) -> bool:
        """Whether these fit; if so they are counted."""
        size = sum(len(text or "") for text in texts)
        if size > self.left:
            return False
        self.left -= size
        return True


def chosen_models(recipe: Recipe, names: Iterable[str]) -> list[str]:
    """Whom to listen to: the truth, each model before and after alignment, and the shuffled truth."""
    known = list(names)
    models = [name for name in recipe.models if name in known]
    aligned = [name for name in models if recipe.models[name].is_aligned]
    chosen = [model for name in aligned for model in (recipe.trained[name].init, name) if model in models]
    chosen = list(dict.fromkeys(chosen or models))[:MODELS]
    return [name for name in (TRUTH, *chosen, SHUFFLED) if name in known]


def stories(
    recipe: Recipe, continuations: Iterable[Path], transcripts: Mapping[str, Path], budget: Budget
) -> list[dict[str, Any]]:
    """The first prompts that all models continued, with players and Whisper's transcripts."""
    paths = {read_continuations(path, ["id"])[0]: path for path in continuations}
    names = chosen_models(recipe, paths)
    if not names:
        return []
    columns = ["id", "text", "ended", "prompt_seconds", "audio"]
    ids = {name: [row["id"] for row in read_continuations(paths[name], ["id"])[1]] for name in names}
    shared = [item for item in ids[names[0]] if all(item in ids[name] for name in names)][:PROMPTS]
    rows = {
        name: {row["id"]: row for row in read_continuations(paths[name], columns)[1] if row["id"] in shared}
        for name in names
    }
    said = {
        name: {row["id"]: row["transcript"] for row in files.read_jsonl(transcripts[name])}
        for name in names
        if name in transcripts
    }
    result = []
    for item in shared:
        first = rows[names[0]][item]
        prompt = player(decode(first["audio"])[: round(first["prompt_seconds"] * SAMPLE_RATE)])
        takes = [take(recipe, name, rows[name][item], said.get(name, {}).get(item)) for name in names]
        if not budget.take(prompt, *(one["player"] for one in takes)):
            break
        result.append({"id": item, "text": first["text"], "prompt": prompt, "takes": takes})
    return result


def take(recipe: Recipe, name: str, row: dict[str, Any], transcript: str | None) -> dict[str, Any]:
    """One continuation, without its prompt."""
    wave = decode(row["audio"])[round(row["prompt_seconds"] * SAMPLE_RATE) :]
    return {
        "model": name,
        "remark": remark(name),
        "aligned": name in recipe.models and recipe.models[name].is_aligned,
        "ended": row["ended"],
        "player": player(wave[: round(LONGEST_PLAYER * SAMPLE_RATE)]) if len(wave) else None,
        "transcript": transcript,
    }


def resyntheses(encoder: str | None, examples: Mapping[str, Path], budget: Budget) -> list[dict[str, Any]]:
    """Held-out utterances before and after units and vocoder of an encoder, the first with pictures of spectra."""
    if encoder is None or encoder not in examples:
        return []
    kinds = ("original", "resynthesis")
    columns = ["id", "speaker", "text", *kinds, *(f"transcript_{kind}" for kind in kinds)]
    with open_parquet(examples[encoder], columns, "file of resyntheses") as file:
        rows = file.read(columns).to_pylist()[:RESYNTHESES]
    result: list[dict[str, Any]] = []
    for row in rows:
        sounds = []
        for kind in kinds:
            wave = decode(row[kind])[: round(LONGEST_PLAYER * SAMPLE_RATE)]
            picture = mel_picture(wave) if not result else None
            sounds.append(
                {"kind": kind, "player": player(wave), "picture": picture, "transcript": row[f"transcript_{kind}"]}
            )
        if not budget.take(*(sound[key] for sound in sounds for key in ("player", "picture"))):
            break
        result.append({**{key: row[key] for key in ("id", "speaker", "text")}, "sounds": sounds})
    return result
