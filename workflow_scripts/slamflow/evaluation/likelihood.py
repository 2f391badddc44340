"""How likely a language model finds sequences of units."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, PreTrainedModel

from slamflow import commands
from slamflow.errors import InputError

PAD, BOS, EOS = 0, 1, 1
FIRST_UNIT = 2
POSITIONS_AT_ONCE = 4096


def load_model(folder: Path) -> PreTrainedModel:
    """A causal language model in fp32 on the GPU if there is one. Raises InputError if the folder holds none."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json; expected a folder with a transformers model")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.nn.Module.to(model, device)
    return model.eval()


def batches(lengths: npt.NDArray[np.int64], positions: int) -> Iterator[npt.NDArray[np.int64]]:
    """Indices of sequences of like length, such that a padded batch holds at most `positions` (or one sequence)."""
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        size = max(1, positions // int(lengths[order[first]]))
        yield order[first : first + size]
        first += size


@torch.inference_mode()
def mean_nll(
    model: PreTrainedModel, sequences: list[npt.NDArray[np.uint16]], positions: int = POSITIONS_AT_ONCE
) -> npt.NDArray[np.float64]:
    """Mean negative log-likelihood per token, in nats, of each sequence of units.

    A sequence is read as BOS, units, EOS; the mean is over the units and EOS. Padding stands at the right, where a
    causal model cannot see it, so that what else is in a batch of `positions` does not matter. Raises InputError if
    the model's vocabulary or context is too small.
    """
    vocabulary = model.config.vocab_size
    largest = max((int(units.max()) for units in sequences if units.size), default=-1)
    if largest + FIRST_UNIT >= vocabulary:
        raise InputError(
            f"unit {largest} is outside the model's vocabulary of {vocabulary} tokens; "
            "were the benchmark and the model made with different codebooks?"
        )
    lengths = np.array([units.size + 2 for units in sequences], dtype=np.int64)
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and lengths.max(initial=0) - 1 > context:
        raise InputError(f"a sequence of {lengths.max()} tokens does not fit the model's context of {context}")
    result = np.empty(len(sequences), dtype=np.float64)
    groups = list(batches(lengths, positions))
    for group in commands.progress(groups, len(groups), "batches scored"):
        width = int(lengths[group].max())
        tokens = np.full((len(group), width), PAD, dtype=np.int64)
        for row, index in enumerate(group):
            tokens[row, : lengths[index]] = [BOS, *(sequences[index].astype(np.int64) + FIRST_UNIT), EOS]
        rows = torch.from_numpy(tokens).to(model.device)
        targets = rows[:, 1:].clone()
        outside = torch.arange(1, width, device=model.device) >= torch.from_numpy(lengths[group, None]).to(model.device)
        targets[outside] = -100
        logits = model(input_ids=rows[:, :-1], use_cache=False).logits
        losses = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
        result[group] = (losses.double().sum(1).cpu().numpy()) / (lengths[group] - 1)
    return result
