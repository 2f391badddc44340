"""Reading a transformers folder: its configuration and those of its weights that are asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from slamflow.errors import InputError
from slamflow.files import read_json, sha256_file, sha256_json

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def read_config(folder: Path, model_type: str) -> dict[str, Any]:
    """config.json of a transformers folder. Raises InputError if it is missing or of another type of model."""
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; --model must be a folder with a transformers model")
    config = read_json(path)
    if config.get("model_type") != model_type:
        raise InputError(f"{path}: model_type is {config.get('model_type')!r}, this encoder needs {model_type!r}")
    return config


def require(config: dict[str, Any], folder: Path, **expected: Any) -> None:
    """Refuse a configuration that asks for something this code does not compute. A missing key is as expected."""
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise InputError(f"{folder / 'config.json'}: {key} {config[key]!r} is not supported, only {value!r}")


def weights_file(folder: Path) -> Path:
    """The file with the weights. Raises InputError if there is none."""
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: has neither {' nor '.join(WEIGHT_FILES)}")


def read_tensors(folder: Path, marker: str, wanted: Callable[[str], bool]) -> dict[str, torch.Tensor]:
    """The tensors for whose name `wanted` is true, as float32.

    `marker` is the name of a tensor that must be there; whatever stands before it in the file (`hubert.`,
    `model.encoder.`) is taken off all names. Other tensors are not read. A `pytorch_model.bin` is read with torch's
    weights-only loader, which executes nothing.
    """
    path = weights_file(folder)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                names = _strip(path, list(file.keys()), marker)
                return {short: file.get_tensor(name).float() for short, name in names.items() if wanted(short)}
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except pickle.UnpicklingError:
            raise InputError(f"{path}: refused, it holds more than tensors; ask for a model.safetensors") from None
        names = _strip(path, list(tensors), marker)
        return {short: tensors[name].float().clone() for short, name in names.items() if wanted(short)}
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}); fetch it again") from None


def _strip(path: Path, names: list[str], marker: str) -> dict[str, str]:
    found = [name for name in names if name == marker or name.endswith("." + marker)]
    if len(found) != 1:
        raise InputError(f"{path}: expected one tensor named {marker}, there are {len(found)}")
    prefix = found[0].removesuffix(marker)
    return {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}


def model_digest(folder: Path) -> str:
    """One sha256 over the configuration and the weights of a transformers folder."""
    paths = [folder / "config.json", folder / "preprocessor_config.json", weights_file(folder)]
    return sha256_json({path.name: sha256_file(path) for path in paths if path.is_file()})
