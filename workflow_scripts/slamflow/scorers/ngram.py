"""n-grams with Kneser-Ney smoothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from slamflow.errors import InputError
from slamflow.shards.items import Units

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Order:
    """The n-grams of one order that were seen, with what their probabilities need."""

    keys: Ints
    """Sorted; the number of the first n - 1 tokens' own n-gram times the number of symbols, plus the last token."""
    discounted: Floats
    """For each n-gram, (count - discount) / (count of its context)."""
    remainder: Floats
    """For each (n-1)-gram as a context, the mass that the discounts leave to the lower order."""


def modified_discounts(counts: Ints) -> Floats:
    """Discounts of n-grams that occur once, twice, and more often (Chen and Goodman 1999, eq. 26).

    From the numbers n1 to n4 of n-grams that occur once to four times: D_k = k - (k + 1) Y n_(k+1) / n_k with
    Y = n1 / (n1 + 2 n2). Where the counts are too few to give 0 <= D_k <= k, fixed ones stand in.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(np.float64)
    if (n > 0).all():
        discounts = np.arange(1, 4) - np.arange(2, 5) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:3]
        if (discounts >= 0).all():
            return discounts
    return np.array(FALLBACK_DISCOUNTS)


class KneserNey:
    """An n-gram model with interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999, section 3).

    Each sequence is predicted unit by unit and then EOS; before it stand order - 1 marks of the beginning, which
    are context only. The highest order counts occurrences, a lower one in how many different contexts an n-gram
    occurs; the lowest is interpolated with the uniform distribution. n-grams are numbered by sorted keys, so that
    counting and looking up are array operations: about a second per order and million tokens.
    """

    def __init__(self, order: int, units: int) -> None:
        """A model for the units 0 to units - 1; fit it before use."""
        self.order = order
        self.eos = units
        self.begin = units + 1
        self.symbols = units + 2
        self.orders: list[Order] = []

    def _stream(self, sequences: Sequence[Units]) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """All sequences end to end with their marks, and which positions are predicted."""
        pad = self.order - 1
        sizes = np.array([units.size for units in sequences], dtype=np.int64)
        ends = np.cumsum(sizes + pad + 1)
        starts = ends - sizes - pad - 1
        tokens = np.full(int(ends[-1]), self.begin, dtype=np.int64)
        predicted = np.zeros(tokens.size, dtype=bool)
        for start, end, units in zip((starts + pad).tolist(), ends.tolist(), sequences, strict=True):
            tokens[start : end - 1] = units
            tokens[end - 1] = self.eos
            predicted[start:end] = True
        return tokens, predicted

    def _keys(self, shorter: Ints, tokens: Ints) -> Ints:
        """Keys of the n-grams that end at each position; -1 where the (n-1)-gram before it is not known.

        What reaches back over the beginning of a sequence ends at one of its marks, and is neither counted nor asked.
        """
        before = np.roll(shorter, 1)
        return np.where(before >= 0, before * self.symbols + tokens, -1)

    def fit(self, sequences: Sequence[Units]) -> KneserNey:
        """Count the n-grams of `sequences`. Raises InputError if there are none."""
        if not len(sequences):
            raise InputError(f"there are no units to fit a {self.order}-gram on")
        tokens, predicted = self._stream(sequences)
        ends = np.flatnonzero(predicted)
        keys_of: list[Ints] = []
        numbers = [np.zeros(tokens.size, dtype=np.int64)]  # the empty n-gram, which ends everywhere
        for _ in range(self.order):
            keys, number = np.unique(self._keys(numbers[-1], tokens), return_inverse=True)
            keys_of.append(keys)
            numbers.append(number)
        for n in range(1, self.order + 1):
            if n == self.order:
                counted = ends
            else:
                # One position for each different n-gram that is longer by one: its last n tokens count once.
                counted = ends[np.unique(numbers[n + 1][ends], return_index=True)[1]]
            counts = np.bincount(numbers[n][counted], minlength=len(keys_of[n - 1]))
            self.orders.append(self._order(keys_of[n - 1], counts, int(numbers[n - 1].max()) + 1))
        return self

    def _order(self, keys: Ints, counts: Ints, contexts: int) -> Order:
        context = keys // self.symbols
        totals = np.bincount(context, weights=counts, minlength=contexts)
        discounts = np.concatenate([[0.0], modified_discounts(counts)])[np.minimum(counts, 3)]
        taken = np.bincount(context, weights=discounts, minlength=contexts)
        seen = np.maximum(totals, 1)
        return Order(keys, (counts - discounts) / seen[context], taken / seen)

    def probabilities(self, sequences: Sequence[Units]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Probability of the token at each position of the joined stream, and which positions are predicted."""
        tokens, predicted = self._stream(sequences)
        result = np.full(tokens.size, 1 / (self.eos + 1))  # the units and EOS
        context = np.zeros(tokens.size, dtype=np.int64)
        for order in self.orders:
            keys = self._keys(context, tokens)
            place = np.minimum(np.searchsorted(order.keys, keys), len(order.keys) - 1)
            known = (order.keys[place] == keys) & (keys >= 0)
            before = np.roll(context, 1)
            remainder = np.where(before >= 0, order.remainder[before], 1.0)
            result = np.where(known, order.discounted[place], 0.0) + remainder * result
            context = np.where(known, place, -1)
        return result, predicted

    def nll(self, sequences: Sequence[Units]) -> tuple[Floats, Ints]:
        """Negative log-likelihood, in nats, of each sequence, and its number of tokens (units and EOS)."""
        probabilities, predicted = self.probabilities(sequences)
        nll = -np.log(probabilities[predicted])
        counts = np.array([units.size + 1 for units in sequences], dtype=np.int64)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        return np.array([nll[first:last].sum() for first, last in pairwise(bounds.tolist())]), counts


def take_tokens(sequences: Iterable[Units], tokens: int) -> list[Units]:
    """The first sequences, until they hold `tokens` tokens or there are no more."""
    taken: list[Units] = []
    left = tokens
    for units in sequences:
        if left <= 0:
            break
        taken.append(units)
        left -= units.size
    return taken
