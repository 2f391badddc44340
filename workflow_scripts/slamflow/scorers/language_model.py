"""How likely a language model finds sequences of units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

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


class LanguageModelScorer:
    """A causal language model as a scorer of units.

    A sequence is read as a document of the vocabulary: in most, BOS, units, EOS. All of its tokens behind BOS are
    scored; where there is no BOS, all but the first. A published model may score no EOS.
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

        `too_long` for the model's context, or `too_short`: without a token behind the first.
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

    @torch.inference_mode()
    def nll(self, sequences: Sequence[Units]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Negative log-likelihood, in nats, of each sequence, and its number of scored tokens.

        Padding stands at the right, where a causal model cannot see it, so that the figures are the same regardless of
        batch composition. Raises InputError if the vocabulary or the model's context is too small, and for a sequence
        without a token behind the first.
        """
        documents = [self.document(units) for units in sequences]
        lengths = np.array([document.size for document in documents], dtype=np.int64)
        given = self.vocabulary.given()
        if (lengths <= given).any():
            raise InputError("a sequence without a token behind the first has no likelihood")
        if self.context is not None and lengths.max(initial=0) - 1 > self.context:
            raise InputError(f"a sequence of {lengths.max()} tokens does not fit the model's context of {self.context}")
        sums = np.empty(len(sequences), dtype=np.float64)
        groups = list(batches(lengths, self.positions))
        for group in commands.progress(groups, len(groups), "batches scored"):
            width = max(2, int(lengths[group].max()))
            tokens = np.full((len(group), width), self.vocabulary.pad, dtype=np.int64)
            for row, index in enumerate(group):
                tokens[row, : lengths[index]] = documents[index]
            rows = torch.from_numpy(tokens).to(self.model.device)
            targets = rows[:, 1:].clone()
            own = torch.from_numpy(lengths[group, None]).to(self.model.device)
            place = torch.arange(1, width, device=self.model.device)
            targets[(place < given) | (place >= own)] = -100
            logits = self.model(input_ids=rows[:, :-1], use_cache=False).logits
            losses = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
            sums[group] = losses.double().sum(1).cpu().numpy()
        return sums, lengths - given
