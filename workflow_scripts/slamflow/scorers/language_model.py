"""Likelihoods of sequences of units under a causal language model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from slamflow import commands
from slamflow.errors import InputError
from slamflow.lm.model import load_language_model
from slamflow.lm.speech import read_speech
from slamflow.shards.items import Item, Units
from slamflow.vocabulary import Ints, Vocabulary

POSITIONS_AT_ONCE = 4096
WORTH_SHARING = 0.2
"""Two sequences are read as one row if that saves this share of their tokens; for less, the mask costs as much."""
TOLERANCE = 1e-5
"""Nats per token by which a sequence in a shared row may differ from the same one alone: float32's rounding."""


def load_model(folder: Path) -> PreTrainedModel:
    """A causal language model in float32, on the GPU if there is one. Raises InputError as `load_language_model`."""
    return load_language_model(folder, "cuda" if torch.cuda.is_available() else "cpu")


def read_vocabulary(folder: Path, model: PreTrainedModel) -> Vocabulary:
    """The vocabulary of a folder's model. Raises InputError if speech.json has none, or one that does not fit it."""
    _, vocabulary = read_speech(folder)
    if not vocabulary.units:
        raise InputError(f"{folder}: this is a model of text alone; it has no units")
    if vocabulary.size > model.config.vocab_size:
        raise InputError(f"{folder}: speech.json has {vocabulary.size} tokens, the model {model.config.vocab_size}")
    return vocabulary


def batches(lengths: npt.NDArray[np.int64], positions: int) -> Iterator[npt.NDArray[np.int64]]:
    """Indices of sequences of like length, such that a padded batch holds at most `positions` (or one sequence)."""
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        size = max(1, positions // max(1, int(lengths[order[first]])))
        yield order[first : first + size]
        first += size


class Row(NamedTuple):
    """One document, or two with a common prefix: all of the first, then what the second has behind that prefix."""

    first: int
    second: int | None = None
    shared: int = 0
    """How many tokens of the first are the second's context."""

    def width(self, documents: Sequence[Ints]) -> int:
        """How many positions it takes: those of all tokens but each document's last."""
        second = 0 if self.second is None else documents[self.second].size - 1 - self.shared
        return documents[self.first].size - 1 + second


class Padded(NamedTuple):
    """Rows as arrays [rows, width], with padding at the right."""

    tokens: Ints
    targets: Ints
    """The token behind each position; -100 where none is scored."""
    behind: npt.NDArray[np.bool_]
    """Whether a position is behind the first document: the second's, or padding."""
    positions: Ints
    """The place of each in its own document."""


def rows_of(documents: Sequence[Ints], context: int | None) -> list[Row]:
    """Rows that hold each of the documents once, two in one row where their common prefix is long enough.

    The right and the wrong sequence of a benchmark's pair often have one: a story with two endings. Documents with a
    common prefix are neighbours in the order of their tokens. No row is longer than the model's `context`: some classes
    have a mask for so many positions only.
    """
    order = sorted(range(len(documents)), key=lambda index: documents[index].astype(">i8").tobytes())
    rows, place = [], 0
    while place < len(order):
        one, other = order[place], order[min(place + 1, len(order) - 1)]
        # The last common token is read twice, since what follows it is not the same.
        shared = common_prefix(documents[one], documents[other]) - 1 if one != other else 0
        row = Row(one, other, shared)
        size = documents[one].size + documents[other].size
        if shared > 0 and shared >= WORTH_SHARING * size and row.width(documents) <= (context or size):
            rows.append(row)
            place += 2
        else:
            rows.append(Row(one))
            place += 1
    return rows


def common_prefix(one: Ints, other: Ints) -> int:
    """The length of the common prefix of two documents, in tokens."""
    size = min(one.size, other.size)
    differs = np.flatnonzero(one[:size] != other[:size])
    return int(differs[0]) if differs.size else size


class LanguageModelScorer:
    """A causal language model as a scorer of units.

    A sequence is read as a document of the vocabulary: in most, BOS, units, EOS. All tokens are scored but those that
    are given: BOS, and what else stands in front; without any, the first unit.
    """

    def __init__(self, model: PreTrainedModel, vocabulary: Vocabulary, positions: int = POSITIONS_AT_ONCE) -> None:
        """positions: how many a padded batch holds at most."""
        self.model = model
        self.vocabulary = vocabulary
        self.positions = positions

    @classmethod
    def load(cls, folder: Path) -> LanguageModelScorer:
        """Read a folder with speech.json. Raises InputError if it holds no model of units."""
        model = load_model(folder)
        return cls(model, read_vocabulary(folder, model))

    @property
    def context(self) -> int | None:
        """How many positions the model has; None where there is no end to them."""
        found = getattr(self.model.config, "max_position_embeddings", None)
        return None if found is None else int(found)

    def document(self, units: Units) -> Ints:
        """A sequence as the model's tokens. Raises InputError for a unit that there is not."""
        return self.vocabulary.document(self.vocabulary.of_units(units))

    def readable(self, items: Sequence[Item]) -> tuple[list[Item], dict[str, int]]:
        """The items of which both sequences can be scored, and how many others there are, by reason.

        `too_long` for the model's context, or `too_short`: without a scored token.
        """
        kept = []
        left_out: Counter[str] = Counter()
        for item in items:
            lengths = [self.document(units).size for units in (item.good, item.bad)]
            if min(lengths) <= self.vocabulary.given():
                left_out["too_short"] += 1
            elif self.context is not None and max(lengths) - 1 > self.context:
                left_out["too_long"] += 1
            else:
                kept.append(item)
        return kept, dict(left_out)

    @cached_property
    def can_share(self) -> bool:
        """Whether two documents in one row have the likelihoods that they have alone: asked of the model itself.

        A model class may ignore the mask or the positions that it is given (or refuse them), or have positions of its
        own. Then each document is read alone.
        """
        random = np.random.default_rng(0)
        prompt, *endings = (random.integers(self.vocabulary.units, size=size) for size in (16, 8, 5))
        documents = [self.document(np.concatenate([prompt, ending])) for ending in endings]
        try:
            together = self._sums(documents, [Row(0, 1, common_prefix(*documents) - 1)])
        except (TypeError, ValueError, RuntimeError, IndexError):
            return False
        alone = self._sums(documents, [Row(0), Row(1)])
        return bool(np.abs(together - alone).max() <= TOLERANCE * min(document.size for document in documents))

    def nll(self, sequences: Sequence[Units]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Negative log-likelihood, in nats, of each sequence, and its number of scored tokens.

        Padding stands at the right, where a causal model cannot see it, and a common prefix of two sequences is
        computed once: a figure does not depend on the other sequences, but for float32's rounding. Equal sequences have
        equal figures. Raises InputError if the vocabulary or the model's context is too small, and for a sequence
        without a scored token.
        """
        documents = [self.document(units) for units in sequences]
        given = self.vocabulary.given()
        lengths = np.array([document.size for document in documents], dtype=np.int64)
        if (lengths <= given).any():
            raise InputError("a sequence without a scored token has no likelihood")
        if self.context is not None and lengths.max(initial=0) - 1 > self.context:
            raise InputError(f"a sequence of {lengths.max()} tokens does not fit the model's context of {self.context}")
        place: dict[bytes, int] = {}
        of_sequence = [place.setdefault(document.tobytes(), len(place)) for document in documents]
        different = [np.frombuffer(key, dtype=np.int64) for key in place]
        rows = rows_of(different, self.context)
        if any(row.second is not None for row in rows) and not self.can_share:
            rows = [Row(index) for index in range(len(different))]
        return self._sums(different, rows)[of_sequence], lengths - given

    @torch.inference_mode()
    def _sums(self, documents: Sequence[Ints], rows: Sequence[Row]) -> npt.NDArray[np.float64]:
        """Negative log-likelihood of each document, float64 [documents], all of which are in the rows."""
        sums = np.empty(len(documents), dtype=np.float64)
        alone = [row for row in rows if row.second is None]
        shared = [row for row in rows if row.second is not None]
        groups = [
            [some[index] for index in group]
            for some in (alone, shared)
            for group in batches(np.array([row.width(documents) for row in some], np.int64), self.positions)
        ]
        for group in commands.progress(groups, len(groups), "batches scored"):
            batch = self._padded(group, documents)
            is_shared = group[0].second is not None
            given = self._mask_and_positions(group, batch) if is_shared else {}
            arrays = batch.tokens, batch.targets, batch.behind
            ids, targets, behind = (torch.from_numpy(array).to(self.model.device) for array in arrays)
            logits = self.model(input_ids=ids, use_cache=False, **given).logits
            logits[..., list(self.vocabulary.layout.unpredicted)] = -torch.inf
            losses = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets).double()
            sums[[row.first for row in group]] = (losses * ~behind).sum(1).cpu().numpy()
            if is_shared:
                lengths = torch.tensor([[row.shared] for row in group], device=losses.device)
                common = torch.arange(losses.shape[1], device=losses.device) < lengths
                sums[[row.second for row in group]] = (losses * (common | behind)).sum(1).cpu().numpy()
        return sums

    def _padded(self, group: Sequence[Row], documents: Sequence[Ints]) -> Padded:
        """The rows of one batch."""
        shape = len(group), max(row.width(documents) for row in group)
        tokens = np.full(shape, self.vocabulary.pad, dtype=np.int64)
        targets = np.full(shape, -100, dtype=np.int64)
        behind = np.zeros(shape, dtype=bool)
        positions = np.tile(np.arange(shape[1]), (shape[0], 1))
        for place, row in enumerate(group):
            first = documents[row.first]
            end = first.size - 1
            tokens[place, :end], targets[place, :end] = first[:-1], first[1:]
            targets[place, : self.vocabulary.given() - 1] = -100
            behind[place, end:] = True
            if row.second is not None:
                second = documents[row.second]
                own = second[row.shared :]
                last = end + own.size - 1
                tokens[place, end:last], targets[place, end:last] = own[:-1], own[1:]
                positions[place, end:] = np.minimum(row.shared + np.arange(shape[1] - end), second.size)
        return Padded(tokens, targets, behind, positions)

    def _mask_and_positions(self, group: Sequence[Row], batch: Padded) -> dict[str, torch.Tensor]:
        """What each position may see, additive [rows, 1, width, width], and its place in its own document."""
        keys = np.arange(batch.behind.shape[1])[None, None, :]
        shared = np.array([[[row.shared]] for row in group])
        of_other = batch.behind[:, :, None] & ~batch.behind[:, None, :] & (keys >= shared)
        hidden = torch.from_numpy(of_other | (keys > keys.swapaxes(1, 2))).to(self.model.device)
        mask = torch.zeros(hidden.shape, dtype=self.model.dtype, device=self.model.device)
        mask.masked_fill_(hidden, torch.finfo(self.model.dtype).min)
        positions = torch.from_numpy(batch.positions).to(self.model.device)
        return {"attention_mask": mask[:, None], "position_ids": positions}
