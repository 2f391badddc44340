"""Settings of the jobs that summarize and show a run, and where a recipe names assets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from slamflow.adapters import ADAPTERS
from slamflow.benchmarks import BENCHMARKS
from slamflow.corpora import CORPORA
from slamflow.lm.objectives import OBJECTIVES
from slamflow.recipe.base import Settings
from slamflow.recipe.recipe import Recipe
from slamflow.scorers import BASELINES
from slamflow.text import TEXT_SOURCES
from slamflow.tokenizers import TOKENIZERS
from slamflow.tts import ENGINES
from slamflow.vocoders import VOCODERS

FAMILIES = (CORPORA, TEXT_SOURCES, ENGINES, TOKENIZERS, VOCODERS, BENCHMARKS, OBJECTIVES, BASELINES, ADAPTERS)
KEYS_OF_KINDS = {family.key for family in FAMILIES} | {"task", "model_type"}
"""Keys whose values are names of kinds, of this project or (model_type) of transformers."""
KEYS_OF_OTHER_NAMES = {"corpus", "data", "encoder", "models", "pairs", "voices", "wandb_project"}
"""Keys whose values are names of other things, parts of the recipe above all, which may be called as an asset is."""


class Summarize(Settings):
    """Settings of one summarize job."""

    recipe: Recipe
    jobs: dict[str, str] = {}
    """For each rule, a regular expression of the names of its jobs that belong to the recipe."""


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


class RenderLeaderboard(Settings):
    """Settings of one render_leaderboard job."""

    recipe: str
    """The recipe's name."""
    rehearsal: bool
    """Whether its sizes are those of a rehearsal, so that nothing is a result."""
    benchmarks: dict[str, str]
    """The benchmarks whose items were published, and the column that each belongs to: the same items in the units of
    several encoders are one column. Figures of other benchmarks do not stand beside published ones."""
    encoders: dict[str, str] = {}
    """The encoder of each of these benchmarks: of several, each has a row of a baseline."""
    models: dict[str, Literal["public weights", "trained here"]]
    """The models whose units may stand in a table with published ones, and where each comes from."""
    references: dict[str, str]
    """Baselines and references of continuations, and what each knows."""
    protocol: list[str]
    """How the figures were measured, as sentences."""


def asset_uses(recipe: Recipe, names: Iterable[str]) -> dict[str, list[str]]:
    """The keys of a recipe whose value is one of `names`, or a file asset:NAME/FILE; assets without any are left out.

    The recipe's own `assets:` section and the names that it gives to its parts do not count.
    """
    known = set(names)
    found: dict[str, list[str]] = {}
    for key, value in _leaves(recipe.model_dump(mode="json", exclude={"assets", "recipe"})):
        name = value.removeprefix("asset:").partition("/")[0] if value.startswith("asset:") else value
        if name in known and not _names_no_asset(recipe, key.rpartition(".")[2], value):
            found.setdefault(name, []).append(key)
    return found


def _names_no_asset(recipe: Recipe, key: str, value: str) -> bool:
    """Whether the value of a key, by the last part of its name, is the name of something that is no asset."""
    is_model = key == "init" and value in recipe.models
    return is_model or key in KEYS_OF_KINDS or key in KEYS_OF_OTHER_NAMES


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
