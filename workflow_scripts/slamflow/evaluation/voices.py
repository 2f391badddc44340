"""How much units say about the voice: edit distances between the same sentence in different voices.

For scale stand distances between different sentences in the same voice. Units that were the same for every voice
would give 0 for the first; units of the voice alone would give less for the second.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from slamflow.shards.units import read_units

COLUMNS = ["speaker", "text", "units"]
MOST_PAIRS = 20_000
"""Of each kind; of more than these, this many are drawn."""
RESAMPLES = 1000


class Utterance(NamedTuple):
    """What one speaker said, as deduplicated units."""

    speaker: str
    text: str
    units: list[int]


class Pair(NamedTuple):
    """Two utterances, by their speakers, and how far they are apart."""

    first: str
    second: str
    distance: float


def compare_voices(paths: Iterable[Path]) -> dict[str, Any]:
    """Mean normalized edit distances between utterances of the same and of different texts.

    The distance of two utterances is the Levenshtein distance of their units, divided by the length of the longer
    one. Returns `speakers`, `shared_texts` (said by at least two of them), and `same_text` (different speakers) and
    `different_text` (the same speaker), each with `n` pairs, `mean` and `ci95`; the last two are null without pairs.
    `ratio` is the first mean divided by the second. Raises InputError for a file that is not a unit shard.
    """
    utterances = sorted(utterance for path in paths for utterance in read_utterances(path))
    by_text, by_speaker = grouped(utterances, "text"), grouped(utterances, "speaker")
    same = measured(pairs(by_text, "speaker"))
    different = measured(pairs(by_speaker, "text"))
    shared = [group for group in by_text if len({utterance.speaker for utterance in group}) > 1]
    speakers = sorted({utterance.speaker for utterance in utterances})
    weights = resampled_speakers(len(speakers))
    figures = [resampled_mean(kind, speakers, weights) for kind in (same, different)]
    result: dict[str, Any] = {"speakers": len(speakers), "shared_texts": len(shared)}
    for name, kind, resampled in zip(("same_text", "different_text"), (same, different), figures, strict=True):
        mean = round(float(np.mean([pair.distance for pair in kind])), 6) if kind else None
        result[name] = {"n": len(kind), "mean": mean, "ci95": interval(resampled)}
    has_both = bool(same and different) and result["different_text"]["mean"] > 0
    ratio = round(result["same_text"]["mean"] / result["different_text"]["mean"], 6) if has_both else None
    result["ratio"] = {"value": ratio, "ci95": interval(figures[0] / figures[1]) if has_both else None}
    return result


def read_utterances(path: Path) -> Iterator[Utterance]:
    """The utterances of a unit shard whose text and speaker are known. Raises InputError if it is none."""
    for row in read_units(path, COLUMNS):
        text = " ".join(re.findall(r"[\w']+", (row["text"] or "").casefold()))
        if text and row["speaker"] not in (None, "unknown") and row["units"]:
            yield Utterance(row["speaker"], text, row["units"])


def grouped(utterances: list[Utterance], key: str) -> list[list[Utterance]]:
    """Utterances that have the text, or the speaker, in common."""
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[getattr(utterance, key)].append(utterance)
    return [group for _, group in sorted(groups.items())]


def pairs(groups: list[list[Utterance]], differ: str) -> list[tuple[Utterance, Utterance]]:
    """Pairs within groups that differ in `differ`, MOST_PAIRS at most, drawn by a fixed seed from a longer list."""
    draw = random.Random(0)
    chosen: list[tuple[Utterance, Utterance]] = []
    seen = 0
    for group in groups:
        for first, second in itertools.combinations(group, 2):
            if getattr(first, differ) == getattr(second, differ):
                continue
            seen += 1
            if len(chosen) < MOST_PAIRS:
                chosen.append((first, second))
            elif (place := draw.randrange(seen)) < MOST_PAIRS:
                chosen[place] = (first, second)
    return chosen


def measured(chosen: list[tuple[Utterance, Utterance]]) -> list[Pair]:
    """The distance of each pair."""
    return [
        Pair(first.speaker, second.speaker, Levenshtein.normalized_distance(first.units, second.units))
        for first, second in chosen
    ]


def resampled_speakers(count: int) -> np.ndarray:
    """How often each speaker is drawn in each bootstrap sample of the speakers, shape [RESAMPLES, count]."""
    draws = np.random.default_rng(0)
    return draws.multinomial(count, np.full(count, 1 / count), RESAMPLES) if count else np.ones((RESAMPLES, 0))


def resampled_mean(found: list[Pair], speakers: list[str], weights: np.ndarray) -> np.ndarray:
    """The mean distance in each bootstrap sample, shape [RESAMPLES]; NaN where a sample has no pair.

    Speakers are drawn, since all pairs of one speaker share the voice: a pair of two counts as often as the product
    of how often they were drawn, a pair of one speaker as often as that one was.
    """
    place = {name: index for index, name in enumerate(speakers)}
    total, sums = np.zeros(len(weights)), np.zeros(len(weights))
    for first, second, distance in found:
        weight = weights[:, place[first]] * (weights[:, place[second]] if first != second else 1)
        total += weight
        sums += weight * distance
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / total)


def interval(resampled: np.ndarray) -> list[float] | None:
    """The middle 95 % of a bootstrapped figure; None without enough speakers for one."""
    known = resampled[np.isfinite(resampled)]
    if len(known) < len(resampled) / 2:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return [round(float(low), 6), round(float(high), 6)]
