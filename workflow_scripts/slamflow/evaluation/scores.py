"""From likelihoods of minimal pairs to an accuracy with its interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow import files
from slamflow.errors import InputError
from slamflow.evaluation.statistics import accuracy_interval, weighted_interval
from slamflow.scorers import Scored, Scorer, mean_nll
from slamflow.shards.items import Item, read_columns, write_table

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

MADE_FROM = b"made_from"
"""The key of a file of pairs under which stands what its score was made from."""

Floats = npt.NDArray[np.float64]


def about(name: str, kind: str, split: str, model: str, manifest: Path) -> dict[str, Any]:
    """What identifies a score: a model, or baseline, on a split of the benchmark whose items have this manifest."""
    return {"benchmark": name, "kind": kind, "split": split, "model": model, "manifest": files.sha256_file(manifest)}


def is_correct(good: Floats, bad: Floats) -> Floats:
    """1 where the right sequence costs less than the wrong one, 0.5 where both cost the same, else 0."""
    return np.where(good == bad, 0.5, (good < bad).astype(np.float64))


def paths_by_name(flag: str, values: Iterable[tuple[str, Path]], names: Iterable[str]) -> dict[str, Path]:
    """The paths of a repeated flag NAME=PATH. Raises InputError unless each of the names has one."""
    paths = dict(values)
    if missing := [name for name in names if name not in paths]:
        raise InputError(f"{flag}: no path for {', '.join(missing)}; give {flag} {missing[0]}=PATH")
    return paths


def accuracy(correct: Floats, clusters: Sequence[str]) -> dict[str, Any]:
    """n, accuracy and its 95 % interval; both are None where there are no items."""
    if not len(correct):
        return {"n": 0, "accuracy": None, "ci95": None}
    return {
        "n": len(correct),
        "accuracy": float(correct.mean()),
        "ci95": list(accuracy_interval(correct, clusters)),
    }


def aggregations(phenomena: Sequence[str | None], clusters: Sequence[str], correct: Floats) -> dict[str, float]:
    """Accuracy in the three ways that are published for sBLIMP, which differ where groups are of unequal size.

    `voice_pairs`: the mean over all items, a pair in two voices counting twice; `pairs`: over pairs, their voices
    averaged first (ZeroSpeech 2021, Nguyen et al. 2020); `phenomena`: over phenomena (for SALMon its parts), their
    pairs averaged first.
    """
    by_pair: dict[tuple[str, str], list[float]] = defaultdict(list)
    for phenomenon, cluster, right in zip(phenomena, clusters, correct.tolist(), strict=True):
        by_pair[phenomenon or "", cluster].append(right)
    by_phenomenon: dict[str, list[float]] = defaultdict(list)
    for (phenomenon, _), values in by_pair.items():
        by_phenomenon[phenomenon].append(fmean(values))
    return {
        "voice_pairs": float(correct.mean()),
        "pairs": fmean(value for values in by_phenomenon.values() for value in values),
        "phenomena": fmean(fmean(values) for values in by_phenomenon.values()),
    }


def figures(pairs: pa.Table) -> dict[str, Any]:
    """The figures of a score, from its pairs: accuracy and interval, those of each phenomenon, and of aggregations."""
    correct = np.asarray(pairs["correct"], dtype=np.float64)
    clusters, of = pairs["cluster"].to_pylist(), pairs["phenomenon"].to_pylist()
    found: dict[str, Any] = {**accuracy(correct, clusters), "phenomena": {}}
    for phenomenon in sorted({name for name in of if name is not None}):
        chosen = [index for index, name in enumerate(of) if name == phenomenon]
        found["phenomena"][phenomenon] = accuracy(correct[chosen], [clusters[index] for index in chosen])
    if found["phenomena"]:
        found["aggregations"] = aggregations(of, clusters, correct)
        found["aggregations_ci95"] = aggregation_intervals(of, clusters, correct)
    return found


def write_scores(
    items: Sequence[Item],
    good: Sequence[Scored],
    bad: Sequence[Scored],
    scorer: Scorer[Scored],
    of: dict[str, Any],
    score_path: Path,
    pairs_path: Path,
    left_out: Mapping[str, int] | None = None,
    made_from: str = "",
) -> dict[str, Any]:
    """Score the items, and write the score (JSON) and each pair's likelihoods (Parquet). Returns the score.

    good, bad: what the scorer reads of each item; of: what the score is of, as `about` has it; left_out: how many
    items are not among these, by reason; made_from: what `is_made_from` asks for.
    """
    nll = mean_nll(scorer, [*good, *bad]) if items else np.zeros(0)
    good_nll, bad_nll = nll[: len(items)], nll[len(items) :]
    table = pa.table(
        {
            "id": [item.id for item in items],
            "cluster": [item.cluster for item in items],
            "phenomenon": [item.phenomenon for item in items],
            "good_nll": good_nll,
            "bad_nll": bad_nll,
            "correct": is_correct(good_nll, bad_nll),
        },
        schema=PAIR_SCHEMA.with_metadata({MADE_FROM: made_from.encode()}),
    )
    score = {
        **of,
        **figures(table),
        "chance": CHANCE,
        "aggregation": AGGREGATION,
        "left_out": {reason: count for reason, count in sorted((left_out or {}).items()) if count},
    }
    # What `is_made_from` asks vouches for both files: it goes first and comes last.
    pairs_path.unlink(missing_ok=True)
    files.write_json(score_path, score)
    write_table(pairs_path, table)
    return score


def is_made_from(made_from: str, score_path: Path, pairs_path: Path) -> bool:
    """Whether a score and its pairs are there and were made from this: a digest of all that they follow from."""
    try:
        metadata = pq.read_schema(pairs_path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return False
    return score_path.is_file() and metadata.get(MADE_FROM) == made_from.encode()


def read_pairs(path: Path) -> pa.Table:
    """The pairs of one score, sorted by id."""
    return read_columns(path, PAIR_SCHEMA.names, "file of scored pairs").sort_by("id")


def aggregation_intervals(
    phenomena: Sequence[str | None], clusters: Sequence[str], correct: Floats
) -> dict[str, list[float]]:
    """The 95 % interval of each of the `aggregations` of the same items, by its name."""
    names = np.array([phenomenon or "" for phenomenon in phenomena])
    own = [f"{name}\n{cluster}" for name, cluster in zip(names, clusters, strict=True)]
    pairs, pair = np.unique(own, return_inverse=True)
    of_pair = 1 / np.bincount(pair)[pair]
    of_phenomenon = np.zeros(len(correct))
    for name in np.unique(names):
        of_phenomenon[names == name] = 1 / of_pair[names == name].sum()
    by_phenomenon = of_pair * of_phenomenon / len(np.unique(names))
    return {
        "voice_pairs": list(accuracy_interval(correct, clusters)),
        "pairs": list(weighted_interval(correct, of_pair / len(pairs), clusters, [""] * len(correct))),
        "phenomena": list(weighted_interval(correct, by_phenomenon, clusters, names.tolist())),
    }
