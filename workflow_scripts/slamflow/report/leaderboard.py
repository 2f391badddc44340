"""The leaderboard: published figures of speech language models beside those that a run measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from slamflow.recipe.report import RenderLeaderboard
from slamflow.report.published import SECTIONS, Figures, PublishedRow
from slamflow.report.table import number
from slamflow.report.templates import load_template

TEMPLATE = "leaderboard.html.j2"
TITLES = {
    **{"sblimp": "sBLIMP", "sstorycloze": "sStoryCloze", "tstorycloze": "tStoryCloze", "swuggy": "sWUGGY"},
    "salmon": "SALMon",
}
GENERATION: dict[str, dict[str, Any]] = {
    "gen_ppl": {"title": "GenPPL", "better": "lower", "digits": 1},
    "auto_bleu": {"title": "auto-BLEU", "better": "lower", "digits": 2},
    "gpt_score": {"title": "GPTScore", "better": "higher", "digits": 2},
}
"""Figures of continuations."""
AGGREGATED = "sblimp"
"""The benchmark whose published figures are of three kinds of mean."""
OWN_MEAN = "voice_pairs"
"""The mean that `accuracy` of a score is."""
REFERENCE = "reference"
"""Where a row is from that is no model: a baseline, or a reference of the continuations."""

Row = dict[str, Any]
Summary = dict[str, Any]


@dataclass
class Measured:
    """What a run measured of one model, baseline or reference of continuations."""

    origin: str
    """`public weights`, `trained here`, or `reference`."""
    remark: str | None = None
    """What a baseline or a reference knows."""
    protocol: str | None = None
    """How a model's sequences are scored."""
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By column."""
    generation: dict[str, Any] | None = None


def leaderboard(
    settings: RenderLeaderboard,
    published: Mapping[str, PublishedRow],
    summary: Summary,
    speech: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """All rows of the published table, with what `summary` has of the models of the same names, and then its others.

    speech: the speech.json of each model that was measured. Accuracies, auto-BLEU, their intervals and differences are
    in percent, as the published table has them. Only the benchmarks that `settings` names count, those whose items were
    published, and only the models that it names.
    """
    measured = _measured(settings, summary, speech)
    columns = _columns(settings, summary)
    keys = [column["key"] for column in columns]
    sections: list[dict[str, Any]] = []
    for part, title in SECTIONS.items():
        rows = [_row(name, one, measured.get(name), keys) for name, one in published.items() if one.section == part]
        sections.append({"title": title, "rows": rows})
    others = [_row(name, None, one, keys) for name, one in measured.items() if name not in published]
    if models := [row for row in others if row["measured"] != REFERENCE]:
        sections.append({"title": "Further models of this recipe", "rows": models})
    if references := [row for row in others if row["measured"] == REFERENCE]:
        sections.append({"title": "Baselines and references, on the same items", "rows": references})
    rows = [row for section in sections for row in section["rows"]]
    shown = {key for row in rows for key, cell in row["cells"].items() if has_figure(cell)}
    return {
        "recipe": settings.recipe,
        "rehearsal": settings.rehearsal,
        "provenance": summary["provenance"],
        "protocol": settings.protocol,
        "columns": [column for column in columns if column["key"] in shown],
        "sections": sections,
    }


def _measured(
    settings: RenderLeaderboard, summary: Summary, speech: Mapping[str, dict[str, Any]]
) -> dict[str, Measured]:
    """What was measured, by name: first of the models that `settings` names, then of baselines and references.

    Where the benchmarks have several encoders, a baseline has an entry for the units of each.
    """
    several_encoders = len(set(settings.encoders.values())) > 1
    found = {
        name: Measured(origin, protocol=convention(speech[name]) if name in speech else None)
        for name, origin in settings.models.items()
    }
    for score in summary["benchmarks"]:
        if score["split"] != "test" or score["benchmark"] not in settings.benchmarks:
            continue
        name = score["model"]
        if name in settings.references:
            remark = settings.references[name]
            if several_encoders:
                name = f"{name}, units of {settings.encoders[score['benchmark']]}"
            found.setdefault(name, Measured(REFERENCE, remark))
        if name in found:
            found[name].scores[settings.benchmarks[score["benchmark"]]] = score
    for record in summary["generation"]:
        name = record["model"]
        if name in settings.references:
            found.setdefault(name, Measured(REFERENCE, settings.references[name]))
        if name in found:
            found[name].generation = record
    return {name: one for name, one in found.items() if one.scores or one.generation}


def _row(name: str, published: PublishedRow | None, measured: Measured | None, keys: Iterable[str]) -> Row:
    """A row of the table; `keys` are those of its columns."""
    cells = {}
    for key in keys:
        figure = getattr(published.figures, key, None) if published else None
        if key in GENERATION:
            cells[key] = _generation_cell(key, figure, measured.generation if measured else None)
        else:
            known = published.sblimp_aggregation if published and key == AGGREGATED else None
            cells[key] = _cell(figure, measured.scores.get(key) if measured else None, known)
    told = ("gpus", "parameters", "tokens", "source", "weights", "reason", "note")
    return {
        "model": name,
        "name": published.name if published else name,
        **{key: getattr(published, key) if published else None for key in told},
        "measured": measured.origin if measured else None,
        "remark": measured.remark if measured else None,
        "protocol": measured.protocol if measured else None,
        "cells": cells,
    }


def has_figure(cell: dict[str, Any]) -> bool:
    """Whether anything was published or measured."""
    return cell["published"] is not None or "measured" in cell


def convention(speech: dict[str, Any]) -> str:
    """How a model's sequences are scored, by its speech.json."""
    special = speech["vocabulary"]["special"]
    begins = "nothing before the units, whose first is given" if special["bos"] is None else "BOS before the units"
    ends = special["eos"] is not None and special.get("ends", True)
    return f"units of {speech['encoder']}; {begins}; {'EOS scored behind them' if ends else 'no EOS scored'}"


def _columns(settings: RenderLeaderboard, summary: Summary) -> list[dict[str, Any]]:
    """The published columns, then the recipe's further benchmarks, then figures of continuations."""
    scored = {score["benchmark"] for score in summary["benchmarks"] if score["split"] == "test"}
    keys = [key for key in Figures.model_fields if key not in GENERATION]
    own = dict.fromkeys(column for name, column in settings.benchmarks.items() if name in scored)
    keys += [column for column in own if column not in keys]
    columns = [{"key": key, "title": TITLES.get(key, key), "better": "higher", "digits": 1} for key in keys]
    columns += [{"key": key, **about} for key, about in GENERATION.items()]
    solved = [
        (settings.benchmarks[found["benchmark"]], found["solved_by"])
        for found in summary["audit"]
        if found["split"] == "test" and found["benchmark"] in settings.benchmarks
    ]
    return [{**column, "solved_by": sorted({by for key, by in solved if key == column["key"]})} for column in columns]


def _cell(published: float | None, score: dict[str, Any] | None, aggregation: str | None) -> dict[str, Any]:
    """A figure as published and as measured, in percent.

    aggregation: which mean the published figure is; None where there is only one. Where it is known, the measured one
    is that mean too.
    """
    cell: dict[str, Any] = {"published": published}
    if score is not None:
        means = score.get("aggregations")
        how = aggregation if aggregation not in (None, "unknown") and means else None
        value = means[how] if means and how else score["accuracy"]
        bounds: list[float] = score["aggregations_ci95"][how] if how else score["ci95"]
        cell |= {"measured": _percent(value), "ci95": [_percent(bound) for bound in bounds], "n": score["n"]}
        cell |= {"chance": _percent(score["chance"]), "left_out": sum(score["left_out"].values())}
        if means:
            cell |= {"aggregation": how or OWN_MEAN, "aggregations": {key: _percent(means[key]) for key in means}}
            cell["is_aggregation_known"] = how is not None
    return _with_difference(cell)


def _generation_cell(key: str, published: float | None, record: dict[str, Any] | None) -> dict[str, Any]:
    """A figure of continuations as published and as measured; auto-BLEU in percent."""
    cell: dict[str, Any] = {"published": published}
    if record is not None and key == "gpt_score":
        record = record["judge"] and {
            "n": record["judge"]["n"],
            key: record["judge"]["mean"],
            f"{key}_ci95": record["judge"]["ci95"],
        }
    if record is not None and record[key] is not None and record[f"{key}_ci95"] is not None:
        factor = 100 if key == "auto_bleu" else 1
        cell["measured"] = round(factor * record[key], 3)
        cell["ci95"] = [round(factor * bound, 3) for bound in record[f"{key}_ci95"]]
        cell["n"] = record["n"]
    return _with_difference(cell)


def _with_difference(cell: dict[str, Any]) -> dict[str, Any]:
    """The same, with measured minus published, and whether the published figure lies in the measured interval."""
    if cell["published"] is None or "measured" not in cell:
        return cell
    low, high = cell["ci95"]
    difference = round(cell["measured"] - cell["published"], 3)
    return {**cell, "difference": difference, "is_within": low <= cell["published"] <= high}


def _percent(value: float) -> float:
    return round(100 * value, 3)


def render(board: dict[str, Any]) -> str:
    """The leaderboard as a page of HTML that needs nothing else."""
    return load_template(TEMPLATE, number=number, verdict=_verdict).render(board)


def _verdict(cell: dict[str, Any], column: dict[str, Any]) -> str:
    """The class of a difference: open where the published figure lies in the measured interval."""
    if cell["is_within"]:
        return "open"
    return "better" if (cell["difference"] > 0) == (column["better"] == "higher") else "worse"
