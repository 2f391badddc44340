"""Models of units in SlamKit's format, to and fro.

SlamKit wraps a text model's class: its config.json has the model type `speech_language_model` and the text model's
configuration under `base_config`, its tensors have the prefix `lm.`. SlamKit goes by transformers 4, where a rotary
embedding's base is the key `rope_theta`; transformers 5 has it under `rope_parameters`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slamflow import files
from slamflow.adapters import SystemSettings
from slamflow.errors import InputError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from slamflow.vocabulary import Vocabulary

MODEL_TYPE = "speech_language_model"
PREFIX = "lm."
NOT_CARRIED = ("rope_parameters", "dtype", "transformers_version", "architectures", "torch_dtype")


class SlamKitSystem(SystemSettings):
    """A model that SlamKit's UnitLM.save_pretrained wrote."""

    adapter: Literal["slamkit"]
    """SlamKit's format (Maimon et al. 2025, arXiv:2502.15814)."""


def export_slamkit(model: Path, output: Path, base_model: str) -> None:
    """Write a model's folder as SlamKit reads it with UnitLM.from_pretrained.

    base_model: the text model that SlamKit starts the configuration from, by its name on the hub or as a folder; all
    that matters of it is overridden. Raises InputError for a folder without a model of units.
    """
    from safetensors.torch import save_file

    from slamflow.vocabulary import CONFIG_IDS

    config = files.read_json(existing(model / "config.json"))
    base = {key: value for key, value in config.items() if key not in NOT_CARRIED}
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default":
        raise InputError(f"{model}/config.json: rope_type {rope['rope_type']!r} is not exported")
    if "rope_theta" in rope:
        base["rope_theta"] = rope["rope_theta"]
    tensors = read_tensors(model)
    written = {
        "model_type": MODEL_TYPE,
        "architectures": ["UnitLM"],
        "base_model_name": base_model,
        "base_config": {**base, **CONFIG_IDS},
        "vocab_size": config["vocab_size"],
        "twist_init": False,
        "use_cache": True,
        "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
        "torch_dtype": "float32",
    }
    output.mkdir(parents=True, exist_ok=True)
    with files.atomic_path(output / "model.safetensors") as path:
        save_file({PREFIX + name: tensor for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
    files.write_json(output / "config.json", written)


def convert(source: Path, output: Path) -> Vocabulary:
    """Write what SlamKit's UnitLM.save_pretrained wrote as an ordinary transformers folder, in float32.

    Raises InputError for a folder of another format, or for special tokens other than SlamKit's.
    """
    from slamflow.lm.model import export_model
    from slamflow.vocabulary import CONFIG_IDS, Vocabulary

    path = existing(source / "config.json")
    config = files.read_json(path)
    base = config.get("base_config")
    if config.get("model_type") != MODEL_TYPE or not isinstance(base, dict):
        raise InputError(f"{path}: model_type is {config.get('model_type')!r}, SlamKit's is {MODEL_TYPE!r}")
    for key, value in CONFIG_IDS.items():
        if base.get(key, value) != value:
            raise InputError(f"{path}: {key} is {base[key]}, SlamKit's models of units have {value}")
    if base.get("rope_scaling"):
        raise InputError(f"{path}: rope_scaling {base['rope_scaling']!r} is not read")
    left_out = (*NOT_CARRIED, "model_type", "rope_theta", "rope_scaling")
    keys = {key: value for key, value in base.items() if key not in left_out}
    keys |= {**CONFIG_IDS, "vocab_size": config["vocab_size"]}
    if "rope_theta" in base:
        keys["rope_parameters"] = {"rope_type": "default", "rope_theta": float(base["rope_theta"])}
    model = filled(base.get("model_type"), keys, read_tensors(source), source)
    export_model(model, output)
    return Vocabulary.of_size(config["vocab_size"])


def filled(model_type: Any, keys: dict[str, Any], tensors: dict[str, torch.Tensor], source: Path) -> PreTrainedModel:
    """The text model's class with SlamKit's weights. Raises InputError if one is missing or one too many."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.for_model(model_type, **keys)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        stripped = {name.removeprefix(PREFIX): tensor.float() for name, tensor in tensors.items()}
        lacking, unknown = model.load_state_dict(stripped, strict=False)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{source}: transformers cannot load this model: {error}") from None
    # The output projection is the embeddings once more where the two are tied, and not stored then.
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if missing := sorted({*lacking} - tied):
        raise InputError(f"{source}: the weights lack {missing[0]} of {model_type}")
    if unknown:
        raise InputError(f"{source}: the weights have {sorted(unknown)[0]}, which is no tensor of {model_type}")
    return model


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder's model.safetensors. Raises InputError if it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = existing(folder / "model.safetensors")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def existing(path: Path) -> Path:
    """The path itself. Raises InputError if there is no such file."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return path
