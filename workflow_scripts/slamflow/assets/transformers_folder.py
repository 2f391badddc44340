"""What a converted transformers folder holds beside its configuration."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from slamflow.errors import InputError
from slamflow.files import atomic_path


def write_weights(state: dict[str, torch.Tensor], output: Path) -> None:
    """Write model.safetensors: same tensors, same bytes."""
    save_tensors(state, output / "model.safetensors")


def save_tensors(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file: same tensors, same bytes."""
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
        give_default_mode(temporary)


def give_default_mode(path: Path) -> None:
    """safetensors makes files that only their owner can read; give this one the rights of any new file."""
    probe = path.with_name(path.name + ".mode")
    probe.touch()
    shutil.copymode(probe, path)
    probe.unlink()


def tokenizer_settings(bos: str | None, eos: str | None, pad: str | None, **more: Any) -> dict[str, Any]:
    """Contents of tokenizer_config.json.

    The class is named, because AutoTokenizer would otherwise choose the one of the model's type, which builds
    its own rules for cutting text instead of reading those of tokenizer.json.
    """
    return {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos, "pad_token": pad, **more}


def check_against_class(
    state: dict[str, torch.Tensor], make: Callable[[], nn.Module], path: Path, what: str, tied: tuple[str, ...] = ()
) -> None:
    """Every name and shape must be one of the class that `make` calls, and none but the `tied` may lack."""
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in make().state_dict().items() if name not in tied}
    found = {name: tensor.shape for name, tensor in state.items()}
    wrong = [name for name in sorted(expected.keys() | found.keys()) if found.get(name) != expected.get(name)]
    if wrong:
        raise InputError(f"{path}: {wrong[0]} is {found.get(wrong[0])}, and {what} has {expected.get(wrong[0])}")
