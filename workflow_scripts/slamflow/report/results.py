"""The page's tables of results: scores, phenomena, differences, figures of continuations."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from slamflow.benchmarks import BENCHMARKS
from slamflow.recipe.recipe import Recipe
from slamflow.report import charts
from slamflow.report.generation import DIFFERENT_PROMPTS, about_prompts, current, prompt_lists
from slamflow.report.table import MEANS, reasons
from slamflow.scorers import BASELINES

Summary = dict[str, Any]

REFERENCES = {"truth": "the utterance's own rest", "shuffled": "the same units, shuffled"}
"""What continuations are compared with."""


def speech_models(recipe: Recipe) -> list[str]:
    """The models of units, in the recipe's order."""
    return [name for name in recipe.models if recipe.encoder_of(name) in recipe.encoders]


def rows_of(recipe: Recipe) -> list[str]:
    """What has a row of scores: models of units in the recipe's order, then baselines."""
    return [*speech_models(recipe), *BASELINES.names()]


def remark(model: str) -> str | None:
    """What a baseline or a reference of the continuations knows; None for a model."""
    if model in BASELINES.names():
        return str(BASELINES.settings(model).about)
    return REFERENCES.get(model)


def color(recipe: Recipe, model: str) -> int:
    """The color of a model, the same all over the page; all others have the last."""
    names = speech_models(recipe)
    return names.index(model) % (charts.COLORS - 1) if model in names else charts.COLORS - 1


def headline(summary: Summary, recipe: Recipe) -> dict[str, Any]:
    """The model to name first, the last aligned one or else the best, and its test scores."""
    tests = [score for score in summary["benchmarks"] if score["split"] == "test"]
    own = {
        name: [score for score in tests if score["model"] == name and score["benchmark"] in recipe.benchmarks]
        for name in speech_models(recipe)
    }
    own = {name: scores for name, scores in own.items() if scores}
    if not own:
        return {"model": None, "scores": []}
    aligned = [name for name in own if recipe.models[name].is_aligned]
    model = aligned[-1] if aligned else max(own, key=lambda name: sum(score["accuracy"] for score in own[name]))
    return {"model": model, "scores": own[model]}


def voice_note(recipe: Recipe, benchmark: str) -> str:
    """Which voices a benchmark speaks in, and whether the models were trained on them; empty for recorded speech."""
    settings = recipe.benchmarks[benchmark]
    own = set(recipe.corpora[settings.corpus].voices())
    trained = {
        voice
        for dataset in recipe.datasets.values()
        if dataset.encoder == settings.encoder
        for reference in dataset.trained_on
        for voice in recipe.corpora[reference.partition("/")[0]].voices()
    }
    if not own or not trained:
        return ""
    return "voices of the training" if own <= trained else "voices not trained on"


def score_tables(summary: Summary, recipe: Recipe, split: str) -> list[dict[str, Any]]:
    """A table for each kind of benchmark: models down, benchmarks (the same in other voices) across."""
    scores = {(score["benchmark"], score["model"]): score for score in summary["benchmarks"] if score["split"] == split}
    scored = {benchmark for benchmark, _ in scores}
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, benchmark in recipe.benchmarks.items():
        if name in scored:
            by_kind[benchmark.kind].append(name)
    return [
        {
            "kind": kind,
            "question": BENCHMARKS.settings(kind).question,
            "columns": [
                {"benchmark": name, "note": voice_note(recipe, name), "solved": solved_by(summary, name, split)}
                for name in names
            ],
            "rows": [
                {
                    "model": model,
                    "remark": remark(model),
                    "cells": [score_cell(scores.get((name, model)), recipe) for name in names],
                }
                for model in rows_of(recipe)
                if any((name, model) in scores for name in names)
            ],
        }
        for kind, names in by_kind.items()
    ]


def solved_by(summary: Summary, benchmark: str, split: str) -> list[dict[str, Any]]:
    """The trivial baselines that solve one split of a benchmark."""
    return [one for one in summary["audit"] if (one["benchmark"], one["split"]) == (benchmark, split)]


def aggregation_tables(summary: Summary, recipe: Recipe, split: str) -> list[dict[str, Any]]:
    """For each benchmark with phenomena: models down, ways of taking the mean across."""
    tables = []
    for name in recipe.benchmarks:
        rows = [
            {"model": score["model"], "cells": [score["aggregations"][key] for key in MEANS]}
            for model in rows_of(recipe)
            for score in summary["benchmarks"]
            if (score["benchmark"], score["split"], score["model"]) == (name, split, model) and score["phenomena"]
        ]
        if rows:
            tables.append({"benchmark": name, "means": list(MEANS.values()), "rows": rows})
    return tables


def score_cell(score: dict[str, Any] | None, recipe: Recipe) -> dict[str, Any] | None:
    """A score with its picture."""
    if score is None:
        return None
    bar = charts.interval_bar(score["accuracy"], score["ci95"], 0, 1, score["chance"], color(recipe, score["model"]))
    return {**score, "bar": bar, "missing": sum(score["left_out"].values()), "reasons": reasons(score["left_out"])}


def phenomenon_tables(summary: Summary, recipe: Recipe, split: str) -> list[dict[str, Any]]:
    """For each benchmark with phenomena: phenomena down, models across."""
    tables = []
    for name in recipe.benchmarks:
        scores = [
            score
            for model in rows_of(recipe)
            for score in summary["benchmarks"]
            if (score["benchmark"], score["split"], score["model"]) == (name, split, model) and score["phenomena"]
        ]
        if scores:
            rows = [
                {"name": key, "n": count["n"], "cells": [score["phenomena"].get(key) for score in scores]}
                for key, count in scores[0]["phenomena"].items()
            ]
            tables.append({"benchmark": name, "models": [score["model"] for score in scores], "rows": rows})
    return tables


def difference_table(summary: Summary, recipe: Recipe, split: str) -> dict[str, Any] | None:
    """Paired differences: pairs of models down, those of alignment first, benchmarks across; None without."""
    gains = {
        (gain["model"], gain["against"], gain["benchmark"]): {**gain, "verdict": verdict(gain["ci95"])}
        for gain in summary["differences"]
        if gain["split"] == split
    }
    known = {benchmark for _, _, benchmark in gains}
    own = [name for name in recipe.benchmarks if name in known]
    benchmarks = own + sorted(known - set(own))
    rows = []
    for model, against in dict.fromkeys((model, against) for model, against, _ in gains):
        settings = recipe.trained.get(model)
        row = {
            "model": model,
            "against": against,
            "alignment": settings is not None and settings.is_aligned and settings.init == against,
            "baseline": against in BASELINES.names(),
            "cells": [gains.get((model, against, name)) for name in benchmarks],
        }
        rows.append(row)
    rows.sort(key=lambda row: not row["alignment"])
    return {"benchmarks": benchmarks, "rows": rows} if rows else None


def verdict(bounds: list[float]) -> str:
    """Where zero lies to an interval of a difference."""
    return "better" if bounds[0] > 0 else "worse" if bounds[1] < 0 else "open"


def generation_rows(summary: Summary, recipe: Recipe) -> list[dict[str, Any]]:
    """Scores of continuations, GenPPL on a logarithmic scale that reaches over all of them."""
    records = [current(record) for record in summary["generation"]]
    known = [value for record in records for value in record["gen_ppl_ci95"] or []]
    low, high = (math.log(min(known)), math.log(max(known))) if known else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.1
    rows = []
    for record in records:
        bar = None
        if record["gen_ppl"] is not None:
            bounds = [math.log(value) for value in record["gen_ppl_ci95"]]
            bar = charts.interval_bar(
                math.log(record["gen_ppl"]), bounds, low - margin, high + margin, None, color(recipe, record["model"])
            )
        rows.append({**record, "bar": bar, "remark": remark(record["model"])})
    return rows


def generation_prompts(rows: list[dict[str, Any]]) -> str:
    """Which prompts were continued, in a sentence; empty for figures that do not say."""
    lists = prompt_lists(rows)
    if len(lists) > 1:
        return DIFFERENT_PROMPTS
    return f"Prompts: {about_prompts(lists[0])}." if lists else ""
