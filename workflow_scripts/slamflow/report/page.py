"""The page of a run: one HTML file with everything inside. Whatever comes from data is escaped by the template."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from slamflow import files
from slamflow.audio import SAMPLE_RATE, decode
from slamflow.errors import InputError
from slamflow.evaluation.table import duration, interval, number, points
from slamflow.report import charts, licences
from slamflow.report.sound import mel_picture, player
from slamflow.report.stages import stage_picture
from slamflow.report.units import LONGEST, read_units, usage
from slamflow.settings.recipe import RESERVED_MODELS
from slamflow.settings.report import RenderReport

TEMPLATE = "page.html.j2"
SOUND_BYTES = 2_200_000
"""Text of players and pictures that a page holds at most; what would go beyond is left out."""
PROMPTS = 5
RESYNTHESES = 4
LISTENED_MODELS = 4
LONGEST_PLAYER = 15.0
"""Seconds."""
SMOOTHED = 15
"""Curves of preference training show the mean of so many steps."""

KINDS = {
    "tstorycloze": "Which of two endings belongs to the story? The wrong one ends another story, in the same voice.",
    "sstorycloze": "Which of two endings belongs to the story? The wrong one differs in a detail that contradicts it.",
    "sblimp": "Which of two sentences is grammatical? They differ in one place.",
    "swuggy": "Which of two is a word? The other is a pseudo-word that sounds like one.",
}
TRIVIAL = {
    "unigram": "how often units occur",
    "5gram": "the four units before",
    "length": "the shorter one",
    "truth": "the story's own rest",
    "shuffled": "the same units in disorder",
}


@dataclass(frozen=True)
class Sources:
    """The files that a page is made of."""

    summary: Path
    metrics: list[Path] = field(default_factory=list)
    units: list[Path] = field(default_factory=list)
    examples: list[Path] = field(default_factory=list)
    continuations: list[Path] = field(default_factory=list)
    transcripts: list[Path] = field(default_factory=list)


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


def render(settings: RenderReport, sources: Sources) -> str:
    """The page. Parts whose files are not there are left out."""
    summary = files.read_json(sources.summary)
    recipe = settings.recipe.model_dump(mode="json")
    budget = Budget(SOUND_BYTES)
    used = licences.sources(recipe, settings.assets, vocoder=summary["vocoder"] is not None)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(points=points, interval=interval, number=number, duration=duration)
    return environment.get_template(TEMPLATE).render(
        summary=summary,
        recipe=recipe,
        config=yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100),
        encoders=describe_encoders(recipe),
        headline=headline(summary, recipe),
        scores={part: score_tables(summary, recipe, part) for part in ("test", "dev")},
        phenomena={part: phenomenon_tables(summary, recipe, part) for part in ("test", "dev")},
        differences={part: difference_table(summary, recipe, part) for part in ("test", "dev")},
        curves=curves(recipe, sources.metrics),
        preference_curves=preference_curves(recipe, sources.metrics),
        units=unit_statistics(summary, sources.units),
        generation=generation_rows(summary, recipe),
        stories=stories(recipe, sources, budget),
        resyntheses=resyntheses(summary, sources.examples, budget),
        prompt_seconds=((recipe.get("generation") or {}).get("sampling") or {}).get("prompt_seconds"),
        stage_picture=stage_picture(summary["stages"]),
        total_seconds=sum(stage["seconds"] for stage in summary["stages"]),
        used=used,
        consequences=licences.consequences(used),
    )


# Results


def describe_encoders(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """Each encoder, and whether it learnt from text."""
    return [{"name": name, **encoder} for name, encoder in recipe["encoders"].items()]


def speech_models(recipe: dict[str, Any]) -> list[str]:
    """The models of units, in the recipe's order."""
    return [name for name in recipe["models"] if encoder_of(recipe, name) != "text"]


def encoder_of(recipe: dict[str, Any], model: str) -> str | None:
    """The encoder whose units a model speaks, or `text`."""
    settings = recipe["models"].get(model)
    while settings is not None and "pairs" in settings:
        settings = recipe["models"].get(settings["init"])
    return recipe["datasets"][settings["data"]]["encoder"] if settings else None


def headline(summary: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """The model to name first, the last one trained on preferences or else the best, and its test scores."""
    tests = [score for score in summary["benchmarks"] if score["part"] == "test"]
    own = {
        name: [score for score in tests if score["model"] == name and score["benchmark"] in recipe["benchmarks"]]
        for name in speech_models(recipe)
    }
    own = {name: scores for name, scores in own.items() if scores}
    if not own:
        return {"model": None, "scores": []}
    preferred = [name for name in own if "pairs" in recipe["models"][name]]
    model = preferred[-1] if preferred else max(own, key=lambda name: sum(score["accuracy"] for score in own[name]))
    return {"model": model, "scores": own[model]}


def voices_of(recipe: dict[str, Any], corpus: str) -> set[str]:
    """The voices that a corpus of synthesised speech is spoken in; empty if it is recorded."""
    speech = recipe["corpora"][corpus].get("speech") or {}
    return {f"{speech.get('engine')} {voice}" for voice in speech.get("voices") or []}


def voice_note(recipe: dict[str, Any], benchmark: str) -> str:
    """Which voices a benchmark speaks in, and whether the models were trained on them."""
    settings = recipe["benchmarks"][benchmark]
    own = voices_of(recipe, settings["corpus"])
    trained = {
        voice
        for dataset in recipe["datasets"].values()
        if dataset["encoder"] == settings["encoder"]
        for reference in dataset["train"]
        for voice in voices_of(recipe, reference.partition("/")[0])
    }
    if not own or not trained:
        return ""
    return "voices of the training" if own <= trained else "voices not trained on"


def score_tables(summary: dict[str, Any], recipe: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """A table for each kind of benchmark: models down, benchmarks (the same in other voices) across."""
    scores = {(score["benchmark"], score["model"]): score for score in summary["benchmarks"] if score["part"] == part}
    scored = {benchmark for benchmark, _ in scores}
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, benchmark in recipe["benchmarks"].items():
        if name in scored:
            by_kind[benchmark["kind"]].append(name)
    tables = []
    for kind, names in by_kind.items():
        models = [
            model
            for model in (*speech_models(recipe), *RESERVED_MODELS)
            if any((name, model) in scores for name in names)
        ]
        tables.append(
            {
                "kind": kind,
                "about": KINDS.get(kind, ""),
                "columns": [{"benchmark": name, "note": voice_note(recipe, name)} for name in names],
                "rows": [
                    {
                        "model": model,
                        "trivial": TRIVIAL.get(model),
                        "cells": [score_cell(scores.get((name, model)), recipe) for name in names],
                    }
                    for model in models
                ],
            }
        )
    return tables


def score_cell(score: dict[str, Any] | None, recipe: dict[str, Any]) -> dict[str, Any] | None:
    """A score with its picture."""
    if score is None:
        return None
    bar = charts.interval_bar(score["accuracy"], score["ci95"], 0, 1, score["chance"], colour(recipe, score["model"]))
    return {**score, "bar": bar}


def colour(recipe: dict[str, Any], model: str) -> int:
    """The colour of a model, the same all over the page; trivial ones have the last."""
    names = speech_models(recipe)
    return names.index(model) % (charts.COLOURS - 1) if model in names else charts.COLOURS - 1


def phenomenon_tables(summary: dict[str, Any], recipe: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """For each benchmark with phenomena: phenomena down, models across."""
    tables = []
    for name in recipe["benchmarks"]:
        scores = [
            score
            for model in (*speech_models(recipe), *RESERVED_MODELS)
            for score in summary["benchmarks"]
            if (score["benchmark"], score["part"], score["model"]) == (name, part, model) and score["phenomena"]
        ]
        if scores:
            rows = [
                {"name": key, "n": count["n"], "cells": [score["phenomena"].get(key) for score in scores]}
                for key, count in scores[0]["phenomena"].items()
            ]
            tables.append({"benchmark": name, "models": [score["model"] for score in scores], "rows": rows})
    return tables


def difference_table(summary: dict[str, Any], recipe: dict[str, Any], part: str) -> dict[str, Any] | None:
    """Paired differences: pairs of models down, those of preference training first, benchmarks across; None without."""
    gains = {
        (gain["model"], gain["against"], gain["benchmark"]): {**gain, "verdict": verdict(gain["ci95"])}
        for gain in summary["differences"]
        if gain["part"] == part
    }
    known = {benchmark for _, _, benchmark in gains}
    own = [name for name in recipe["benchmarks"] if name in known]
    benchmarks = own + sorted(known - set(own))
    rows = []
    for model, against in dict.fromkeys((model, against) for model, against, _ in gains):
        settings = recipe["models"].get(model, {})
        row = {
            "model": model,
            "against": against,
            "preference": "pairs" in settings and settings["init"] == against,
            "trivial": against in RESERVED_MODELS,
            "cells": [gains.get((model, against, name)) for name in benchmarks],
        }
        rows.append(row)
    rows.sort(key=lambda row: not row["preference"])
    return {"benchmarks": benchmarks, "rows": rows} if rows else None


def verdict(bounds: list[float]) -> str:
    """Where zero lies to an interval of a difference."""
    return "better" if bounds[0] > 0 else "worse" if bounds[1] < 0 else "open"


# Training


def curves(recipe: dict[str, Any], metrics: Iterable[Path]) -> list[dict[str, Any]]:
    """A chart of validation loss over tokens for each encoder and validation corpus, and losses at equal tokens."""
    found: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = defaultdict(dict)
    for path in metrics:
        model = path.parent.name
        for line in files.read_jsonl(path):
            for corpus, loss in line.get("validation_loss", {}).items():
                if math.isfinite(loss):
                    place = found[str(encoder_of(recipe, model)), corpus]
                    place.setdefault(model, []).append((line["tokens"], loss))
    order = list(recipe["models"])
    result = []
    for (encoder, corpus), by_model in sorted(found.items(), key=lambda item: item[0][0] == "text"):
        models = sorted(by_model, key=lambda name: order.index(name) if name in order else len(order))
        lines = [charts.Line(name, by_model[name], colour(recipe, name)) for name in models]
        unit = "byte" if encoder == "text" else "unit"
        label = f"validation loss on {corpus} over training tokens"
        shared = equal_tokens(lines)
        result.append(
            {
                "encoder": encoder,
                "corpus": corpus,
                "unit": unit,
                "chart": charts.line_chart(lines, label, "tokens of training", f"loss, nats per {unit}"),
                "shared": shared if len(lines) > 1 else None,
                "equal": [(line.name, at(line.points, shared), line.points[-1]) for line in lines],
            }
        )
    return result


def equal_tokens(lines: list[charts.Line]) -> float:
    """The last number of tokens at which all curves have a point; if there is none, the last that all reach."""
    common = set.intersection(*({x for x, _ in line.points} for line in lines))
    return max(common, default=min(line.points[-1][0] for line in lines))


def at(curve: Sequence[charts.Point], x: float) -> float:
    """A curve's value at x, between its points."""
    return float(np.interp(x, [point[0] for point in curve], [point[1] for point in curve]))


def preference_curves(recipe: dict[str, Any], metrics: Iterable[Path]) -> list[dict[str, Any]]:
    """How often a model prefers the right ending while it is trained to: over steps, smoothed."""
    lines = []
    for path in metrics:
        steps = [line for line in files.read_jsonl(path) if "accuracy" in line and "margin" in line]
        if steps:
            window = min(SMOOTHED, len(steps))
            mean = np.convolve([line["accuracy"] for line in steps], np.ones(window) / window, "valid")
            numbers = [line["step"] for line in steps[window - 1 :]]
            curve = [(number, 100 * float(value)) for number, value in zip(numbers, mean, strict=True)]
            lines.append(charts.Line(path.parent.name, curve, colour(recipe, path.parent.name)))
    if not lines:
        return []
    label = "how often the right ending is preferred, over steps of preference training"
    chart = charts.line_chart(lines, label, f"steps (mean of {SMOOTHED})", "right ending preferred more, %")
    return [{"chart": chart}]


# Units


def unit_statistics(summary: dict[str, Any], paths: list[Path]) -> dict[str, Any] | None:
    """Pictures of how units are used and how long they last."""
    told = summary["units"]
    own = [path for path in paths if told and path.parts[-4] == told["encoder"]]
    if not own or told["vocabulary"] is None:
        return None
    counted = usage(read_units(own), told["vocabulary"])
    shares = counted.durations / max(1, counted.durations.sum())
    used = np.sort(counted.units)[::-1] / max(1, counted.units.sum())
    frame_ms = 1000 / told["frame_rate_hz"]
    rate = told["tokens_per_second"]
    return {
        "used": int((counted.units > 0).sum()),
        "entropy": counted.entropy,
        "perplexity": 2**counted.entropy,
        "bits_per_second": counted.entropy * rate if rate else None,
        "frame_ms": frame_ms,
        "durations": charts.bars(
            [float(share) for share in shares],
            [f"{index + 1}" if index + 1 < LONGEST else f"{LONGEST}+" for index in range(LONGEST)],
            "how many frames units last",
            [f"{100 * share:.0f} %" if share >= 0.005 else "" for share in shares],
        ),
        "profile": charts.profile([float(share) for share in used], "how often units occur", "commonest", "rarest"),
        "commonest": float(used[0]),
    }


# Speech


def generation_rows(summary: dict[str, Any], recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """Scores of continuations, GenPPL on a logarithmic scale that reaches over all of them."""
    records = summary["generation"]
    known = [value for record in records for value in record["gen_ppl_ci95"] or []]
    low, high = (math.log(min(known)), math.log(max(known))) if known else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.1
    rows = []
    for record in records:
        bar = None
        if record["gen_ppl"] is not None:
            bounds = [math.log(value) for value in record["gen_ppl_ci95"]]
            bar = charts.interval_bar(
                math.log(record["gen_ppl"]), bounds, low - margin, high + margin, None, colour(recipe, record["model"])
            )
        rows.append({**record, "bar": bar, "trivial": TRIVIAL.get(record["model"])})
    return rows


def heard_models(recipe: dict[str, Any], names: Iterable[str]) -> list[str]:
    """Whom to listen to: the truth, each model before and after preference training, and the shuffled truth."""
    known = list(names)
    models = [name for name in recipe["models"] if name in known]
    after = [name for name in models if "pairs" in recipe["models"][name]]
    chosen = [model for name in after for model in (recipe["models"][name]["init"], name) if model in models]
    chosen = list(dict.fromkeys(chosen or models))[:LISTENED_MODELS]
    return [name for name in ("truth", *chosen, "shuffled") if name in known]


def read_rows(path: Path, columns: list[str], ids: list[str] | None = None) -> list[dict[str, Any]]:
    """Rows of a Parquet file, those of `ids` alone if given. Raises InputError if it cannot be read."""
    try:
        filters = None if ids is None else [("id", "in", ids)]
        rows: list[dict[str, Any]] = pq.read_table(path, columns=columns, filters=filters).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}); delete it and run again") from None
    return rows


def stories(recipe: dict[str, Any], sources: Sources, budget: Budget) -> list[dict[str, Any]]:
    """The first prompts that all models continued, with players and what Whisper heard."""
    paths = {path.parent.name: path for path in sources.continuations}
    names = heard_models(recipe, paths)
    if not names:
        return []
    ids = {name: [row["id"] for row in read_rows(paths[name], ["id"])] for name in names}
    shared = [item for item in ids[names[0]] if all(item in ids[name] for name in names)][:PROMPTS]
    heard = {
        path.parent.name: {row["id"]: row for row in files.read_jsonl(path)}
        for path in sources.transcripts
        if path.parent.name in names
    }
    columns = ["id", "text", "ended", "prompt_seconds", "audio"]
    rows = {name: {row["id"]: row for row in read_rows(paths[name], columns, shared)} for name in names}
    result = []
    for item in shared:
        first = rows[names[0]][item]
        prompt = decode(first["audio"])[: round(first["prompt_seconds"] * SAMPLE_RATE)]
        takes = []
        for name in names:
            row = rows[name][item]
            wave = decode(row["audio"])[round(row["prompt_seconds"] * SAMPLE_RATE) :]
            takes.append(
                {
                    "model": name,
                    "trivial": TRIVIAL.get(name),
                    "after": "pairs" in recipe["models"].get(name, {}),
                    "ended": row["ended"],
                    "seconds": len(wave) / SAMPLE_RATE,
                    "player": player(wave[: round(LONGEST_PLAYER * SAMPLE_RATE)]) if len(wave) else None,
                    "transcript": heard.get(name, {}).get(item, {}).get("transcript"),
                }
            )
        card = {"id": item, "text": first["text"], "prompt": player(prompt), "takes": takes}
        if not budget.take(card["prompt"], *(take["player"] for take in takes)):
            break
        result.append(card)
    return result


def resyntheses(summary: dict[str, Any], paths: Iterable[Path], budget: Budget) -> list[dict[str, Any]]:
    """Held-out utterances before and after units and vocoder, the first with pictures of their spectra."""
    by_encoder = {path.parent.name: path for path in paths}
    told = summary["vocoder"]
    if told is None or told["encoder"] not in by_encoder:
        return []
    rows = read_rows(
        by_encoder[told["encoder"]],
        ["id", "speaker", "text", "heard_in_original", "heard_in_resynthesis", "original", "resynthesis"],
    )[:RESYNTHESES]
    result: list[dict[str, Any]] = []
    for row in rows:
        sounds = []
        for kind in ("original", "resynthesis"):
            wave = decode(row[kind])[: round(LONGEST_PLAYER * SAMPLE_RATE)]
            picture = mel_picture(wave) if not result else None
            sounds.append({"kind": kind, "player": player(wave), "picture": picture, "heard": row[f"heard_in_{kind}"]})
        if not budget.take(*(sound[key] for sound in sounds for key in ("player", "picture"))):
            break
        result.append({**{key: row[key] for key in ("id", "speaker", "text")}, "sounds": sounds})
    return result
