"""Direct preference optimisation (Rafailov et al. 2023) of right endings over wrong ones.

A sequence is BOS, prompt, ending, EOS. Log-probabilities are summed over the ending and EOS; the prompt is given.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from transformers import PreTrainedModel

from slamflow import files
from slamflow.errors import InputError
from slamflow.packing import BOS, EOS, FIRST_UNIT, PAD, PADDING_DOCUMENT
from slamflow.settings.training import OBSERVATION, Preference
from slamflow.training import state
from slamflow.training.attention import ROUND_TO, Attention, fastest_attention, model_inputs, use_attention
from slamflow.training.devices import Machine, Ranks
from slamflow.training.export import speech_record, training_record, versions, write_model_folder
from slamflow.training.loop import train
from slamflow.training.model import load_parent, parent_digest
from slamflow.training.rows import Batch, Ints, Order, share

log = logging.getLogger("slamflow")
Mask = npt.NDArray[np.bool_]
COLUMNS = ("prompt", "chosen", "rejected")
NO_INFLUENCE = OBSERVATION | {"init", "pairs"}


@dataclass(frozen=True)
class Candidate:
    """One ending after its prompt."""

    tokens: Ints
    """int64 [length]: BOS, prompt, ending, EOS."""
    given: int
    """How many of them are BOS and prompt."""


@dataclass(frozen=True)
class Pair:
    """A right and a wrong ending of one prompt."""

    chosen: Candidate
    rejected: Candidate


@dataclass(frozen=True)
class PairBatch:
    """Some pairs as padded rows: all chosen ones, then all rejected ones."""

    rows: Batch
    scored: Mask
    """bool [2 * pairs, context]: whether the token after a position belongs to the ending or is its EOS."""
    real: Mask
    """bool [pairs]: false for a row of padding."""
    indices: Ints
    """int64 [pairs]: which pairs of all."""


def read_pairs(path: Path, context: int, vocabulary: int) -> tuple[list[Pair], int]:
    """Read pairs (Parquet: id, prompt, chosen, rejected), in the order of the file.

    Pairs with an empty ending or a sequence of more than `context` tokens are left out; returns how many too. Raises
    InputError if the file is not one of pairs, none is left, or a unit has no token among `vocabulary`.
    """
    try:
        table = pq.read_table(path, columns=["id", *COLUMNS])
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: cannot be read as pairs ({error}); make it again") from None
    if missing := {"id", *COLUMNS} - set(table.column_names):
        raise InputError(f"{path}: no column {sorted(missing)[0]!r}; pairs have id, prompt, chosen and rejected")
    pairs = []
    left_out = 0
    for row in table.to_pylist():
        prompt, *endings = (np.array(row[name], dtype=np.int64) + FIRST_UNIT for name in COLUMNS)
        if any(part.size and part.max() >= vocabulary for part in (prompt, *endings)):
            raise InputError(f"{path}: {row['id']} has a unit above {vocabulary - FIRST_UNIT - 1}, the model's last")
        sequences = [Candidate(np.concatenate([[BOS], prompt, part, [EOS]]), 1 + prompt.size) for part in endings]
        if min(part.size for part in endings) and max(sequence.tokens.size for sequence in sequences) <= context:
            pairs.append(Pair(*sequences))
        else:
            left_out += 1
    if not pairs:
        raise InputError(f"{path}: none of its {left_out} pairs has endings and sequences of at most {context} tokens")
    return pairs, left_out


def make_batch(pairs: list[Pair], indices: Ints) -> PairBatch:
    """Pad the pairs at `indices`; -1 gives a row of padding only."""
    chosen = [pairs[index].chosen if index >= 0 else None for index in indices]
    rejected = [pairs[index].rejected if index >= 0 else None for index in indices]
    sequences = chosen + rejected
    longest = max([sequence.tokens.size for sequence in sequences if sequence], default=1)
    shape = len(sequences), -(-longest // ROUND_TO) * ROUND_TO
    input_ids, document = np.full(shape, PAD, dtype=np.int64), np.full(shape, PADDING_DOCUMENT, dtype=np.int64)
    scored = np.zeros(shape, dtype=bool)
    for row, sequence in enumerate(sequences):
        if sequence is not None:
            input_ids[row, : sequence.tokens.size] = sequence.tokens
            document[row, : sequence.tokens.size] = 0
            scored[row, sequence.given - 1 : sequence.tokens.size - 1] = True
    return PairBatch(Batch(input_ids, document), scored, indices >= 0, indices)


def log_probabilities(model: Any, batch: PairBatch, attention: Attention, device: torch.device) -> Tensor:
    """Sum of the log-probabilities of each ending; float32 [2, pairs], chosen and rejected."""
    logits = model(**model_inputs(batch.rows, attention, device)).logits
    targets = torch.from_numpy(np.roll(batch.rows.input_ids, -1, axis=1)).to(device)
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    scored = torch.from_numpy(batch.scored).to(device)
    return -(losses.view_as(scored) * scored).sum(1).view(2, -1)


def dpo_losses(policy: Tensor, reference: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Loss and margin of each pair; equation 7 of Rafailov et al. 2023.

    `policy` and `reference` are [2, pairs]: log-probabilities of the chosen and the rejected endings, in nats.
    The margin is by how much more the policy has come to prefer the chosen one, times beta.
    """
    chosen, rejected = policy - reference
    margins = beta * (chosen - rejected)
    return -torch.nn.functional.logsigmoid(margins), margins


class PreferChosen:
    """Mean DPO loss over pairs, perhaps with the likelihood of the chosen endings; see
    slamflow.training.loop.Objective."""

    def __init__(
        self, pairs: list[Pair], settings: Preference, attention: Attention, micro_batch_tokens: int, ranks: Ranks
    ) -> None:
        self.pairs, self.attention, self.ranks = pairs, attention, ranks
        self.beta, self.nll_weight = settings.beta, settings.nll_weight
        lengths = [max(pair.chosen.tokens.size, pair.rejected.tokens.size) for pair in pairs]
        self.at_once = max(1, micro_batch_tokens // (2 * max(lengths)))
        self.order = Order(len(pairs), settings.pairs_per_step, settings.seed)
        self.steps = settings.steps or math.ceil((settings.epochs or 0) * len(pairs) / settings.pairs_per_step)
        self.validation_steps = 0.0
        total = sum(pair.chosen.tokens.size + pair.rejected.tokens.size for pair in pairs)
        self.tokens_per_step = round(total / len(pairs) * settings.pairs_per_step)  # on average
        self.reference = torch.zeros(2, len(pairs), device=ranks.device)

    def remember_reference(self, model: PreTrainedModel, precision: str) -> None:
        """Compute the log-probabilities of all endings under `model` as it is."""
        device = self.ranks.device
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        torch.nn.Module.to(model, device)
        model.eval()
        with torch.no_grad(), autocast:
            for part in share(np.arange(len(self.pairs)), self.ranks.rank, self.ranks.count, self.at_once):
                batch = make_batch(self.pairs, part)
                values = log_probabilities(model, batch, self.attention, device)
                self.reference[:, torch.from_numpy(part[batch.real])] = values[:, torch.from_numpy(batch.real)]
        if self.ranks.count > 1:
            torch.distributed.all_reduce(self.reference)

    def micro_batches(self, step: int) -> Sequence[PairBatch]:
        """This rank's micro-batches of a step."""
        parts = share(self.order.step(step), self.ranks.rank, self.ranks.count, self.at_once)
        return [make_batch(self.pairs, part) for part in parts]

    def count(self, batch: PairBatch) -> int:
        """How many pairs there are."""
        return int(batch.real.sum())

    def loss(self, model: Any, batch: PairBatch) -> tuple[Tensor, dict[str, float]]:
        """Sum of the pairs' losses, of their margins, and of how many have the chosen ending in front."""
        policy = log_probabilities(model, batch, self.attention, self.ranks.device)
        losses, margins = dpo_losses(policy, self.reference[:, torch.from_numpy(batch.indices)], self.beta)
        real = torch.from_numpy(batch.real).to(self.ranks.device)
        if self.nll_weight:
            tokens = torch.from_numpy(batch.scored[: len(batch.real)].sum(1)).to(self.ranks.device)
            losses = losses - self.nll_weight * policy[0] / tokens.clamp(min=1)
        margins = margins.detach()
        extras = {"margin": float((margins * real).sum()), "accuracy": float(((margins > 0) & real).sum())}
        return (losses * real).sum(), extras

    def validate(self, model: Any) -> dict[str, float]:  # noqa: ARG002
        """None: how good the model has become, the benchmarks say."""
        return {}


def prefer(
    settings: Preference,
    parent: Path,
    pairs_file: Path,
    machine: Machine,
    ranks: Ranks,
    state_folder: Path,
    output: Path,
    code: str,
) -> dict[str, Any]:
    """Train the model in `parent` on the pairs and write its folder; returns what training.json says.

    Resuming, and `code`, are as in `slamflow.training.pretraining.pretrain`.
    """
    digests = {"pairs": files.sha256_file(pairs_file), "parent": parent_digest(parent)}
    fingerprint = {
        **{f"settings.{key}": value for key, value in settings.model_dump().items() if key not in NO_INFLUENCE},
        **{f"data.{key}": value for key, value in digests.items()},
        **{f"versions.{key}": value for key, value in versions().items()},
        "code": code,
        "sharding": machine.zero_stage and [machine.zero_stage, ranks.count],
    }
    with state.locked(state_folder) if ranks.main else contextlib.nullcontext():
        ranks.barrier()
        model = load_parent(parent)
        longest = min(settings.context, getattr(model.config, "max_position_embeddings", settings.context))
        pairs, left_out = read_pairs(pairs_file, longest, model.config.vocab_size)
        if left_out:
            log.warning("%d pairs with an empty ending or more than %d tokens are left out", left_out, longest)
        attention = machine.attention or fastest_attention(ranks.device)
        use_attention(model, attention)
        objective = PreferChosen(pairs, settings, attention, machine.micro_batch_tokens, ranks)
        objective.remember_reference(model, settings.precision)
        trained = train(model, objective, settings, machine, ranks, state_folder, fingerprint)
        record = training_record(
            model,
            trained,
            ranks,
            init=settings.init,
            seed=settings.seed,
            settings=settings.model_dump(),
            data={"pairs": digests["pairs"]},
            parent=digests["parent"],
            pairs=len(pairs),
            pairs_left_out=left_out,
        )
        if ranks.main:
            speech = parent / "speech.json"
            known = files.read_json(speech) if speech.is_file() else speech_record(None)
            write_model_folder(model, known, record, trained.metrics, output)
            state.clear(state_folder)
        ranks.barrier()
    return record
