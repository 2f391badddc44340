"""A summary as plain text for the terminal."""

from __future__ import annotations

from typing import Any

from slamflow.report.generation import DIFFERENT_PROMPTS, about_prompts, current, prompt_lists
from slamflow.scorers import BASELINES

Row = list[str]
MEANS = {"voice_pairs": "pairs in each voice", "pairs": "pairs", "phenomena": "phenomena"}
"""The aggregations of a score, as headings."""


def table(title: str, head: Row, rows: list[Row], text_columns: int = 1) -> str:
    """Aligned columns: the first `text_columns` to the left, numbers to the right. Nothing without rows."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row: Row) -> str:
        cells = zip(row, widths, strict=True)
        return "  ".join(
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(cells)
        ).rstrip()

    return "\n".join([title, line(head), "  ".join("-" * width for width in widths), *map(line, rows), "", ""])


def number(value: float | None, digits: int = 1) -> str:
    """A number with thousands apart, or a dash for null."""
    return "-" if value is None else f"{value:,.{digits}f}"


def points(value: float, signed: bool = False) -> str:
    """A fraction as percent, or as percentage points with a sign."""
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"


def interval(bounds: list[float], signed: bool = False) -> str:
    """A 95 % interval in percent."""
    return f"[{points(bounds[0], signed)}, {points(bounds[1], signed)}]"


def duration(seconds: float) -> str:
    """Seconds as 12 s, 3:05 min or 2:03:05 h."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def sort_key(score: dict[str, Any], models: list[str]) -> tuple[str, int, int]:
    """By benchmark, test before dev, trained models in their order, then published ones, and baselines last."""
    names = [*models, "", *BASELINES.names()]
    place = names.index(score["model"] if score["model"] in names else "")
    return score["benchmark"], ("test", "dev").index(score["split"]), place


def phenomena(summary: dict[str, Any], models: list[str]) -> str:
    """Accuracies by phenomenon of the benchmarks that have some: a table each, with the models as columns."""

    def shown(of_phenomenon: dict[str, Any] | None) -> str:
        return "-" if of_phenomenon is None else points(of_phenomenon["accuracy"])

    text = ""
    by_benchmark: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for score in sorted(summary["benchmarks"], key=lambda score: sort_key(score, models)):
        if score["phenomena"]:
            by_benchmark.setdefault((score["benchmark"], score["split"]), []).append(score)
    for (benchmark, split), scores in by_benchmark.items():
        rows = [
            [name, str(count["n"]), *(shown(score["phenomena"].get(name)) for score in scores)]
            for name, count in scores[0]["phenomena"].items()
        ]
        head = ["phenomenon", "n", *(score["model"] for score in scores)]
        text += table(f"Accuracy by phenomenon: {benchmark}, {split}, in percent", head, rows)
    return text


def aggregations(summary: dict[str, Any], models: list[str]) -> str:
    """Accuracies in the ways that are published, of the benchmarks that have phenomena."""
    rows = []
    for score in sorted(summary["benchmarks"], key=lambda score: sort_key(score, models)):
        if found := score.get("aggregations"):
            rows.append([score["benchmark"], score["split"], score["model"], *(points(found[key]) for key in MEANS)])
    return table("Accuracy as means of ..., in percent", ["benchmark", "split", "model", *MEANS.values()], rows, 3)


def audit_notes(summary: dict[str, Any]) -> str:
    """What the stars of the accuracies mean, and what could not be scored."""
    lines = [
        f"* {found['benchmark']}, {found['split']}: {found['solved_by']} alone has {points(found['accuracy'])} % "
        f"{interval(found['ci95'])}{': so its opposite solves it' if found['accuracy'] < 0.5 else ''}"
        for found in summary["audit"]
    ]
    if lines:
        lines.append("* A trivial baseline solves it: what models get right there need not be language.")
    lines += [
        f"{score['benchmark']}, {score['split']}: {score['model']} has no score ({reasons(score['left_out'])})"
        for score in summary["unscored"]
    ]
    return "\n".join([*lines, "", ""]) if lines else ""


def reasons(left_out: dict[str, int]) -> str:
    """Why items are left out, as text."""
    return ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "there is nothing to score"


PURITIES = {"phone_purity": "phone purity", "cluster_purity": "cluster purity", "pnmi": "mutual information"}


def vocoder(record: dict[str, Any] | None) -> str:
    """Error rates before and after units and vocoder."""
    if record is None:
        return ""
    rows = [
        [
            what,
            points(record[f"{key}_original"]),
            points(record[f"{key}_resynthesis"]),
            points(record[f"{key}_resynthesis"] - record[f"{key}_original"], signed=True),
            interval(record[f"{key}_gap_ci95"], signed=True),
        ]
        for key, what in (("wer", "words"), ("per", "phones"))
    ]
    head = ["errors %", "original", "resynthesis", "difference", "95 % interval"]
    text = table(f"Vocoder, n = {record['n']}", head, rows)
    rows = [
        [
            what,
            number(rated["original"], 2),
            number(rated["resynthesis"], 2),
            f"{rated['resynthesis'] - rated['original']:+.2f}",
            "[{:+.2f}, {:+.2f}]".format(*rated["gap_ci95"]),
        ]
        for what, rated in (record["dnsmos"] or {}).items()
    ]
    head = ["DNSMOS (1 to 5)", "original", "resynthesis", "difference", "95 % interval"]
    text += table("Quality of the vocoder's speech", head, rows)
    agreement = record["phone_purity"]
    rows = [[what, points(agreement[key])] for key, what in PURITIES.items()] if agreement else []
    return text + table("Units and phones of the originals, by frame", ["figure", "%"], rows)


def generation(records: list[dict[str, Any]]) -> str:
    """Figures of continuations: as published (GenPPL with loops, auto-BLEU times 100), ours, and a judge's grades."""

    def bounds(values: list[float] | None, factor: float = 1, digits: int = 1) -> str:
        return (
            "-" if values is None else f"[{number(factor * values[0], digits)}, {number(factor * values[1], digits)}]"
        )

    records = [current(record) for record in records]
    rows = [
        [
            record["model"],
            str(record["n"]),
            number(record["gen_ppl"]),
            bounds(record["gen_ppl_ci95"]),
            number(record["gen_ppl_without_loops"]),
            bounds(record["gen_ppl_without_loops_ci95"]),
            "-" if record["auto_bleu"] is None else number(100 * record["auto_bleu"], 2),
            bounds(record["auto_bleu_ci95"], 100, 2),
            str(record["empty_transcripts"]),
            str(record["looped_transcripts"]),
        ]
        for record in records
    ]
    head = ["model", "n", "GenPPL", "95 % interval", "without loops", "95 % interval"]
    text = table("Continuations", [*head, "auto-BLEU-2 x100", "95 % interval", "empty", "loops"], rows)
    rows = [
        [
            record["model"],
            judge["judge"]["model"],
            str(judge["n"]),
            number(judge["mean"], 2),
            bounds(judge["ci95"], digits=2),
            str(judge["unparsable"]),
            str(judge["failed"]),
        ]
        for record in records
        if (judge := record["judge"])
    ]
    head = ["model", "judge", "n", "grade 1-5", "95 % interval", "unparsable", "failed"]
    text += table("Continuations, graded by a language model", head, rows, text_columns=2)
    lists = prompt_lists(records)
    if len(lists) > 1:
        text = text.rstrip("\n") + f"\n{DIFFERENT_PROMPTS}\n\n"
    elif lists:
        text = text.rstrip("\n") + f"\nprompts: {about_prompts(lists[0])}\n\n"
    return text


def header(summary: dict[str, Any]) -> str:
    """What was run, when and on what."""
    provenance, units = summary["provenance"], summary["units"]
    lines = [f"{summary['recipe']}: {provenance['date']}, commit {(provenance['commit'] or 'unknown')[:10]}"]
    if (provenance["commit"] or "").endswith("-dirty"):
        lines[0] += " with changes"
    if provenance["device"]:
        lines.append(f"device: {provenance['device']}")
    if units:
        lines.append(
            f"units: {units['encoder']}, {number(units['vocabulary'], 0)} at {units['frame_rate_hz']:g} Hz, "
            f"{number(units['tokens_per_second'])} tokens and {number(units['bits_per_second'], 0)} bits a second, "
            f"{number(units['hours'], 2)} h of speech"
        )
    return "\n".join([*lines, "", ""])


def training(records: list[dict[str, Any]]) -> str:
    """What was trained, on how much, and the validation losses."""
    rows = [
        [
            model["model"],
            str(model["init"]),
            number(model["parameters"] / 1e6),
            number(model["tokens"], 0),
            duration(model["seconds"]),
            number(model["tokens_per_second"], 0),
            ", ".join(f"{name} {loss:.3f}" for name, loss in model["validation_loss"].items()) or "-",
        ]
        for model in records
    ]
    head = ["model", "from", "million parameters", "tokens", "time", "tokens/s", "validation loss (nats/token)"]
    return table("Training", head, rows, text_columns=2)


def accuracies(summary: dict[str, Any], models: list[str]) -> str:
    """Accuracies with intervals; a star where a trivial baseline solves the benchmark."""
    solved = {(found["benchmark"], found["split"]) for found in summary["audit"]}
    rows = []
    for score in sorted(summary["benchmarks"], key=lambda score: sort_key(score, models)):
        name = f"{score['model']} (baseline)" if score["model"] in BASELINES.names() else score["model"]
        star = " *" if (score["benchmark"], score["split"]) in solved else ""
        what = [score["benchmark"] + star, score["split"], name, str(score["n"])]
        figures = [points(score["accuracy"]), interval(score["ci95"]), points(score["chance"])]
        rows.append([*what, *figures, str(sum(score["left_out"].values()))])
    head = ["benchmark", "split", "model", "n", "accuracy %", "95 % interval", "chance %", "left out"]
    return table("Accuracy", head, rows, text_columns=3)


def differences(summary: dict[str, Any], models: list[str]) -> str:
    """What models gained over others."""
    rows = [
        [
            gain["benchmark"],
            gain["split"],
            f"{gain['model']} - {gain['against']}",
            points(gain["gain"], signed=True),
            interval(gain["ci95"], signed=True),
        ]
        for gain in sorted(summary["differences"], key=lambda gain: sort_key(gain, models))
    ]
    head = ["benchmark", "split", "models", "gain", "95 % interval"]
    return table("Differences on the same pairs, in percentage points", head, rows, text_columns=3)


def costs(stages: list[dict[str, Any]]) -> str:
    """Time, memory and disk of each rule, and of all."""
    rows = [
        [
            stage["rule"],
            str(stage["jobs"]),
            duration(stage["seconds"]),
            number(stage["max_rss_mb"], 0),
            number(stage["disk_mb"]),
        ]
        for stage in stages
    ]
    if stages:
        disk = sum(stage["disk_mb"] or 0 for stage in stages)
        memory = max((stage["max_rss_mb"] for stage in stages if stage["max_rss_mb"] is not None), default=None)
        jobs = sum(stage["jobs"] for stage in stages)
        seconds = sum(stage["seconds"] for stage in stages)
        rows.append(["all", str(jobs), duration(seconds), number(memory, 0), number(disk)])
    return table("Costs", ["rule", "jobs", "time of all jobs", "peak MiB of one job", "disk MiB"], rows)


def render(summary: dict[str, Any]) -> str:
    """The whole summary."""
    models = [model["model"] for model in summary["training"]]
    parts = [
        header(summary),
        training(summary["training"]),
        accuracies(summary, models),
        audit_notes(summary),
        differences(summary, models),
        aggregations(summary, models),
        phenomena(summary, models),
        vocoder(summary["vocoder"]),
        generation(summary["generation"]),
        costs(summary["stages"]),
    ]
    return "".join(parts).rstrip("\n") + "\n"
