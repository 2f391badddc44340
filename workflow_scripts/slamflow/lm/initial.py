"""Language models at the start of their training: from scratch, or from a text model with another vocabulary.

The warm start is TWIST (Hassid et al. 2023, "Textually Pretrained Speech Language Models", arXiv:2305.13009).
"""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from slamflow.errors import InputError
from slamflow.lm.model import embedding, load_config, prepare_config, read_weights
from slamflow.vocabulary import CONFIG_IDS, Vocabulary

if TYPE_CHECKING:
    from slamflow.lm.objectives.next_token import NextTokenModel

OURS = frozenset({"vocab_size", *CONFIG_IDS})
"""Keys of an architecture that the dataset decides."""


def build_model(settings: NextTokenModel, vocabulary: Vocabulary, context: int, parent: Path | None) -> PreTrainedModel:
    """A float32 model on the CPU for the tokens of `vocabulary` and rows of `context` positions, as `settings` say.

    New weights come from `settings.seed` alone. Raises InputError for an architecture or a parent that does not work.
    """
    torch.manual_seed(settings.seed)
    if settings.init == "scratch":
        model = _from_scratch(settings, vocabulary)
    elif parent is None:
        raise InputError(f"init: {settings.init} is a warm start; give the model's folder with --parent")
    else:
        model = _from_text_model(settings, vocabulary, parent)
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and longest < context:
        raise InputError(f"the model has max_position_embeddings {longest}, but the rows are {context} positions long")
    for key, value in CONFIG_IDS.items():
        setattr(model.config, key, value)
    # The row of padding_idx would never get a gradient, and the text model's padding may be our BOS.
    embedding(model).padding_idx = None
    return model


def _from_scratch(settings: NextTokenModel, vocabulary: Vocabulary) -> PreTrainedModel:
    """New weights in the shape of settings.architecture."""
    keys = dict(settings.architecture or {})
    model_type = keys.pop("model_type", None)
    if not isinstance(model_type, str):
        raise InputError("architecture.model_type: needed, for example llama or qwen2")
    try:
        known = type(AutoConfig.for_model(model_type))
    except ValueError:
        raise InputError(f"architecture.model_type: transformers has no model type {model_type!r}") from None
    names = {*known().to_dict(), *known.attribute_map, "rope_theta"}
    for key in keys:
        if key in OURS:
            raise InputError(f"architecture.{key}: is set by the dataset; leave it out")
        if key not in names:
            near = difflib.get_close_matches(key, sorted(names), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"architecture.{key}: {model_type} has no such key{hint}")
    theta = keys.pop("rope_theta", None)
    try:
        config = AutoConfig.for_model(model_type, **keys, vocab_size=vocabulary.size, **CONFIG_IDS)
        # A class has dropout by default; here only what the recipe says.
        prepare_config(config, settings.rope_theta or theta, keep=keys)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except InputError:
        raise
    except Exception as error:  # transformers raises whatever its many configurations raise
        raise InputError(f"architecture: transformers cannot build this {model_type}: {error}") from None
    if settings.depth_scaled:
        draw_smaller(model, settings.depth_scaled)
    return model


def draw_smaller(model: PreTrainedModel, names: list[str]) -> None:
    """Redraw the layers' matrices of these `names` with standard deviation initializer_range / sqrt(2 * layers).

    As GPT-2 (Radford et al. 2019) scales the projections that write into the residual stream. Raises InputError for a
    name that no matrix has.
    """
    deviation = _deviation(model) / math.sqrt(2 * model.config.num_hidden_layers)
    layers = dict(model.named_modules())
    for name in names:
        found = [module for path, module in layers.items() if path.rpartition(".")[2] == name]
        weights = [getattr(module, "weight", None) for module in found]
        matrices = [weight for weight in weights if isinstance(weight, nn.Parameter) and weight.ndim == 2]
        if not matrices:
            known = {path.rpartition(".")[2] for path, module in layers.items() if hasattr(module, "weight")}
            there = ", ".join(sorted(known))
            raise InputError(f"depth_scaled: {model.config.model_type} has no matrix {name!r}; it has {there}")
        for weight in matrices:
            nn.init.normal_(weight, std=deviation)


def _deviation(model: PreTrainedModel) -> float:
    """Standard deviation of new weights."""
    config = model.config
    return float(getattr(config, "initializer_range", None) or getattr(config, "init_std", None) or 0.02)


def _from_text_model(settings: NextTokenModel, vocabulary: Vocabulary, parent: Path) -> PreTrainedModel:
    """The weights of a transformers folder, as many layers as asked for, with another vocabulary."""
    config = load_config(parent)
    prepare_config(config, settings.rope_theta)
    if settings.layers is not None:
        if settings.layers > config.num_hidden_layers:
            raise InputError(f"layers: {settings.layers}, but {parent} has {config.num_hidden_layers}")
        config.num_hidden_layers = settings.layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: settings.layers]
    model, _ = read_weights(parent, config)
    # The first rows are kept bit for bit; rows beyond the text model's own vocabulary are new.
    model.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    if settings.embeddings == "random":
        deviation = _deviation(model)
        weight, output = embedding(model).weight, cast(nn.Linear, model.get_output_embeddings()).weight
        nn.init.normal_(weight, std=deviation)
        if output is not weight:
            nn.init.normal_(output, std=deviation)
    return model
