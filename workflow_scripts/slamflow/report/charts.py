"""Small SVG pictures. All colors are classes of the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

COLORS = 8
"""Classes c0 to c7 of the style sheet."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One curve."""

    name: str
    points: Sequence[Point]
    color: int


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An SVG element. Everything but Markup is escaped; `class_` and `text_anchor` are written class, text-anchor."""
    written = Markup(" ").join(
        Markup('{}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value)) for key, value in attributes.items()
    )
    return Markup("<{} {}>{}</{}>").format(Markup(name), written, Markup("").join(map(escape, content)), Markup(name))


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def picture(width: float, height: float, label: str, *content: object, class_: str = "chart") -> Markup:
    """An SVG picture with a label for those who cannot see it."""
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", *content, viewBox=box, role="img", aria_label=label, class_=class_)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from low to high."""
    rough = (high - low) / about if high > low else 1.0
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def readable(value: float) -> str:
    """A tick's label: 1.5M, 200k, 0.75."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.6g}"


def line_chart(lines: Sequence[Line], label: str, x_name: str, y_name: str, from_zero: bool = False) -> Markup:
    """Curves over one x axis, with their names at the end of each."""
    width, height, left, right, top, bottom = 720, 340, 56, 120, 14, 44
    points = [point for line in lines for point in line.points]
    x_high = max(x for x, _ in points) or 1.0
    y_low, y_high = min(y for _, y in points), max(y for _, y in points)
    margin = 0.06 * (y_high - y_low) or 0.5
    y_low, y_high = (0.0 if from_zero else y_low - margin), y_high + margin

    def across(x: float) -> float:
        return left + x / x_high * (width - left - right)

    def down(y: float) -> float:
        return top + (y_high - y) / (y_high - y_low) * (height - top - bottom)

    parts: list[object] = []
    for y in ticks(y_low, y_high):
        parts.append(tag("line", x1=left, x2=width - right, y1=down(y), y2=down(y), class_="grid"))
        parts.append(tag("text", readable(y), x=left - 8, y=down(y) + 4, text_anchor="end"))
    for x in ticks(0, x_high):
        parts.append(tag("text", readable(x), x=across(x), y=height - bottom + 18, text_anchor="middle"))
    parts.append(tag("text", x_name, x=(left + width - right) / 2, y=height - 6, text_anchor="middle", class_="axis"))
    turn = f"rotate(-90 12 {(top + height - bottom) / 2:g})"
    middle = (top + height - bottom) / 2
    parts.append(tag("text", y_name, x=12, y=middle, transform=turn, text_anchor="middle", class_="axis"))
    for line in lines:
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in line.points)
        parts.append(tag("polyline", points=path, class_=f"line c{line.color % COLORS}"))
        if len(line.points) <= 60:
            for x, y in line.points:
                title = tag("title", f"{line.name}: {y:.3f} at {x:,.0f}")
                parts.append(tag("circle", title, cx=across(x), cy=down(y), r=3, class_=f"dot c{line.color % COLORS}"))
    ends = [(across(line.points[-1][0]) + 9, down(line.points[-1][1]) + 4) for line in lines]
    for line, (x, y) in zip(lines, spread(ends, 15, height - bottom), strict=True):
        parts.append(tag("text", line.name, x=x, y=y, class_=f"name c{line.color % COLORS}"))
    return picture(width, height, label, *parts)


def spread(places: Sequence[Point], apart: float, lowest: float) -> list[Point]:
    """Move labels up or down so that none covers another, in their order from top to bottom."""
    order = sorted(range(len(places)), key=lambda index: places[index][1])
    moved = list(places)
    for above, index in pairwise(order):
        moved[index] = (moved[index][0], max(moved[index][1], moved[above][1] + apart))
    shift = max(0.0, moved[order[-1]][1] - lowest) if order else 0.0
    return [(x, y - shift) if shift else (x, y) for x, y in moved]


def bars(values: Sequence[float], names: Sequence[str], label: str, shown: Sequence[str]) -> Markup:
    """A bar a value, with its name below and `shown` above."""
    width, height, top, bottom = 480, 200, 20, 22
    step = width / len(values)
    high = max(values) or 1.0
    parts: list[object] = []
    for index, (value, name, text) in enumerate(zip(values, names, shown, strict=True)):
        tall = value / high * (height - top - bottom)
        x, middle = index * step, (index + 0.5) * step
        parts.append(
            tag("rect", x=x + 0.1 * step, y=height - bottom - tall, width=0.8 * step, height=tall, class_="bar")
        )
        parts.append(tag("text", text, x=middle, y=height - bottom - tall - 5, text_anchor="middle"))
        parts.append(tag("text", name, x=middle, y=height - 6, text_anchor="middle", class_="axis"))
    return picture(width, height, label, *parts, class_="chart half")


def profile(values: Iterable[float], label: str, left_name: str, right_name: str) -> Markup:
    """Many values as one filled outline, from left to right."""
    width, height, bottom = 480, 200, 22
    found = list(values)
    high = max(found, default=0.0) or 1.0
    step = width / max(1, len(found))
    outline = [f"0,{height - bottom}"]
    for index, value in enumerate(found):
        y = 8 + (1 - value / high) * (height - bottom - 8)
        outline += [f"{index * step:.1f},{y:.1f}", f"{(index + 1) * step:.1f},{y:.1f}"]
    outline.append(f"{width},{height - bottom}")
    return picture(
        width,
        height,
        label,
        tag("polygon", points=" ".join(outline), class_="bar"),
        tag("text", left_name, x=0, y=height - 6, class_="axis"),
        tag("text", right_name, x=width, y=height - 6, text_anchor="end", class_="axis"),
        class_="chart half",
    )


def interval_bar(
    value: float, bounds: Sequence[float], low: float, high: float, mark: float | None = None, color: int = 0
) -> Markup:
    """A dot with its interval between low and high, and a mark, such as chance."""
    width, height = 120, 18

    def across(x: float) -> float:
        return 4 + (min(max(x, low), high) - low) / (high - low) * (width - 8)

    middle = height / 2
    parts: list[object] = [tag("line", x1=4, x2=width - 4, y1=middle, y2=middle, class_="track")]
    if mark is not None:
        parts.append(tag("line", x1=across(mark), x2=across(mark), y1=2, y2=height - 2, class_="mark"))
    kind = f"c{color % COLORS}"
    ends = across(bounds[0]), across(bounds[1])
    parts.append(tag("line", x1=ends[0], x2=ends[1], y1=middle, y2=middle, class_=f"range {kind}"))
    parts.append(tag("circle", cx=across(value), cy=middle, r=4, class_=f"dot {kind}"))
    return picture(width, height, f"{value:.3g}, from {bounds[0]:.3g} to {bounds[1]:.3g}", *parts, class_="interval")
