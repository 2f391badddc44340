"""Language models of units: from scratch, from a text model with its vocabulary replaced, or as they are.

The warm start is TWIST (Hassid et al. 2023, "Textually Pretrained Speech Language Models").
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from slamflow import files
from slamflow.errors import InputError
from slamflow.packing import BOS, EOS, PAD
from slamflow.settings.training import Model

TOKEN_IDS = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
OURS = frozenset({"vocab_size", *TOKEN_IDS})
"""Keys of an architecture that the dataset decides."""


def build_model(settings: Model, vocabulary: int, context: int, parent: Path | None) -> PreTrainedModel:
    """A float32 model on the CPU for `vocabulary` tokens and rows of `context` positions, as `settings` say.

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
    for key, value in TOKEN_IDS.items():
        setattr(model.config, key, value)
    # A row of the embedding that never gets a gradient is the text model's affair: its padding may be our BOS.
    _embedding(model).padding_idx = None
    return model


def _from_scratch(settings: Model, vocabulary: int) -> PreTrainedModel:
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
        if _is_dropout(key) and keys[key]:
            raise InputError(f"architecture.{key}: must be 0; training goes without dropout")
    theta = keys.pop("rope_theta", None)
    try:
        config = AutoConfig.for_model(model_type, **keys, vocab_size=vocabulary, **TOKEN_IDS)
        prepare_config(config, settings.rope_theta or theta)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except InputError:
        raise
    except Exception as error:  # transformers raises whatever its many configurations raise
        raise InputError(f"architecture: transformers cannot build this {model_type}: {error}") from None
    return model


def _from_text_model(settings: Model, vocabulary: int, parent: Path) -> PreTrainedModel:
    """The weights of a transformers folder, as many layers as asked for, with another vocabulary."""
    config = load_config(parent)
    prepare_config(config, settings.rope_theta)
    if settings.layers is not None:
        if settings.layers > config.num_hidden_layers:
            raise InputError(f"layers: {settings.layers}, but {parent} has {config.num_hidden_layers}")
        config.num_hidden_layers = settings.layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: settings.layers]
    model = load_model(parent, config)
    # The first rows are kept bit for bit; rows beyond the text model's own vocabulary are new.
    model.resize_token_embeddings(vocabulary, mean_resizing=False)
    if settings.embeddings == "random":
        deviation: float = getattr(config, "initializer_range", None) or getattr(config, "init_std", None) or 0.02
        weight, output = _embedding(model).weight, cast(nn.Linear, model.get_output_embeddings()).weight
        nn.init.normal_(weight, std=deviation)
        if output is not weight:
            nn.init.normal_(output, std=deviation)
    return model


def load_parent(folder: Path) -> PreTrainedModel:
    """A model of units with its weights as they are, in float32 on the CPU, without dropout."""
    config = load_config(folder)
    prepare_config(config, None)
    model = load_model(folder, config)
    _embedding(model).padding_idx = None
    return model


def _embedding(model: PreTrainedModel) -> nn.Embedding:
    return cast(nn.Embedding, model.get_input_embeddings())


def load_config(folder: Path) -> PretrainedConfig:
    """Read a transformers folder's config.json. Raises InputError if there is none or it cannot be understood."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json; give a folder with a transformers causal language model")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}/config.json: {error}") from None


def load_model(folder: Path, config: PretrainedConfig) -> PreTrainedModel:
    """Read a transformers folder's safetensors in float32. Raises InputError if that fails or weights are missing."""
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder}: no safetensors; other formats are not read")
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # a damaged file raises errors of several libraries
        raise InputError(f"{folder}: transformers cannot load this model: {error}") from None
    model: PreTrainedModel = loaded[0]
    loading: dict[str, Any] = loaded[1]
    if loading["missing_keys"]:
        raise InputError(f"{folder}: the weights lack {sorted(loading['missing_keys'])[0]}; is it a causal LM?")
    return model


def _is_dropout(key: str) -> bool:
    return any(word in key for word in ("dropout", "pdrop", "layerdrop"))


def prepare_config(config: PretrainedConfig, rope_theta: float | None) -> None:
    """Remove dropout, and set the base of the rotary embedding if one is given.

    transformers reads the base from `rope_parameters` only; an attribute rope_theta is ignored.
    Raises InputError if the model has no rotary embedding.
    """
    for key, value in config.to_dict().items():
        if _is_dropout(key) and isinstance(value, float):
            setattr(config, key, 0.0)
    if rope_theta is None:
        return
    parameters = getattr(config, "rope_parameters", None)
    if not isinstance(parameters, dict) or "rope_theta" not in parameters:
        raise InputError(f"rope_theta: a {config.model_type} model has no rotary position embedding to set it for")
    config.rope_parameters = {**parameters, "rope_theta": float(rope_theta)}


def parent_digest(folder: Path) -> str:
    """Digest of what a warm start reads: config.json and the safetensors."""
    paths = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    return files.sha256_json([[path.name, files.sha256_file(path)] for path in paths])
