"""The loss of next-token prediction on packed rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slamflow.lm.attention import Attention, model_inputs, to_device
from slamflow.lm.devices import Ranks
from slamflow.lm.objectives import TrainingDefaults
from slamflow.shards.rows import Batch, Ints, Order, Rows, even_parts, filled_up, share

FORWARD = 1 / 3
"""What a forward pass costs, of forward and backward."""


class NextToken:
    """Mean cross-entropy of the next token over rows; see slamflow.lm.objective.Objective."""

    def __init__(
        self,
        rows: Rows,
        validation: Mapping[str, Rows],
        settings: TrainingDefaults,
        attention: Attention,
        micro_batch_tokens: int,
        ranks: Ranks,
        fixed_shapes: bool = False,
    ) -> None:
        """`fixed_shapes`: all micro-batches get the same number of rows, some of which are padding."""
        self.rows, self.validation, self.attention, self.ranks = rows, validation, attention, ranks
        rows_per_step = max(1, round(settings.batch_tokens / rows.context))
        self.order = Order(len(rows), rows_per_step, settings.seed)
        self.tokens_per_step = rows_per_step * rows.context
        self.context = rows.context
        self.steps = math.ceil((settings.tokens or 0) / self.tokens_per_step)
        validation_rows = sum(map(len, validation.values()))
        self.validation_steps = validation_rows * FORWARD / rows_per_step
        most = settings.validation_share * settings.validate_every / max(self.validation_steps, 1e-9)
        self.validation_part = min(1.0, most)
        self.at_once = max(1, micro_batch_tokens // rows.context)
        self.fixed_shapes = fixed_shapes
        if fixed_shapes:
            self.at_once = even_parts(-(-rows_per_step // ranks.count), self.at_once)

    def _share(self, rows: Rows, indices: Ints) -> Iterator[Batch]:
        for part in share(indices, self.ranks.rank, self.ranks.count, self.at_once):
            yield rows.read(filled_up(part, self.at_once) if self.fixed_shapes else part)

    def micro_batches(self, step: int) -> Sequence[Batch]:
        """This rank's micro-batches of a step."""
        return list(self._share(self.rows, self.order.step(step)))

    def count(self, batch: Batch) -> int:
        """How many tokens are predicted."""
        return int((batch.targets() >= 0).sum())

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Sum of the cross-entropies in nats, in float32."""
        logits = model(**model_inputs(batch, self.attention, self.ranks.device)).logits
        targets = to_device(batch.targets(), self.ranks.device)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum")
        return loss, {}

    def validate(self, model: Any, whole: bool = True, between: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Mean cross-entropy per predicted token of each validation corpus."""
        result = {}
        for name, rows in self.validation.items():
            total, count = 0.0, 0
            for batch in self._share(rows, spread(len(rows), 1.0 if whole else self.validation_part)):
                total += float(self.loss(model, batch)[0])
                count += self.count(batch)
                between()
            total, count_all = self.ranks.sum(total, count)
            result[name] = total / max(count_all, 1)
        return result


def spread(count: int, part: float) -> Ints:
    """Indices of a part of `count` rows, evenly spread; int64, at least one. The same each time, all for 1."""
    number = max(1, int(count * part))
    return np.arange(number) * count // number
