"""Everything about a run, as one JSON value."""

from __future__ import annotations

import csv
import math
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slamflow import files
from slamflow.benchmarks import SPLITS
from slamflow.errors import InputError
from slamflow.evaluation.scores import figures, read_pairs
from slamflow.evaluation.statistics import difference_interval
from slamflow.evaluation.unit_usage import COLUMNS, usage
from slamflow.recipe.recipe import Recipe
from slamflow.recipe.report import Summarize
from slamflow.report.generation import JUDGE_KEYS, current
from slamflow.report.generation import KEYS as GENERATION_KEYS
from slamflow.report.rules import RULES
from slamflow.scorers import BASELINES
from slamflow.shards.units import read_batches

PACKAGES = ("torch", "transformers", "datasets", "deepspeed", "numpy", "pyarrow", "snakemake", "soundfile")
STRONGEST_BASELINE = "5gram"
SOLVED = 0.6
"""An accuracy above which a trivial baseline solves a benchmark."""
VOCODER_KEYS = tuple(f"{rate}_{what}" for rate in ("wer", "per") for what in ("original", "resynthesis", "gap_ci95"))
MEBIBYTE = 2**20
UNIT_ROWS_AT_ONCE = 10_000
AFTERWARDS = ("summarize", "render_report", "render_leaderboard")
"""Rules whose costs can only be those of an earlier run."""


def commit_of(folder: Path) -> str | None:
    """The git commit that `folder` is checked out at, with -dirty if files differ; None outside of git."""
    try:
        ask = ["git", "-C", str(folder)]
        commit = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*ask, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if changes.strip() else commit


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that are installed here."""
    found = {"python": python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def today() -> str:
    """The date in UTC, or that of SOURCE_DATE_EPOCH if it is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return (datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)).date().isoformat()


def name_of_encoder(path: Path, manifest: dict[str, Any]) -> str:
    """Whose units or codebook a manifest is about. Raises InputError if it does not say."""
    try:
        return str(manifest["settings"]["name"])
    except KeyError:
        raise InputError(f"{path}: does not say which encoder it is of; make it again") from None


def describe_units(
    recipe: Recipe, manifests: Iterable[Path], codebooks: Iterable[Path], voices: Iterable[Path]
) -> dict[str, Any] | None:
    """Speech and units of the encoder that has the most speech; None without any.

    `voices` are the files of compare_voices, which are taken as they are, those of other encoders too. Shards lie
    beside their manifests. `counts` (of each unit) and `durations` (how many last 1, 2, ..., 10 or more ticks) are null
    where no codebook says how many units there are, and so are the figures that follow from them: `used` units,
    `entropy_bits` of a unit by itself, and `bits_per_second`, which is that times the units of a second.
    """
    by_encoder: dict[str, list[dict[str, Any]]] = defaultdict(list)
    shards: dict[str, list[Path]] = defaultdict(list)
    for path in manifests:
        manifest = files.read_json(path)
        name = name_of_encoder(path, manifest)
        by_encoder[name].append(manifest)
        shards[name].append(path.with_suffix(".parquet"))
    if not by_encoder:
        return None
    seconds = {name: sum(manifest["seconds"] for manifest in found) for name, found in by_encoder.items()}
    encoder = max(seconds, key=lambda name: seconds[name])
    clusters = {}
    for path in codebooks:
        manifest = files.read_json(path)
        clusters[name_of_encoder(path, manifest)] = manifest["clusters"]
    units = sum(manifest["units"] for manifest in by_encoder[encoder])
    rate = units / seconds[encoder] if seconds[encoder] else None
    counted = usage(read_shards(shards[encoder]), clusters[encoder]) if encoder in clusters else None
    return {
        "encoder": encoder,
        "frame_rate_hz": recipe.encoders[encoder].tick_hz,
        "vocabulary": clusters.get(encoder),
        "tokens_per_second": round(rate, 3) if rate is not None else None,
        "counts": counted.units.tolist() if counted else None,
        "durations": counted.durations.tolist() if counted else None,
        "used": int((counted.units > 0).sum()) if counted else None,
        "entropy_bits": round(counted.entropy, 4) if counted else None,
        "bits_per_second": round(counted.entropy * rate, 2) if counted and rate is not None else None,
        "hours": round(seconds[encoder] / 3600, 3),
        "utterances": sum(manifest["utterances"] for manifest in by_encoder[encoder]),
        "quarantined": sum(manifest["quarantined"] for manifest in by_encoder[encoder]),
        "voices": [files.read_json(path) for path in voices],
    }


def read_shards(shards: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    """Yield units and durations, some at a time: all of them together may not fit. Raises InputError for a bad file."""
    for path in shards:
        yield from read_batches(path, COLUMNS, UNIT_ROWS_AT_ONCE)


def describe_training(path: Path) -> dict[str, Any]:
    """One model's training, from its training.json; `mfu` is null where the device's peak is not known."""
    keys = ("model", "init", "seed", "tokens", "tokens_per_second", "validation_loss", "parameters", "seconds")
    return {**read_record(path, (*keys, "device"), "train"), "mfu": files.read_json(path).get("mfu")}


def describe_vocoder(paths: Iterable[Path], encoder: str | None) -> dict[str, Any] | None:
    """Word and phone error rates before and after a vocoder, as score_vocoder wrote them, fractions; DNSMOS or null.

    Beside them stands how well the units agree with phones. That of `encoder` if it has one, else the first; None
    without any.
    """
    keys = ("encoder", "n", *VOCODER_KEYS, "phone_purity", "dnsmos", "voices")
    records = [read_record(path, keys, "score_vocoder") for path in paths]
    return next((record for record in records if record["encoder"] == encoder), records[0] if records else None)


def describe_generation(paths: Iterable[Path], judgements: Iterable[Path], models: list[str]) -> list[dict[str, Any]]:
    """Figures of continuations, a judge's in `judge` or null: the truth first, then models, then what is left."""
    graded = [read_record(path, ("model", *JUDGE_KEYS), "judge_continuations") for path in judgements]
    judges = {one.pop("model"): one for one in graded}
    records = []
    for path in paths:
        found = take(path, current(files.read_json(path)), ("model", *GENERATION_KEYS), "score_continuations")
        records.append({**found, "judge": judges.get(found["model"])})
    order = ["truth", *models]
    return sorted(records, key=lambda one: order.index(one["model"]) if one["model"] in order else len(order))


def read_record(path: Path, keys: Iterable[str], command: str) -> dict[str, Any]:
    """Some keys of a JSON file that `command` wrote. Raises InputError if one is missing."""
    return take(path, files.read_json(path), keys, command)


def take(path: Path, record: dict[str, Any], keys: Iterable[str], command: str) -> dict[str, Any]:
    """Some keys of a record from a file that `command` wrote. Raises InputError if one is missing."""
    if missing := [key for key in keys if key not in record]:
        raise InputError(f"{path}: no {missing[0]!r}; expected what {command} writes")
    return {key: record[key] for key in keys}


Scores = list[tuple[dict[str, Any], pa.Table]]
"""Scores, each with its pairs sorted by id."""


def read_scores(scores: list[Path], pairs: list[Path]) -> Scores:
    """Scores with their pairs. Raises InputError if two of one benchmark and split are of different items."""
    found = [(files.read_json(path), read_pairs(of_pairs)) for path, of_pairs in zip(scores, pairs, strict=True)]
    first: dict[tuple[str, str], tuple[str, Path]] = {}
    for (score, _), path in zip(found, pairs, strict=True):
        manifest, other = first.setdefault((score["benchmark"], score["split"]), (score["manifest"], path))
        if score["manifest"] != manifest:
            raise InputError(
                f"{other} and {path} are scores of different items of {score['benchmark']}; delete them and run again"
            )
    return found


def on_common_pairs(scores: Scores) -> Scores:
    """Scores on the pairs that all models could score, so that they may be compared.

    A pair that is too long for one model is left out for all, and for the baselines: its score counts it by the
    reason, the others as `for_other_models`. What a baseline cannot read is missing from that baseline alone.
    """
    common: dict[tuple[str, str], set[str]] = {}
    for score, table in scores:
        if score["n"] and score["model"] not in BASELINES.names():
            key, own = (score["benchmark"], score["split"]), set(table["id"].to_pylist())
            common[key] = common[key] & own if key in common else own
    result = []
    for score, table in scores:
        wanted = common.get((score["benchmark"], score["split"]))
        if wanted is not None:
            kept = table.filter(pc.is_in(table["id"], value_set=pa.array(sorted(wanted), pa.string())))
            if dropped := len(table) - len(kept):
                left_out = {**score["left_out"], "for_other_models": dropped}
                score, table = {**score, **figures(kept), "left_out": left_out}, kept
        result.append((score, table))
    return result


def gain_of(own: pa.Table, other: pa.Table, clusters: list[str] | None = None) -> dict[str, Any]:
    """What one scorer gained over another on the same pairs, with a paired interval."""
    gains = np.asarray(own["correct"]) - np.asarray(other["correct"])
    bounds = difference_interval(gains, clusters or own["cluster"].to_pylist())
    return {"gain": float(gains.mean()), "ci95": list(bounds)}


def story_gains(recipe: Recipe, scores: Scores) -> list[dict[str, Any]]:
    """What alignment gained over all story pairs of a corpus together: each model against the one it starts from.

    One entry for each split and model where the corpus has several story benchmarks; pairs of one story are one
    cluster, whichever benchmark they belong to.
    """
    table = {(score["benchmark"], score["split"], score["model"]): pairs for score, pairs in scores}
    by_corpus: dict[str, list[str]] = defaultdict(list)
    for name, benchmark in recipe.benchmarks.items():
        if benchmark.built_from == "stories":
            by_corpus[benchmark.corpus].append(name)
    result = []
    for names in (names for names in by_corpus.values() if len(names) > 1):
        for model, settings in recipe.trained.items():
            for split in SPLITS if settings.is_aligned else ():
                wanted = [[(name, split, which) for name in names] for which in (model, settings.init)]
                if any(key not in table for keys in wanted for key in keys):
                    continue
                own, old = (pa.concat_tables([table[key] for key in keys]) for keys in wanted)
                result.append(
                    {
                        "benchmark": " + ".join(names),
                        "split": split,
                        "model": model,
                        "against": settings.init,
                        **gain_of(own, old, join_clusters(own["cluster"].to_pylist())),
                    }
                )
    return result


def join_clusters(names: list[str]) -> list[str]:
    """Clusters of several benchmarks as one set: `a+b` holds the stories a and b, so cluster `a` is part of it."""
    holder = {story: name for name in names if "+" in name for story in name.split("+")}
    return [holder.get(name, name) for name in names]


def differences(scores: Scores, models: list[str]) -> list[dict[str, Any]]:
    """Each model against those before it and against the 5-gram, on the same pairs.

    `gain` is the model's accuracy minus the other's.
    """
    found: dict[tuple[str, str], dict[str, pa.Table]] = defaultdict(dict)
    for score, table in scores:
        found[score["benchmark"], score["split"]][score["model"]] = table
    result = []
    for (benchmark, split), tables in found.items():
        known = [name for name in (STRONGEST_BASELINE, *models) if name in tables]
        for against, model in sorted(combinations(known, 2), key=lambda pair: known.index(pair[1])):
            result.append(
                {
                    "benchmark": benchmark,
                    "split": split,
                    "model": model,
                    "against": against,
                    **gain_of(tables[model], tables[against]),
                }
            )
    return result


def audit(scores: Scores) -> list[dict[str, Any]]:
    """The benchmarks that a trivial baseline solves: so what a model gets right there need not be language.

    One entry for each such baseline: its 95 % interval lies above 60 %, or below 40 %, where its opposite solves it
    (the longer one in place of the shorter one). The 5-gram and the text model are not trivial: they see order.
    """
    return [
        {"benchmark": score["benchmark"], "split": score["split"]}
        | {"solved_by": score["model"], "accuracy": score["accuracy"], "ci95": score["ci95"]}
        for score, _ in scores
        if score["model"] in BASELINES.names()
        and BASELINES.settings(score["model"]).is_trivial
        and (score["ci95"][0] > SOLVED or score["ci95"][1] < 1 - SOLVED)
    ]


def stages(jobs: Mapping[str, str], job_costs: Path, resources: Path | None) -> list[dict[str, Any]]:
    """Time, memory and disk of each rule: from Snakemake's benchmark files, {rule}/{job}.tsv, and what the jobs wrote.

    `jobs` has for each rule a regular expression of the names of its jobs that count. `seconds` is the sum over the
    rule's jobs, `max_rss_mb` the largest of one of them, `disk_mb` the sum of the files (both in MiB, as Snakemake
    counts; null if not known).
    """
    result = []
    for rule in (rule for rule in RULES if rule in jobs and rule not in AFTERWARDS):
        found = {
            path.relative_to(job_costs / rule).with_suffix("").as_posix(): path
            for path in sorted((job_costs / rule).rglob("*.tsv"))
        }
        own = {job: read_costs(path) for job, path in found.items() if re.fullmatch(jobs[rule], job)}
        if not own:
            continue
        costs = [row for rows in own.values() for row in rows]
        memory = [number for row in costs if (number := row["max_rss"]) is not None]
        result.append(
            {
                "rule": rule,
                "jobs": len(own),
                "seconds": round(sum(row["s"] or 0 for row in costs), 2),
                "max_rss_mb": round(max(memory), 1) if memory else None,
                "disk_mb": disk_mb(rule, own, job_costs.parent, resources),
            }
        )
    return result


def read_costs(path: Path) -> list[dict[str, float | None]]:
    """The numbers `s` and `max_rss` of a benchmark file; None where Snakemake could not measure (-, NA, nan)."""

    def measured(text: str) -> float | None:
        try:
            return value if math.isfinite(value := float(text)) else None
        except ValueError:
            return None

    with open(path, encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    if any(key not in row for row in rows for key in ("s", "max_rss")):
        raise InputError(f"{path}: not one of Snakemake's benchmark files; delete it")
    return [{key: measured(row[key]) for key in ("s", "max_rss")} for row in rows]


def disk_mb(rule: str, jobs: Iterable[str], results: Path, resources: Path | None) -> float | None:
    """Size in MiB of what the jobs of a rule wrote; None if that is not known."""
    roots = {"{results}": results, "{resources}": resources}
    size = 0
    for pattern in RULES[rule].writes:
        root, _, below = pattern.partition("/")
        folder = roots[root]
        if folder is None:
            return None
        paths = (path for job in jobs for path in folder.glob(below.format(job=job)))
        size += sum(path.stat().st_size for path in paths if path.is_file())
    return round(size / MEBIBYTE, 3) if RULES[rule].writes else None


def summarize(
    settings: Summarize,
    scores: list[Path],
    pairs: list[Path],
    training: list[Path],
    unit_manifests: list[Path],
    codebooks: list[Path],
    voices: list[Path],
    vocoders: list[Path],
    generation: list[Path],
    judgements: list[Path],
    job_costs: Path | None,
    resources: Path | None,
) -> dict[str, Any]:
    """The summary of a run. Raises InputError if a file is not what its flag says."""
    recipe = settings.recipe
    stems = [str(path).removesuffix(".json") for path in scores]
    if stems != [str(path).removesuffix(".pairs.parquet") for path in pairs]:
        raise InputError("--scores and --pairs must name the same scores in the same order (X.json, X.pairs.parquet)")
    models = [describe_training(path) for path in training]
    names = list(recipe.models)
    compared = on_common_pairs(read_scores(scores, pairs))
    unscored = [score for score, _ in compared if not score["n"]]
    compared = [(score, table) for score, table in compared if score["n"]]
    units = describe_units(recipe, unit_manifests, codebooks, voices)
    return {
        "recipe": recipe.recipe,
        "provenance": {
            "commit": commit_of(Path(__file__).parent),
            "versions": versions(),
            "device": ", ".join(sorted({model["device"] for model in models})) or None,
            "config_digest": files.sha256_json(recipe.model_dump(mode="json")),
            "date": today(),
        },
        "units": units,
        "vocoder": describe_vocoder(vocoders, units["encoder"] if units else None),
        "training": models,
        "benchmarks": [score for score, _ in compared],
        "unscored": [{key: score[key] for key in ("benchmark", "split", "model", "left_out")} for score in unscored],
        "audit": audit(compared),
        "differences": differences(compared, names) + story_gains(recipe, compared),
        "generation": describe_generation(generation, judgements, names),
        "stages": stages(settings.jobs, job_costs, resources) if job_costs else [],
    }
