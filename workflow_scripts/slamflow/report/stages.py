"""The workflow as a picture: a box for each rule with what its jobs cost, and what goes from one to another."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from slamflow.evaluation.table import duration, number
from slamflow.report.charts import picture, tag

NEXT: dict[str, tuple[str, ...]] = {
    "fetch_asset": (
        "convert_asset",
        "fit_units",
        "extract_units",
        "write_stories",
        "synthesize_stories",
        "collect_audio",
        "score_vocoder",
        "score_continuations",
    ),
    "convert_asset": ("fit_units", "extract_units", "pretrain", "continue_speech", "score_continuations"),
    "write_stories": ("synthesize_stories", "pack_tokens", "build_benchmark", "build_preferences"),
    "collect_audio": ("fit_units", "extract_units", "train_vocoder", "score_vocoder", "continue_speech"),
    "synthesize_stories": ("fit_units", "extract_units", "train_vocoder", "score_vocoder", "continue_speech"),
    "fit_units": ("extract_units", "pretrain", "summarize", "continue_speech"),
    "extract_units": (
        "pack_tokens",
        "build_benchmark",
        "build_preferences",
        "train_vocoder",
        "score_vocoder",
        "score_baselines",
        "summarize",
        "render_report",
    ),
    "train_vocoder": ("score_vocoder", "continue_speech"),
    "pack_tokens": ("pretrain",),
    "build_preferences": ("dpo",),
    "pretrain": ("dpo", "score_benchmark", "continue_speech", "summarize", "render_report"),
    "dpo": ("score_benchmark", "continue_speech", "summarize", "render_report"),
    "build_benchmark": ("score_benchmark", "score_baselines"),
    "score_vocoder": ("summarize", "render_report"),
    "score_benchmark": ("summarize",),
    "score_baselines": ("summarize",),
    "continue_speech": ("score_continuations", "render_report"),
    "score_continuations": ("summarize", "render_report"),
    "summarize": ("render_report",),
}
"""Which rules read what a rule writes; a test compares it with Snakemake's own graph."""

WIDTH, HEIGHT, GAP_X, GAP_Y = 158, 66, 18, 44


def needed_edges(names: list[str]) -> list[tuple[str, str]]:
    """The edges among these rules, less those that a longer way says already."""
    follows = {name: [other for other in NEXT.get(name, ()) if other in names] for name in names}

    def reaches(start: str, end: str) -> bool:
        return any(other == end or reaches(other, end) for other in follows[start])

    return [
        (name, other)
        for name in names
        for other in follows[name]
        if not any(between != other and reaches(between, other) for between in follows[name])
    ]


def layers(names: list[str], edges: list[tuple[str, str]]) -> list[list[str]]:
    """Rules by how many steps they are from the last one, each layer sorted so that edges cross little."""
    depth = dict.fromkeys(names, 0)
    for _ in names:
        for name, other in edges:
            depth[name] = max(depth[name], depth[other] + 1)
    rows = [[name for name in names if depth[name] == level] for level in range(max(depth.values(), default=0), -1, -1)]
    rows = [row for row in rows if row]
    for _ in range(4):
        place = {name: (index + 0.5) / len(row) for row in rows for index, name in enumerate(row)}
        for row in rows:
            near = {
                name: [place[b if a == name else a] for a, b in edges if name in (a, b)] or [place[name]]
                for name in row
            }
            row.sort(key=lambda name: (sum(near[name]) / len(near[name]), name))
            place.update({name: (index + 0.5) / len(row) for index, name in enumerate(row)})
    return rows


def stage_picture(stages: list[dict[str, Any]]) -> Markup:
    """Boxes from top to bottom, with each rule's share of the time as a bar."""
    costs = {stage["rule"]: stage for stage in stages}
    names = [name for name in (*NEXT, "render_report") if name in costs or name in ("summarize", "render_report")]
    names += [name for name in costs if name not in names]
    edges = needed_edges(names)
    rows = layers(names, edges)
    width = max(len(row) for row in rows) * (WIDTH + GAP_X) - GAP_X + 4
    height = len(rows) * (HEIGHT + GAP_Y) - GAP_Y + 4
    place = {
        name: (2 + (index + 0.5) * (width - 4) / len(row) - WIDTH / 2, 2 + level * (HEIGHT + GAP_Y))
        for level, row in enumerate(rows)
        for index, name in enumerate(row)
    }
    longest = max((stage["seconds"] for stage in stages), default=0) or 1
    parts: list[object] = []
    for name, other in edges:
        (x1, y1), (x2, y2) = place[name], place[other]
        x1, y1, x2 = x1 + WIDTH / 2, y1 + HEIGHT, x2 + WIDTH / 2
        bend = (y2 - y1) / 2 if y2 - y1 < HEIGHT else GAP_Y
        curve = f"M{x1:g},{y1:g} C{x1:.1f},{y1 + bend:g} {x2:.1f},{y2 - bend:g} {x2:.1f},{y2:g}"
        parts.append(tag("path", d=curve, class_="edge"))
    for name, (x, y) in place.items():
        parts.append(_box(name, costs.get(name), x, y, longest))
    return picture(width, height, "the rules of the workflow and what they cost", *parts, class_="stages")


def _box(name: str, stage: dict[str, Any] | None, x: float, y: float, longest: float) -> Markup:
    parts = [tag("rect", x=x, y=y, width=WIDTH, height=HEIGHT, rx=8, class_="box")]
    parts.append(tag("text", name, x=x + 10, y=y + 20, class_="rule"))
    if stage:
        jobs = f"{stage['jobs']} job{'s' if stage['jobs'] != 1 else ''}, {duration(stage['seconds'])}"
        memory = f"{number(stage['max_rss_mb'], 0)} MiB, disk {number(stage['disk_mb'])}"
        parts.append(tag("text", jobs, x=x + 10, y=y + 37))
        parts.append(tag("text", memory, x=x + 10, y=y + 53))
        share = (WIDTH - 20) * stage["seconds"] / longest
        parts.append(tag("rect", x=x + 10, y=y + HEIGHT - 7, width=max(share, 1.0), height=3, rx=1.5, class_="bar"))
    return tag("g", *parts)
