"""What a model gets for its likelihoods of the pairs: right, wrong, accuracy, interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow import files
from slamflow.evaluation.pairs import Item, read_columns
from slamflow.evaluation.statistics import accuracy_interval

CHANCE = 0.5
AGGREGATION = "mean over pairs; mean NLL per token; ties half"

PAIR_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("cluster", pa.string()),
        ("phenomenon", pa.string()),
        ("good_nll", pa.float64()),
        ("bad_nll", pa.float64()),
        ("correct", pa.float64()),
    ]
)

Floats = npt.NDArray[np.float64]


def is_correct(good: Floats, bad: Floats) -> Floats:
    """1 where the right sequence costs less than the wrong one, 0.5 where both cost the same, else 0."""
    return np.where(good == bad, 0.5, (good < bad).astype(np.float64))


def accuracy(correct: Floats, clusters: Sequence[str]) -> dict[str, Any]:
    """n, accuracy and its 95 % interval."""
    return {
        "n": len(correct),
        "accuracy": float(correct.mean()),
        "ci95": list(accuracy_interval(correct, clusters)),
    }


def write_scores(
    items: list[Item],
    good: Floats,
    bad: Floats,
    about: dict[str, Any],
    score_path: Path,
    pairs_path: Path,
) -> dict[str, Any]:
    """Write the score (JSON, `about` first of all) and each pair's likelihoods (Parquet); return the score."""
    correct = is_correct(good, bad)
    clusters = [item.cluster for item in items]
    phenomena = sorted({item.phenomenon for item in items if item.phenomenon is not None})
    score = {
        **about,
        **accuracy(correct, clusters),
        "chance": CHANCE,
        "aggregation": AGGREGATION,
        "phenomena": {},
    }
    for phenomenon in phenomena:
        chosen = [index for index, item in enumerate(items) if item.phenomenon == phenomenon]
        score["phenomena"][phenomenon] = accuracy(correct[chosen], [clusters[index] for index in chosen])
    table = pa.table(
        {
            "id": [item.id for item in items],
            "cluster": clusters,
            "phenomenon": [item.phenomenon for item in items],
            "good_nll": good,
            "bad_nll": bad,
            "correct": correct,
        },
        schema=PAIR_SCHEMA,
    )
    with files.atomic_path(pairs_path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    files.write_json(score_path, score)
    return score


def read_pairs(path: Path) -> pa.Table:
    """The pairs of one score, sorted by id."""
    return read_columns(path, PAIR_SCHEMA.names).sort_by("id")
