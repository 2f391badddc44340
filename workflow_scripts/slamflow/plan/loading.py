"""A recipe and the table of assets, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from slamflow.commands import describe_errors
from slamflow.errors import InputError
from slamflow.settings.assets import Asset
from slamflow.settings.recipe import Recipe
from slamflow.strict_yaml import load_yaml


def load_recipe(config: dict[str, Any], config_files: list[str]) -> Recipe:
    """Check a merged configuration. Raises InputError with one line a problem, each naming its key."""
    for path in config_files:
        load_yaml(path)
    try:
        return Recipe.model_validate(config)
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
