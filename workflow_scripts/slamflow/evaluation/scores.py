"""From likelihoods of minimal pairs to an accuracy with its interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slamflow import files
from slamflow.evaluation.statistics import accuracy_interval, weighted_interval
from slamflow.scorers import Scorer, mean_nll
from slamflow.shards.items import Item, Units, read_columns, write_table

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


def about(name: str, kind: str, split: str, model: str, manifest: Path) -> dict[str, Any]:
    """What identifies a score: a model, or baseline, on a split of the benchmark whose items have this manifest."""
    return {"benchmark": name, "kind": kind, "split": split, "model": model, "manifest": files.sha256_file(manifest)}


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


def aggregations(items: list[Item], correct: Floats) -> dict[str, float]:
    """Accuracy in the three ways that are published for sBLIMP, which differ where groups are of unequal size.

    `voice_pairs`: the mean over all items, a pair in two voices counting twice; `pairs`: over pairs, their voices
    averaged first (ZeroSpeech 2021, Nguyen et al. 2020); `phenomena`: over phenomena (for SALMon its parts), their
    pairs averaged first.
    """
    by_pair: dict[tuple[str, str], list[float]] = defaultdict(list)
    for item, right in zip(items, correct.tolist(), strict=True):
        by_pair[item.phenomenon or "", item.cluster].append(right)
    by_phenomenon: dict[str, list[float]] = defaultdict(list)
    for (phenomenon, _), values in by_pair.items():
        by_phenomenon[phenomenon].append(fmean(values))
    return {
        "voice_pairs": float(correct.mean()),
        "pairs": fmean(value for values in by_phenomenon.values() for value in values),
        "phenomena": fmean(fmean(values) for values in by_phenomenon.values()),
    }


def write_scores(
    items: list[Item], scorer: Scorer[Units], of: dict[str, Any], score_path: Path, pairs_path: Path
) -> dict[str, Any]:
    """Score the items, and write the score (JSON) and each pair's likelihoods (Parquet). Returns the score.

    of: what it is of, as `about` has it.
    """
    nll = mean_nll(scorer, [item.good for item in items] + [item.bad for item in items])
    good, bad = nll[: len(items)], nll[len(items) :]
    correct = is_correct(good, bad)
    clusters = [item.cluster for item in items]
    phenomena = sorted({item.phenomenon for item in items if item.phenomenon is not None})
    score = {
        **of,
        **accuracy(correct, clusters),
        "chance": CHANCE,
        "aggregation": AGGREGATION,
        "phenomena": {},
    }
    for phenomenon in phenomena:
        chosen = [index for index, item in enumerate(items) if item.phenomenon == phenomenon]
        score["phenomena"][phenomenon] = accuracy(correct[chosen], [clusters[index] for index in chosen])
    if phenomena:
        score["aggregations"] = aggregations(items, correct)
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
    write_table(pairs_path, table)
    files.write_json(score_path, score)
    return score


def read_pairs(path: Path) -> pa.Table:
    """The pairs of one score, sorted by id."""
    return read_columns(path, PAIR_SCHEMA.names, "file of scored pairs").sort_by("id")


def aggregation_intervals(
    correct: Floats, clusters: Sequence[str], phenomena: Sequence[str | None]
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each of the `aggregations` of the same items, by its name."""
    names = np.array([phenomenon or "" for phenomenon in phenomena])
    pairs, pair = np.unique(
        [f"{name}\n{cluster}" for name, cluster in zip(names, clusters, strict=True)], return_inverse=True
    )
    of_pair = 1 / np.bincount(pair)[pair]
    of_phenomenon = np.zeros(len(correct))
    for name in np.unique(names):
        of_phenomenon[names == name] = 1 / of_pair[names == name].sum()
    everything = np.full(len(correct), "")
    return {
        "voice_pairs": accuracy_interval(correct, clusters),
        "pairs": weighted_interval(correct, of_pair / len(pairs), clusters, everything.tolist()),
        "phenomena": weighted_interval(
            correct, of_pair * of_phenomenon / len(np.unique(names)), clusters, names.tolist()
        ),
    }
