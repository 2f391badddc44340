"""Language models on disk: a transformers folder's configuration and weights, read and written."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from slamflow import files
from slamflow.errors import InputError


def load_language_model(folder: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    """A causal language model with its weights as they are, in float32, without dropout, for evaluation.

    Raises InputError for a folder that holds none, and for weights that lack a tensor or have one too many.
    """
    config = load_config(folder)
    prepare_config(config, None)
    model, unexpected = read_weights(folder, config)
    if unexpected:
        raise InputError(f"{folder}: the weights have {unexpected[0]}, which is no tensor of {config.model_type}")
    embedding(model).padding_idx = None
    torch.nn.Module.to(model, device)
    return model.eval()


def embedding(model: PreTrainedModel) -> nn.Embedding:
    """The input embeddings."""
    return cast(nn.Embedding, model.get_input_embeddings())


def load_config(folder: Path) -> PretrainedConfig:
    """Read a transformers folder's config.json. Raises InputError if there is none or it cannot be understood."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json; give a folder with a transformers causal language model")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}/config.json: {error}") from None


def read_weights(folder: Path, config: PretrainedConfig) -> tuple[PreTrainedModel, list[str]]:
    """A model in float32 with a transformers folder's safetensors, and the names of tensors that it has no use for.

    Raises InputError if they cannot be read or a tensor is missing.
    """
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
    return model, sorted(loading["unexpected_keys"])


def is_dropout(key: str) -> bool:
    """Whether a key of a configuration is a probability of dropout."""
    return any(word in key for word in ("dropout", "pdrop", "layerdrop"))


def drops_attention(config: PretrainedConfig) -> bool:
    """Whether shares of attention are dropped in training."""
    return any(is_dropout(key) and "att" in key and value for key, value in config.to_dict().items())


def prepare_config(config: PretrainedConfig, rope_theta: float | None, keep: Collection[str] = ()) -> None:
    """Remove dropout but for the keys to `keep`, and set the base of the rotary embedding if one is given.

    transformers reads the base from `rope_parameters` only; an attribute rope_theta is ignored.
    Raises InputError if the model has no rotary embedding.
    """
    for key, value in config.to_dict().items():
        if is_dropout(key) and isinstance(value, float) and key not in keep:
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


def export_model(model: PreTrainedModel, output: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Write config.json and model.safetensors, each whole or not at all; `weights`, if given, in place of its own."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".export.") as temporary:
        model.save_pretrained(temporary, state_dict=weights, max_shard_size="1TB")
        for name in ("model.safetensors", "config.json"):
            with files.atomic_path(output / name) as path:
                (Path(temporary) / name).rename(path)
