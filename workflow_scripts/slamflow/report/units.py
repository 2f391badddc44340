"""Statistics of units: how long they last, how evenly they are used, how much of a voice is in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from rapidfuzz.distance import Levenshtein

from slamflow.errors import InputError
from slamflow.evaluation.bootstrap import interval

COLUMNS = ["corpus", "speaker", "text", "units", "durations"]
LEAST_SENTENCES = 10
"""With fewer sentences no interval is given."""
LONGEST = 10
"""Durations of so many frames or more are counted together."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Usage:
    """How often each unit and each duration occurs."""

    units: Counts
    """int64 [vocabulary]"""
    durations: Counts
    """int64 [LONGEST]: of 1, 2, ..., and of LONGEST frames or more."""

    @property
    def entropy(self) -> float:
        """Of one unit by itself, in bits."""
        share = self.units[self.units > 0] / self.units.sum()
        return float(-(share * np.log2(share)).sum())


@dataclass(frozen=True)
class VoiceDistance:
    """Unit edit distance of the same sentences in different voices."""

    corpora: tuple[str, ...]
    sentences: int
    pairs: int
    distance: float
    """Edits per unit, over all pairs."""
    ci95: tuple[float, float] | None
    unrelated: float | None
    """The same for different sentences: what two sequences with nothing in common have."""


def read_units(paths: Iterable[Path]) -> pa.Table:
    """All unit shards as one table. Raises InputError for a file that is not one."""
    tables = []
    for path in paths:
        try:
            tables.append(pq.ParquetFile(path).read(COLUMNS).select(COLUMNS))
        except (pa.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{path}: cannot be read as units ({error}); delete it and run again") from None
    return pa.concat_tables(tables)


def usage(table: pa.Table, vocabulary: int) -> Usage:
    """Count units and durations of a table of utterances."""
    units, durations = (
        np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table[name].chunks])
        for name in ("units", "durations")
    )
    counted = np.bincount(np.minimum(durations.astype(np.int64), LONGEST), minlength=LONGEST + 1)[1:]
    return Usage(np.bincount(units.astype(np.int64), minlength=vocabulary), counted)


def voice_distances(table: pa.Table) -> list[VoiceDistance]:
    """Unit edit distance between voices, by the corpora that the voices belong to; none if no text is said twice.

    Levenshtein distance between deduplicated units over the mean length of the two, as a ratio of sums over all
    pairs of voices (after Gat et al. 2023, arXiv:2209.15483, who compare a file with an augmented copy).
    """
    voices: dict[str, set[str | None]] = defaultdict(set)
    texts = [" ".join((text or "").casefold().split()).rstrip(".!?") for text in table["text"].to_pylist()]
    for text, speaker in zip(texts, table["speaker"].to_pylist(), strict=True):
        voices[text].add(speaker)
    chosen = [index for index, text in enumerate(texts) if text and len(voices[text]) > 1]
    said: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for index, row in zip(chosen, table.take(chosen).to_pylist(), strict=True):
        if row["units"]:
            said[texts[index]].append(row)
    found: dict[tuple[str, ...], dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for text, rows in said.items():
        for one, other in combinations(rows, 2):
            if one["speaker"] != other["speaker"]:
                corpora = tuple(sorted({one["corpus"], other["corpus"]}))
                found[corpora][text].append(edits(one["units"], other["units"]))
    return [_distance(corpora, by_text, said) for corpora, by_text in sorted(found.items())]


def edits(one: list[int], other: list[int]) -> tuple[float, float]:
    """Levenshtein distance of two sequences and their mean length."""
    return float(Levenshtein.distance(one, other)), (len(one) + len(other)) / 2


def _distance(
    corpora: tuple[str, ...], by_text: dict[str, list[tuple[float, float]]], said: dict[str, list[dict[str, Any]]]
) -> VoiceDistance:
    sums = np.array([np.sum(pairs, axis=0) for pairs in by_text.values()])
    firsts = [next(row["units"] for row in said[text] if row["corpus"] in corpora) for text in by_text]
    apart = np.array([edits(one, other) for one, other in pairwise(firsts)])
    return VoiceDistance(
        corpora,
        len(by_text),
        sum(map(len, by_text.values())),
        float(sums[:, 0].sum() / sums[:, 1].sum()),
        interval(sums, lambda total: total[:, 0] / total[:, 1]) if len(sums) >= LEAST_SENTENCES else None,
        float(apart[:, 0].sum() / apart[:, 1].sum()) if len(apart) else None,
    )
