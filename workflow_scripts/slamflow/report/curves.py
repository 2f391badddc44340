"""The page's curves: validation losses over tokens, and how preferences are learned."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slamflow import files
from slamflow.recipe.recipe import Recipe
from slamflow.report import charts
from slamflow.report.results import color

SMOOTHED = 15
"""Curves of preferences show the mean of this many steps."""


def loss_curves(recipe: Recipe, metrics: Mapping[str, Path]) -> list[dict[str, Any]]:
    """A chart of validation loss over tokens for each encoder and validation corpus, and losses at equal tokens.

    `metrics` has the metrics.jsonl of each model.
    """
    found: dict[tuple[bool, str, str], dict[str, list[tuple[float, float]]]] = defaultdict(dict)
    for model, path in metrics.items():
        dataset = recipe.dataset_of(model)
        for line in files.read_jsonl(path):
            for corpus, loss in line.get("validation_loss", {}).items():
                if dataset is not None and math.isfinite(loss):
                    place = found[dataset.is_text, dataset.encoder, corpus]
                    place.setdefault(model, []).append((line["tokens"], loss))
    order = list(recipe.models)
    result = []
    # Stable: models of units first, and otherwise in the order of the recipe.
    for (is_text, encoder, corpus), by_model in sorted(found.items(), key=lambda item: item[0][0]):
        models = sorted(by_model, key=order.index)
        lines = [charts.Line(name, by_model[name], color(recipe, name)) for name in models]
        unit = "byte" if is_text else "unit"
        label = f"validation loss on {corpus} over training tokens"
        shared = equal_tokens(lines)
        result.append(
            {
                "what": "text" if is_text else f"units of {encoder}",
                "corpus": corpus,
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


def preference_curve(recipe: Recipe, metrics: Mapping[str, Path]) -> object | None:
    """How often models prefer the right ending while they are trained to, over steps, smoothed; None without any."""
    lines = []
    for model, path in metrics.items():
        steps = [line for line in files.read_jsonl(path) if "accuracy" in line and "margin" in line]
        if steps:
            window = min(SMOOTHED, len(steps))
            mean = np.convolve([line["accuracy"] for line in steps], np.ones(window) / window, "valid")
            numbers = [line["step"] for line in steps[window - 1 :]]
            curve = [(number, 100 * float(value)) for number, value in zip(numbers, mean, strict=True)]
            lines.append(charts.Line(model, curve, color(recipe, model)))
    if not lines:
        return None
    label = "how often the right ending is preferred, over steps of preference training"
    return charts.line_chart(lines, label, f"steps (mean of {SMOOTHED})", "right ending preferred more, %")
