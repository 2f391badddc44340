"""The workflow as a picture: a box for each rule with what its jobs cost, and what goes from one to another."""

from __future__ import annotations

from collections import defaultdict
from itertools import accumulate, pairwise
from typing import Any

from markupsafe import Markup

from slamflow.report.charts import picture, tag
from slamflow.report.rules import RULES
from slamflow.report.table import duration, number

WIDTH, HEIGHT, GAP_X, GAP_Y, LANE = 168, 66, 18, 44, 24


def needed_edges(names: list[str]) -> list[tuple[str, str]]:
    """The edges among these rules, less those that a longer way says already."""
    known = [name for name in names if name in RULES]
    follows = {name: [other for other in RULES[name].read_by if other in names] for name in known}

    def reaches(start: str, end: str) -> bool:
        return any(other == end or reaches(other, end) for other in follows[start])

    return [
        (name, other)
        for name in known
        for other in follows[name]
        if not any(between != other and reaches(between, other) for between in follows[name])
    ]


def layers(names: list[str], edges: list[tuple[str, str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Rules by how many steps they are from the last one, and the way of each edge through the layers.

    An edge that passes a layer has a lane of its own there, named `rule>rule`. Each layer is sorted by the places of
    the neighbors above and below, so that edges cross little (Sugiyama, Tagawa and Toda 1981).
    """
    depth = dict.fromkeys(names, 0)
    for _ in names:
        for name, other in edges:
            depth[name] = max(depth[name], depth[other] + 1)
    rows = [[name for name in names if depth[name] == level] for level in range(max(depth.values(), default=0), -1, -1)]
    ways = []
    for name, other in edges:
        first, last = len(rows) - 1 - depth[name], len(rows) - 1 - depth[other]
        lanes = [f"{name}>{other} {level}" for level in range(first + 1, last)]
        for level, lane in enumerate(lanes, start=first + 1):
            rows[level].append(lane)
        ways.append([name, *lanes, other])
    near: dict[str, list[str]] = defaultdict(list)
    for way in ways:
        for one, other in pairwise(way):
            near[one].append(other)
            near[other].append(one)
    place = {name: x for row in rows for name, x in across(row).items()}
    for _ in range(8):
        for row in (*rows, *reversed(rows)):
            row.sort(key=lambda name: sum(place[other] for other in near[name] or [name]) / len(near[name] or [name]))
            place.update(across(row))
    return rows, ways


def across(row: list[str]) -> dict[str, float]:
    """Where the middle of each box and lane of a layer is, the layer's middle being 0."""
    widths = [LANE if ">" in name else WIDTH + GAP_X for name in row]
    ends = list(accumulate(widths))
    return {name: end - width / 2 - ends[-1] / 2 for name, end, width in zip(row, ends, widths, strict=True)}


def stage_picture(stages: list[dict[str, Any]]) -> Markup:
    """Boxes from top to bottom, with each rule's share of the time as a bar."""
    costs = {stage["rule"]: stage for stage in stages}
    names = [name for name in RULES if name in costs or name in ("summarize", "render_report")]
    names += [name for name in costs if name not in names]
    edges = needed_edges(names)
    rows, ways = layers(names, edges)
    middle = {name: x for row in rows for name, x in across(row).items()}
    left = min(x - (LANE if ">" in name else WIDTH) / 2 for name, x in middle.items()) - 2
    right = max(x + (LANE if ">" in name else WIDTH) / 2 for name, x in middle.items()) + 2
    top = {name: 2 + level * (HEIGHT + GAP_Y) for level, row in enumerate(rows) for name in row}
    place = {name: (middle[name] - left - WIDTH / 2, top[name]) for name in names}
    longest = max((stage["seconds"] for stage in stages), default=0) or 1
    parts: list[object] = []
    for way in ways:
        x, y = middle[way[0]] - left, top[way[0]] + HEIGHT
        curve = f"M{x:.1f},{y}"
        for name in way[1:]:
            x_next, bend = middle[name] - left, GAP_Y / 2
            curve += f" C{x:.1f},{y + bend:g} {x_next:.1f},{top[name] - bend:g} {x_next:.1f},{top[name]}"
            x, y = x_next, top[name] + HEIGHT
            curve += f" L{x:.1f},{y}" if name not in place else ""
        parts.append(tag("path", d=curve, class_="edge"))
    for name, (x, y) in place.items():
        parts.append(_box(name, costs.get(name), x, y, longest))
    height = len(rows) * (HEIGHT + GAP_Y) - GAP_Y + 4
    return picture(right - left, height, "the rules of the workflow and what they cost", *parts, class_="stages")


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
