"""What the page of a run is told besides its results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from slamflow.settings.base import Settings
from slamflow.settings.recipe import Recipe


class UsedAsset(Settings):
    """An asset of the recipe: its terms, and where the recipe names it."""

    licence: str
    """SPDX identifier, or the name of the terms."""
    citation: str
    """What to cite."""
    keys: list[str]
    """The recipe's keys that name it."""


class RenderReport(Settings):
    """Settings of one render_report job."""

    recipe: Recipe
    assets: dict[str, UsedAsset] = {}


KINDS = ("kind", "engine", "source", "model_type")
"""Keys whose values are words of the settings themselves."""


def asset_uses(recipe: Recipe, names: Iterable[str]) -> dict[str, list[str]]:
    """The keys of a recipe whose value is one of `names`, or a file asset:NAME/FILE; assets without any are left out.

    The recipe's own `assets:` section and the names that it gives to its parts do not count.
    """
    known = set(names)
    found: dict[str, list[str]] = {}
    for key, value in _leaves(recipe.model_dump(mode="json", exclude={"assets", "recipe"})):
        name = value.removeprefix("asset:").partition("/")[0] if value.startswith("asset:") else value
        if name in known and key.rpartition(".")[2] not in KINDS:
            found.setdefault(name, []).append(key)
    return found


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key and value of every text in a nest of dicts and lists."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, key)
    elif isinstance(value, str):
        yield key, value
