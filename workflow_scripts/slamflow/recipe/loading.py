"""A recipe and the table of assets, checked."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from slamflow.assets.asset import Asset
from slamflow.commands import describe_errors
from slamflow.errors import InputError
from slamflow.recipe.recipe import Recipe
from slamflow.strict_yaml import load_yaml

log = logging.getLogger("slamflow")

RENAMED = {"per_cent": "percent", "wrong": "negatives", "judged": "eval_utterances"}
"""Keys of earlier recipes, and what they are called now."""


def load_recipe(config: dict[str, Any], config_files: list[str]) -> Recipe:
    """Check a merged configuration. Raises InputError with one line a problem, each naming its key."""
    for path in config_files:
        load_yaml(path)
    try:
        return Recipe.model_validate(with_new_names(config))
    except ValidationError as error:
        named = ", ".join(config_files) or "--config"
        raise InputError(f"in the configuration ({named}):\n{describe_errors(error)}") from None


def load_assets(path: Path, further: dict[str, Asset]) -> dict[str, Asset]:
    """The table of assets, and what a recipe adds to it."""
    try:
        shipped = TypeAdapter(dict[str, Asset]).validate_python(load_yaml(path))
    except ValidationError as error:
        raise InputError(f"in {path}:\n{describe_errors(error)}") from None
    return {**shipped, **further}


def read_recipe(paths: list[Path], default: Path) -> Recipe:
    """The recipe of configuration files, laid one over the other; without a `recipe:` key over the `default` one."""
    config: dict[str, Any] = {}
    for path in paths:
        config = merge(config, load_yaml(path))
    if "recipe" not in config:
        config = merge(load_yaml(default), config)
    return load_recipe(config, [str(path) for path in paths])


def merge(base: dict[str, Any], laid_over: dict[str, Any]) -> dict[str, Any]:
    """One configuration laid over another, key by key, as Snakemake does it."""
    result = dict(base)
    for key, value in laid_over.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def with_new_names(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the keys of today, and a warning for each old one.

    Old keys are known where they stood: in the splits of corpora, in preferences and in vocoders. Models with pairs had
    no objective.
    """
    sections = {name: section for name, section in config.items() if isinstance(section, dict)}
    result = dict(config)
    for section in ("preferences", "vocoders"):
        if section in sections:
            result[section] = _renamed_entries(section, sections[section])
    if "corpora" in sections:
        result["corpora"] = {
            name: {**corpus, "splits": _renamed_entries(f"corpora.{name}.splits", corpus["splits"])}
            if isinstance(corpus, dict) and isinstance(corpus.get("splits"), dict)
            else corpus
            for name, corpus in sections["corpora"].items()
        }
    if "models" in sections:
        result["models"] = {
            name: _with_objective(f"models.{name}", model) for name, model in sections["models"].items()
        }
    return result


def _renamed_entries(where: str, entries: dict[str, Any]) -> dict[str, Any]:
    result = {}
    for name, entry in entries.items():
        if isinstance(entry, dict):
            for old, new in RENAMED.items():
                if old in entry and new not in entry:
                    log.warning("%s.%s.%s: is called %s now", where, name, old, new)
                    entry = {new if key == old else key: value for key, value in entry.items()}
        result[name] = entry
    return result


def _with_objective(where: str, model: Any) -> Any:
    if isinstance(model, dict) and "pairs" in model and "objective" not in model:
        log.warning("%s: has pairs, so it is taken for objective: dpo; write that", where)
        return {**model, "objective": "dpo"}
    return model
