"""Every hyper-parameter of the published recipes stands in docs/sources.md with its source, and with its value."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from slamflow.strict_yaml import load_yaml

ROOT = Path(__file__).parents[2]
RECIPES = {path.stem: path for path in ROOT.glob("recipes/*.yaml") if re.match("slam|twist|gslm|scaled", path.stem)}
HYPER_PARAMETERS = re.compile(
    r"training\.(?!validate_every|save_every)\w+"
    r"|models\.\w+\.(?!(data|pairs|objective)$)\w+(\.\w+)?"
    r"|datasets\.\w+\.(context|documents)"
    r"|encoders\.\w+\.(?!kind$|codebook$)\w+"
    r"|preferences\.\w+\.(?!encoder$)\w+"
    r"|generation\.sampling\.\w+"
    r"|corpora\.(libri_light|libri_light_6k|stinystories)\.max_seconds"
)
"""The keys that need a row."""
VERDICTS = ("same", "differs", "unverifiable", "ours")


@dataclass(frozen=True)
class Row:
    """A line of a table of docs/sources.md."""

    recipes: list[str]
    keys: list[str]
    """Patterns of `fnmatch`."""
    value: Any
    source: str
    verdict: str

    def covers(self, recipe: str, key: str) -> bool:
        return recipe in self.recipes and any(fnmatchcase(key, pattern) for pattern in self.keys)


def alternatives(pattern: str) -> list[str]:
    """What a pattern stands for without its braces."""
    parts = re.split(r"\{([^}]*)\}", pattern)
    choices = [part.split(",") if number % 2 else [part] for number, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def rows(page: str) -> list[Row]:
    """The rows of the tables whose columns are recipe, key, value, source and verdict."""
    found = []
    wanted = False
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            wanted = False
        elif cells == ["recipe", "key", "value", "source", "verdict"]:
            wanted = True
        elif wanted and not set(line) <= set("|- "):
            recipes, key, value, source, verdict = cells
            told = yaml.safe_load(value.strip("`"))
            found.append(Row(recipes.split(", "), alternatives(key.strip("`")), told, source, verdict))
    return found


def values(section: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What a recipe says, by its key with dots."""
    if isinstance(section, dict):
        for key, value in section.items():
            yield from values(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, section


def hyper_parameters(recipe: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values(recipe) if HYPER_PARAMETERS.fullmatch(key)}


def problems(table: list[Row], recipes: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Where the table and the recipes disagree."""
    used = set()
    for name, recipe in recipes.items():
        for key, value in hyper_parameters(recipe).items():
            covering = [number for number, row in enumerate(table) if row.covers(name, key)]
            used |= {(number, name) for number in covering}
            if len(covering) != 1:
                yield f"{name}: {key} has {len(covering)} rows"
            elif table[covering[0]].value != value:
                yield f"{name}: {key} is {value!r}, the table has {table[covering[0]].value!r}"
    for number, row in enumerate(table):
        for name in row.recipes:
            if (number, name) not in used:
                yield f"{name}: nothing fits the row of {', '.join(row.keys)}"


TABLE = rows((ROOT / "docs/sources.md").read_text(encoding="utf-8"))


def shipped() -> dict[str, dict[str, Any]]:
    return {name: load_yaml(path) for name, path in RECIPES.items()}


def test_recipes_and_table_agree() -> None:
    assert len(RECIPES) >= 10
    assert list(problems(TABLE, shipped())) == []


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.recipes[0]}-{row.keys[0]}")
def test_a_row_has_a_source_and_a_verdict(row: Row) -> None:
    assert row.source
    word, _, reason = row.verdict.partition(": ")
    assert word in VERDICTS
    assert reason or word != "differs"
    assert ("no source" in row.source or "from memory" in row.source) <= (word in ("unverifiable", "ours"))


def test_a_changed_value_a_new_key_and_a_lost_one_are_told() -> None:
    recipes = shipped()
    recipes["slam"]["training"]["learning_rate"] = 2e-3
    recipes["gslm"]["training"]["min_learning_rate"] = 1e-5
    del recipes["scaled_optimal"]["models"]["scaled_optimal"]["depth_scaled"]
    assert sorted(problems(TABLE, recipes)) == [
        "gslm: training.min_learning_rate has 0 rows",
        "scaled_optimal: nothing fits the row of models.scaled_optimal.depth_scaled",
        "slam: training.learning_rate is 0.002, the table has 0.001",
    ]


def test_a_row_reads_as_written() -> None:
    head = "| recipe | key | value | source | verdict |\n|---|---|---|---|---|\n"
    page = f"{head}| a, b | `x.{{y,z*}}.w` | `[1, 0.5]` | P | same |\n\n| c | d |\n"
    assert rows(page) == [Row(["a", "b"], ["x.y.w", "x.z*.w"], [1, 0.5], "P", "same")]


def remarks(text: str, key: str) -> list[str]:
    """For each line of a recipe that gives a key of this name: its comment, with the comment lines right above it."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        if re.match(rf"\s+{key}: ", line):
            above = itertools.takewhile(lambda other: other.lstrip().startswith("#"), reversed(lines[:number]))
            found.append(" ".join([*above, line.partition("#")[2]]))
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_what_differs_from_its_source_says_so_in_the_recipe(name: str) -> None:
    text = RECIPES[name].read_text(encoding="utf-8")
    silent = [
        key
        for key in hyper_parameters(load_yaml(RECIPES[name]))
        for row in TABLE
        if row.covers(name, key) and row.verdict.startswith("differs")
        if not any("differs" in remark for remark in remarks(text, key.rpartition(".")[2]))
    ]
    assert silent == []
