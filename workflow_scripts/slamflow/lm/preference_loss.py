"""The loss of direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290).

A sequence is BOS, prompt, ending, EOS (without BOS or EOS in a published model whose documents have none).
Log-probabilities are summed over the ending and EOS; the prompt is given.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from slamflow import files
from slamflow.errors import InputError
from slamflow.lm.attention import ROUND_TO, Attention, model_inputs, to_device
from slamflow.lm.compilation import make_fast
from slamflow.lm.devices import Machine, Ranks
from slamflow.lm.model import load_language_model
from slamflow.lm.objective import Inputs, Prepared
from slamflow.lm.speech import read_speech
from slamflow.shards.pairs import read_pairs
from slamflow.shards.rows import PADDING_DOCUMENT, Batch, Ints, Order, even_parts, filled_up, share
from slamflow.vocabulary import PAD, Vocabulary

if TYPE_CHECKING:
    from slamflow.lm.job_settings import TrainModel
    from slamflow.lm.objectives import PairsModelSettings
    from slamflow.lm.objectives.dpo import DpoModel

log = logging.getLogger("slamflow")

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidate:
    """One ending after its prompt."""

    tokens: Ints
    """int64 [length]: a document of the vocabulary."""
    given: int
    """How many of them are not scored: BOS and prompt."""


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


def tokenize_pairs(path: Path, context: int, vocabulary: Vocabulary) -> tuple[list[Pair], int]:
    """The preference pairs of a file as tokens, in its order.

    Pairs with an empty ending or a sequence of more than `context` tokens are left out; returns how many too. Raises
    InputError if the file is not one of pairs, none is left, or a unit is outside the `vocabulary`.
    """
    pairs = []
    left_out = 0
    for pair in read_pairs(path):
        try:
            prompt, *endings = map(vocabulary.of_units, (pair.prompt, pair.chosen, pair.rejected))
        except InputError as error:
            raise InputError(f"{path}: {pair.id}: {error}") from None
        documents = [vocabulary.document(np.concatenate([prompt, part])) for part in endings]
        sequences = [Candidate(document, vocabulary.given(prompt.size)) for document in documents]
        if min(part.size for part in endings) and max(sequence.tokens.size for sequence in sequences) <= context:
            pairs.append(Pair(*sequences))
        else:
            left_out += 1
    if not pairs:
        raise InputError(f"{path}: none of its {left_out} pairs has endings and sequences of at most {context} tokens")
    return pairs, left_out


def rounded_up(length: int) -> int:
    return -(-length // ROUND_TO) * ROUND_TO


def make_batch(pairs: list[Pair], indices: Ints, widths: Sequence[int] = ()) -> PairBatch:
    """Pad the pairs at `indices`; -1 gives a row of padding only. With `widths` to the first of them that is enough."""
    chosen = [pairs[index].chosen if index >= 0 else None for index in indices]
    rejected = [pairs[index].rejected if index >= 0 else None for index in indices]
    sequences = chosen + rejected
    longest = max([sequence.tokens.size for sequence in sequences if sequence], default=1)
    shape = len(sequences), next((width for width in widths if width >= longest), rounded_up(longest))
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
    targets = to_device(np.roll(batch.rows.input_ids, -1, axis=1), device)
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    scored = to_device(batch.scored, device)
    return -(losses.view_as(scored) * scored).sum(1).view(2, -1)


def dpo_losses(policy: Tensor, reference: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Loss and margin of each pair; equation 7 of Rafailov et al. 2023.

    `policy` and `reference` are [2, pairs]: log-probabilities of the chosen and the rejected endings, in nats.
    The margin is by how much more the policy has come to prefer the chosen one, times beta.
    """
    chosen, rejected = policy - reference
    margins = beta * (chosen - rejected)
    return -torch.nn.functional.logsigmoid(margins), margins


def ending_tokens(batch: PairBatch, device: torch.device) -> Tensor:
    """How many tokens each ending has, its EOS included, at least 1; int64 [2, pairs], chosen and rejected."""
    return to_device(batch.scored.sum(1), device).clamp(min=1).view(2, -1)


Losses = Callable[[Tensor, PairBatch], tuple[Tensor, Tensor]]
"""From the log-probabilities of a batch's endings, [2, pairs], to the loss and the margin of each pair."""


class OnPairs:
    """The mean of a loss over pairs (slamflow.lm.objective.Objective)."""

    def __init__(
        self,
        pairs: list[Pair],
        settings: PairsModelSettings,
        attention: Attention,
        micro_batch_tokens: int,
        ranks: Ranks,
        losses: Losses,
    ) -> None:
        self.pairs, self.attention, self.ranks, self.losses = pairs, attention, ranks, losses
        lengths = [max(pair.chosen.tokens.size, pair.rejected.tokens.size) for pair in pairs]
        self.at_once = max(1, micro_batch_tokens // (2 * max(lengths)))
        self.pairs_per_step, self.longest = settings.pairs_per_step, max(lengths)
        self.fixed_shapes = False
        self.widths: tuple[int, ...] = ()
        self.order = Order(len(pairs), settings.pairs_per_step, settings.seed)
        self.steps = settings.steps or math.ceil((settings.epochs or 0) * len(pairs) / settings.pairs_per_step)
        self.validation_steps, self.validation_part = 0.0, 1.0
        total = sum(pair.chosen.tokens.size + pair.rejected.tokens.size for pair in pairs)
        self.tokens_per_step = round(total / len(pairs) * settings.pairs_per_step)  # on average
        self.context = round(total / len(pairs) / 2)  # on average

    def fix_shapes(self) -> None:
        """Have all micro-batches be of one size and one of two widths; a compiled model is compiled for each."""
        self.fixed_shapes = True
        self.widths = tuple(sorted({rounded_up(-(-self.longest // 2)), rounded_up(self.longest)}))
        self.at_once = even_parts(-(-self.pairs_per_step // self.ranks.count), self.at_once)

    def remember_reference(self, model: PreTrainedModel, precision: str) -> None:
        """Compute what the loss needs of `model` as it is, if anything."""

    def batches(self, indices: Ints) -> Iterator[PairBatch]:
        """This rank's share of some pairs."""
        for part in share(indices, self.ranks.rank, self.ranks.count, self.at_once):
            yield make_batch(self.pairs, filled_up(part, self.at_once) if self.fixed_shapes else part, self.widths)

    def micro_batches(self, step: int) -> Sequence[PairBatch]:
        """This rank's micro-batches of a step."""
        return list(self.batches(self.order.step(step)))

    def count(self, batch: PairBatch) -> int:
        """How many pairs there are."""
        return int(batch.real.sum())

    def loss(self, model: Any, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum of the pairs' losses, of their margins, and of how many have the chosen ending in front."""
        policy = log_probabilities(model, batch, self.attention, self.ranks.device)
        losses, margins = self.losses(policy, batch)
        real = to_device(batch.real, self.ranks.device)
        margins = margins.detach()
        extras = {"margin": (margins * real).sum(), "accuracy": ((margins > 0) & real).sum()}
        return (losses * real).sum(), extras

    def validate(
        self,
        model: Any,  # noqa: ARG002
        whole: bool = True,  # noqa: ARG002
        between: Callable[[], None] = lambda: None,  # noqa: ARG002
    ) -> dict[str, float]:
        """None: aligned models are measured by benchmarks."""
        return {}


class PreferChosen(OnPairs):
    """Mean DPO loss over pairs, perhaps with the likelihood of the chosen endings."""

    def __init__(
        self, pairs: list[Pair], settings: DpoModel, attention: Attention, micro_batch_tokens: int, ranks: Ranks
    ) -> None:
        super().__init__(pairs, settings, attention, micro_batch_tokens, ranks, self.with_reference)
        self.beta, self.nll_weight = settings.beta, settings.nll_weight
        self.reference = torch.zeros(2, len(pairs), device=ranks.device)

    def remember_reference(self, model: PreTrainedModel, precision: str) -> None:
        """Compute the log-probabilities of all endings under `model` as it is."""
        device = self.ranks.device
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
        torch.nn.Module.to(model, device)
        model.eval()
        with torch.no_grad(), autocast:
            for batch in self.batches(np.arange(len(self.pairs))):
                values = log_probabilities(model, batch, self.attention, device)
                place, real = (to_device(array, device) for array in (batch.indices[batch.real], batch.real))
                self.reference[:, place] = values[:, real]
        if self.ranks.count > 1:
            torch.distributed.all_reduce(self.reference)

    def with_reference(self, policy: Tensor, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Loss and margin of each pair."""
        reference = self.reference[:, to_device(batch.indices, self.ranks.device)]
        losses, margins = dpo_losses(policy, reference, self.beta)
        if self.nll_weight:
            losses = losses - self.nll_weight * policy[0] / ending_tokens(batch, self.ranks.device)[0]
        return losses, margins


def prepare_on_pairs(
    job: TrainModel, inputs: Inputs, machine: Machine, ranks: Ranks, make: Callable[..., OnPairs]
) -> Prepared:
    """The parent and its pairs; `make` is called as OnPairs is, but for `losses`.

    Raises InputError if the parent's folder has no speech.json, or a pair does not fit its vocabulary.
    """
    settings: Any = job.model
    if inputs.parent is None or inputs.pairs is None:
        raise InputError("preference training needs a model and pairs: give --parent and --pairs")
    speech, vocabulary = read_speech(inputs.parent)
    model = load_language_model(inputs.parent)
    longest = min(settings.context, getattr(model.config, "max_position_embeddings", settings.context))
    pairs, left_out = tokenize_pairs(inputs.pairs, longest, vocabulary)
    if left_out:
        log.warning("%d pairs with an empty ending or more than %d tokens are left out", left_out, longest)
    way = make_fast(model, machine, ranks.device, settings.precision)
    objective = make(pairs, settings, way.attention, machine.micro_batch_tokens, ranks)
    if way.fixed_shapes:
        objective.fix_shapes()
    objective.remember_reference(model, settings.precision)
    return Prepared(
        model,
        objective,
        {**speech, "model": job.name},
        {"pairs": files.sha256_file(inputs.pairs)},
        {"pairs": len(pairs), "pairs_left_out": left_out},
        way,
    )
