"""Pre-training: predict the next token of packed rows."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slamflow import files
from slamflow.errors import InputError
from slamflow.settings.training import OBSERVATION, Model, Optimization
from slamflow.training import state
from slamflow.training.attention import Attention, fastest_attention, model_inputs, use_attention
from slamflow.training.devices import Machine, Ranks
from slamflow.training.export import speech_record, training_record, versions, write_model_folder
from slamflow.training.loop import train
from slamflow.training.model import build_model, parent_digest
from slamflow.training.rows import Batch, Ints, Order, Rows, share

NO_INFLUENCE = OBSERVATION | {"init", "data"}
"""Settings that leave the weights as they are (what init and data name is in the fingerprint by its content)."""


class NextToken:
    """Mean cross-entropy of the next token over rows; see slamflow.training.loop.Objective."""

    def __init__(
        self,
        rows: Rows,
        validation: dict[str, Rows],
        settings: Optimization,
        attention: Attention,
        micro_batch_tokens: int,
        ranks: Ranks,
    ) -> None:
        self.rows, self.validation, self.attention, self.ranks = rows, validation, attention, ranks
        rows_per_step = max(1, round(settings.batch_tokens / rows.context))
        self.order = Order(len(rows), rows_per_step, settings.seed)
        self.tokens_per_step = rows_per_step * rows.context
        self.steps = math.ceil((settings.tokens or 0) / self.tokens_per_step)
        # Forward is a third of forward and backward.
        self.validation_steps = sum(map(len, validation.values())) / rows_per_step / 3
        self.micro_batch_tokens = micro_batch_tokens

    def _share(self, rows: Rows, indices: Ints) -> Iterator[Batch]:
        at_once = max(1, self.micro_batch_tokens // rows.context)
        for part in share(indices, self.ranks.rank, self.ranks.count, at_once):
            yield rows.read(part)

    def micro_batches(self, step: int) -> Sequence[Batch]:
        """This rank's micro-batches of a step."""
        return list(self._share(self.rows, self.order.step(step)))

    def count(self, batch: Batch) -> int:
        """How many tokens are predicted."""
        return int((batch.targets() >= 0).sum())

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Sum of the cross-entropies in nats, in float32."""
        logits = model(**model_inputs(batch, self.attention, self.ranks.device)).logits
        targets = torch.from_numpy(batch.targets()).to(self.ranks.device)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum")
        return loss, {}

    def validate(self, model: Any) -> dict[str, float]:
        """Mean cross-entropy per predicted token of each validation corpus."""
        result = {}
        for name, rows in self.validation.items():
            total, count = 0.0, 0
            for batch in self._share(rows, np.arange(len(rows))):
                total += float(self.loss(model, batch)[0])
                count += self.count(batch)
            total, count_all = self.ranks.sum(total, count)
            result[name] = total / max(count_all, 1)
        return result


def pretrain(
    settings: Model,
    vocabulary: int,
    rows: Rows,
    validation: dict[str, Rows],
    parent: Path | None,
    codebook: Path | None,
    machine: Machine,
    ranks: Ranks,
    state_folder: Path,
    output: Path,
    code: str,
) -> dict[str, Any]:
    """Train a model and write its folder; returns what training.json says.

    `code` is a digest of the command's code; with the settings and the digests of rows, parent and codebook it decides
    whether a saved state is of this training. The saves are removed once the model is written.
    """
    for data in (rows, *validation.values()):
        if data.manifest.get("vocabulary", vocabulary) != vocabulary:
            raise InputError(f"{data.folder}: has a vocabulary of {data.manifest['vocabulary']}, not {vocabulary}")
    digests = {"train": rows.digest, **{f"validation.{name}": part.digest for name, part in validation.items()}}
    fingerprint = {
        **{f"settings.{key}": value for key, value in settings.model_dump().items() if key not in NO_INFLUENCE},
        **{f"data.{key}": value for key, value in digests.items()},
        **{f"versions.{key}": value for key, value in versions().items()},
        "vocabulary": vocabulary,
        "parent": parent_digest(parent) if parent else None,
        "codebook": files.sha256_file(codebook) if codebook else None,
        "code": code,
        "sharding": machine.zero_stage and [machine.zero_stage, ranks.count],
    }
    with state.locked(state_folder) if ranks.main else contextlib.nullcontext():
        ranks.barrier()
        model = build_model(settings, vocabulary, rows.context, parent)
        attention = machine.attention or fastest_attention(ranks.device)
        use_attention(model, attention)
        objective = NextToken(rows, validation, settings, attention, machine.micro_batch_tokens, ranks)
        trained = train(model, objective, settings, machine, ranks, state_folder, fingerprint)
        record = training_record(
            model,
            trained,
            ranks,
            init=settings.init,
            seed=settings.seed,
            settings=settings.model_dump(),
            data=digests,
            parent=fingerprint["parent"],
        )
        if ranks.main:
            speech = speech_record(files.read_json(codebook) if codebook else None)
            write_model_folder(model, speech, record, trained.metrics, output)
            state.clear(state_folder)
        ranks.barrier()
    return record
