"""Which utterances the items of a benchmark are made of, their texts and levels: what baselines read beside units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slamflow.audio import AudioError, decode
from slamflow.benchmarks.pairs import Record, Spoken, build
from slamflow.shards.items import Item, Units
from slamflow.shards.speech import read_speech
from slamflow.tokenizers.sequences import join

HALF = 1 << 15

Parts = tuple[str, ...]
"""The ids of the utterances of one sequence, in order."""


class Level(NamedTuple):
    """How loud an utterance is."""

    energy: float
    """Sum of the squares of its samples, which are in [-1, 1]."""
    samples: int
    """How many there are, at 16 kHz."""


def parts_of(
    kind: str, records: list[Record], spoken: Mapping[str, Spoken], seed: int, published: bool, items: list[Item]
) -> dict[str, tuple[Parts, Parts]]:
    """The utterances of the right and the wrong sequence of each item, by its id.

    The benchmark is built once more, from utterances whose units are their numbers: so a kind need not say what it puts
    together. An item whose units are not those of these utterances, joined, is left out.
    """
    names = sorted(spoken)
    numbered = {name: Spoken(spoken[name].speaker, _digits(number)) for number, name in enumerate(names)}
    found: dict[str, tuple[Parts, Parts]] = {}
    by_id = {item.id: item for item in items}
    for built in build(kind, records, numbered, seed, published=published)[0]:
        item = by_id.get(built.id)
        sides = [_names(units, names) for units in (built.good, built.bad)]
        if item is not None and all(
            parts and np.array_equal(reduce(join, (spoken[name].units for name in parts)), units)
            for parts, units in zip(sides, (item.good, item.bad), strict=True)
        ):
            found[item.id] = (sides[0], sides[1])
    return found


def _digits(number: int) -> Units:
    """A number as two units, the first below HALF and the second not: so no seam of two numbers has equal units."""
    return np.array([number // HALF, HALF + number % HALF], dtype=np.uint16)


def _names(units: Units, names: Sequence[str]) -> Parts:
    """The names whose numbers these units are; none if they are not numbers."""
    digits = units.astype(np.int64)
    first, second = digits[::2], digits[1::2] - HALF
    if digits.size % 2 or (first >= HALF).any() or (second < 0).any():
        return ()
    return tuple(names[number] for number in (first * HALF + second).tolist())


def texts(records: Iterable[Record]) -> dict[str, str]:
    """The text of each utterance, by its id: {id of the record}.{key}. Those without words are left out."""
    return {
        f"{record['id']}.{key}": text.strip()
        for record in records
        for key, text in record.items()
        if key != "id" and isinstance(text, str) and text.strip()
    }


def levels(paths: Iterable[Path], wanted: set[str]) -> dict[str, Level]:
    """The levels of the wanted utterances of several speech shards, by id. What cannot be decoded is left out."""
    found = {}
    for path in paths:
        for row in read_speech(path, ("id", "audio")):
            if row["id"] in wanted:
                try:
                    wave = decode(row["audio"])
                except AudioError:
                    continue
                found[row["id"]] = Level(float(np.square(wave, dtype=np.float64).sum()), wave.size)
    return found
