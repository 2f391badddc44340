"""The shapes of a recipe's models before any of them is there: no weights are read or made."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from slamflow.assets.asset import Asset
from slamflow.errors import InputError
from slamflow.lm.flops import Shape, shape_of_config
from slamflow.lm.model import load_config
from slamflow.recipe.recipe import Recipe
from slamflow.vocabulary import Vocabulary


def model_shapes(recipe: Recipe, assets: dict[str, Asset], resources: Path) -> dict[str, Shape | None]:
    """The shape of each model; None where it is not known.

    So it is for a model that starts from an asset of unknown architecture, or from a published model whose format
    transformers does not read.

    An asset's is taken from its config.json if that is below `resources` already, else from its `architecture`.
    """
    configs = {name: _config(recipe, assets, resources, name) for name in recipe.trained}
    return {name: shape_of_config(config) if config is not None else None for name, config in configs.items()}


def _config(recipe: Recipe, assets: dict[str, Asset], resources: Path, name: str) -> Any:
    if name in recipe.systems:
        try:
            return _of_asset(assets, resources, recipe.systems[name].weights)
        except InputError:
            return None
    settings = recipe.trained[name]
    if settings.init in recipe.models:
        config = _config(recipe, assets, resources, settings.init)
    elif settings.init == "scratch":
        config = _of_keys(dict(getattr(settings, "architecture", None) or {}))
    else:
        config = _of_asset(assets, resources, str(settings.init))
    if config is None or settings.data is None:
        return config
    config = copy.deepcopy(config)
    config.vocab_size = Vocabulary.of(recipe.datasets[settings.data].vocabulary(recipe)).size
    config.pad_token_id = config.bos_token_id = config.eos_token_id = None
    layers = getattr(settings, "layers", None)
    if layers is not None:
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
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
