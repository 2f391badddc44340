"""Models of units in SlamKit's format: export and import.

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

    from slamflow.adapters.weights import read_config, read_state
    from slamflow.vocabulary import CONFIG_IDS

    config = read_config(model)
    base = {key: value for key, value in config.items() if key not in NOT_CARRIED}
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default":
        raise InputError(f"{model}/config.json: rope_type {rope['rope_type']!r} is not exported")
    if "rope_theta" in rope:
        base["rope_theta"] = rope["rope_theta"]
    tensors = read_state(model)
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
    """Write what SlamKit's UnitLM.save_pretrained wrote as an ordinary transformers folder, in its precision.

    Unit u is token u + 2, BOS and EOS are 1 and stand around each sequence, PAD is 0; BOS is given, and the score is
    the mean over the units and EOS (slp-rl/slamkit@388b402, slamkit/tokeniser/unit_tokeniser.py:33-58,
    slamkit/model/unit_lm.py:185-194). Raises InputError for a folder of another format, or for special tokens other
    than SlamKit's.
    """
    from slamflow.adapters.weights import make_class, write_model
    from slamflow.vocabulary import CONFIG_IDS, Vocabulary

    model_type, keys, state = read_unit_lm(source)
    for key, value in CONFIG_IDS.items():
        if keys.get(key, value) != value:
            raise InputError(f"{source}/config.json: {key} is {keys[key]}, SlamKit's models of units have {value}")
    write_model(make_class(model_type, {**keys, **CONFIG_IDS}, source), state, output, source)
    return Vocabulary.of_size(keys["vocab_size"])


def read_unit_lm(source: Path) -> tuple[str, dict[str, Any], dict[str, torch.Tensor]]:
    """The text model's type, the keys of its configuration, and its tensors, of a folder of SlamKit's UnitLM.

    Raises InputError for a folder of another format.
    """
    from slamflow.adapters.weights import read_config, read_state

    path = source / "config.json"
    config = read_config(source)
    base = config.get("base_config")
    if config.get("model_type") != MODEL_TYPE or not isinstance(base, dict):
        raise InputError(f"{path}: model_type is {config.get('model_type')!r}, SlamKit's is {MODEL_TYPE!r}")
    scaling = base.get("rope_scaling")
    if scaling and "rope_type" not in scaling:
        raise InputError(f"{path}: rope_scaling {scaling!r} is not read")
    left_out = (*NOT_CARRIED, "model_type", "rope_theta", "rope_scaling")
    keys = {key: value for key, value in base.items() if key not in left_out}
    if "rope_theta" in base:
        rope = {"rope_type": "default", **(scaling or {})}
        keys["rope_parameters"] = {**rope, "rope_theta": float(base["rope_theta"])}
    state = {name.removeprefix(PREFIX): tensor for name, tensor in read_state(source).items()}
    return str(base.get("model_type")), {**keys, "vocab_size": config["vocab_size"]}, state
