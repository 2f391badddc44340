"""Language models at the start of their training: from scratch, or from a text model with another vocabulary.

The warm start is TWIST (Hassid et al. 2023, "Textually Pretrained Speech Language Models", arXiv:2305.13009).
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from slamflow.errors import InputError
from slamflow.lm.model import embedding, is_dropout, load_config, prepare_config, read_weights
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
        if is_dropout(key) and keys[key]:
            raise InputError(f"architecture.{key}: must be 0; training goes without dropout")
    theta = keys.pop("rope_theta", None)
    try:
        config = AutoConfig.for_model(model_type, **keys, vocab_size=vocabulary.size, **CONFIG_IDS)
        prepare_config(config, settings.rope_theta or theta)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except InputError:
        raise
    except Exception as error:  # transformers raises whatever its many configurations raise
        raise InputError(f"architecture: transformers cannot build this {model_type}: {error}") from None
    return model


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
        deviation: float = getattr(config, "initializer_range", None) or getattr(config, "init_std", None) or 0.02
        weight, output = embedding(model).weight, cast(nn.Linear, model.get_output_embeddings()).weight
        nn.init.normal_(weight, std=deviation)
        if output is not weight:
            nn.init.normal_(output, std=deviation)
    return model
