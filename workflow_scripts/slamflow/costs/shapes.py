"""The shapes of a recipe's models before any of them is there: no weights are read or made."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from slamflow.costs.flops import Shape, shape_of_config
from slamflow.packing import FIRST_UNIT
from slamflow.settings.assets import Asset
from slamflow.settings.recipe import Recipe
from slamflow.settings.training import Preference
from slamflow.training.model import load_config

BYTES = 256


def vocabulary(recipe: Recipe, dataset: str) -> int:
    """Number of tokens of a dataset."""
    encoder = recipe.datasets[dataset].encoder
    return FIRST_UNIT + (BYTES if encoder == "text" else recipe.encoders[encoder].clusters)


def model_shapes(recipe: Recipe, assets: dict[str, Asset], resources: Path) -> dict[str, Shape | None]:
    """The shape of each model; None for one that starts from an asset of unknown architecture.

    An asset's is taken from its config.json if that is below `resources` already, else from its `architecture`.
    """
    configs = {name: _config(recipe, assets, resources, name) for name in recipe.models}
    return {name: shape_of_config(config) if config is not None else None for name, config in configs.items()}


def _config(recipe: Recipe, assets: dict[str, Asset], resources: Path, name: str) -> Any:
    settings = recipe.models[name]
    if settings.init in recipe.models:
        config = _config(recipe, assets, resources, settings.init)
    elif settings.init == "scratch":
        config = _of_keys(dict(getattr(settings, "architecture", None) or {}))
    else:
        config = _of_asset(assets, resources, str(settings.init))
    if config is None or isinstance(settings, Preference):
        return config
    config = copy.deepcopy(config)
    config.vocab_size = vocabulary(recipe, str(settings.data))
    config.pad_token_id = config.bos_token_id = config.eos_token_id = None
    if settings.layers is not None:
        config.num_hidden_layers = settings.layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: settings.layers]
    return config


def _of_keys(keys: dict[str, Any]) -> Any:
    kind = keys.pop("model_type")
    keys.pop("rope_theta", None)
    return AutoConfig.for_model(kind, **keys)


def _of_asset(assets: dict[str, Asset], resources: Path, name: str) -> Any:
    places = [resources / "models" / name, resources / "assets" / name] if name in assets else [Path(name)]
    for place in places:
        if (place / "config.json").is_file():
            return load_config(place)
    architecture = assets[name].architecture if name in assets else None
    return None if architecture is None else _of_keys(dict(architecture))
