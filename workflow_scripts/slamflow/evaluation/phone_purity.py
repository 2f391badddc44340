"""How well units agree with phones: phone purity, cluster purity and mutual information.

Figures of Hsu et al. 2021 (HuBERT, arXiv:2106.07447, section V-C). Theirs are of alignments by a recognizer of
LibriSpeech; here the phones of the text are aligned with the scores of hama's CTC model, so figures of different
encoders compare on the same utterances, and not with published ones. Few frames flatter: with as many units as frames
each unit has one phone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LONGEST_GAP = 0.2
"""Seconds without an emitted phone that are divided between its neighbors; what is longer may be silence and is left
out."""


Ints = npt.NDArray[np.int64]


class Spans(NamedTuple):
    """Phones in time."""

    phones: list[str]
    begins: npt.NDArray[np.float64]
    """Seconds, float64 [phones]."""
    ends: npt.NDArray[np.float64]
    """Seconds, float64 [phones]; no later than the next begin."""


def align(log_probs: npt.NDArray[np.float32], labels: Ints, blank: int) -> Ints | None:
    """The likeliest CTC path through a sequence of labels (Graves et al. 2006): Viterbi.

    Parameters: log probabilities, float32 [frames, tokens]; the labels, int64 [labels], of which there is one; blank's
    token. Returns for each frame the index of the label it emits, or -1 for blank, int64 [frames]; None if there are
    too few frames.
    """
    states = np.full(2 * labels.size + 1, blank, dtype=np.int64)
    states[1::2] = labels
    # A blank may be skipped between two different labels.
    skips = np.zeros(states.size, dtype=bool)
    skips[3::2] = labels[1:] != labels[:-1]
    scores = np.full(states.size, -np.inf)
    scores[:2] = log_probs[0, states[:2]]
    came = np.zeros((len(log_probs), states.size), dtype=np.int64)
    for frame in range(1, len(log_probs)):
        stay = scores
        one = np.concatenate([[-np.inf], scores[:-1]])
        two = np.where(skips, np.concatenate([[-np.inf, -np.inf], scores[:-2]]), -np.inf)
        ways = np.stack([stay, one, two])
        came[frame] = ways.argmax(0)
        scores = ways.max(0) + log_probs[frame, states]
    state = int(states.size - 2 + np.argmax(scores[-2:]))
    if not np.isfinite(scores[state]):
        return None
    path = np.empty(len(log_probs), dtype=np.int64)
    for frame in range(len(log_probs) - 1, -1, -1):
        path[frame] = state
        state -= came[frame, state]
    return np.where(path % 2, path // 2, -1)


def spans(phones: list[str], path: Ints, frame_seconds: float) -> Spans:
    """Phones in time, from the frames that emit them: CTC emits in few, and the time between belongs to the nearest.

    Parameters: the phones; for each frame the index of the phone it emits or -1, int64 [frames], as `align` gives it.
    """
    numbers = range(len(phones))
    first = np.array([np.flatnonzero(path == number)[0] for number in numbers]) * frame_seconds
    last = np.array([np.flatnonzero(path == number)[-1] + 1 for number in numbers]) * frame_seconds
    begins, ends = first.astype(np.float64), last.astype(np.float64)
    gaps = begins[1:] - ends[:-1]
    middle = (begins[1:] + ends[:-1]) / 2
    near = gaps <= LONGEST_GAP
    begins[1:] = np.where(near, middle, begins[1:])
    ends[:-1] = np.where(near, middle, ends[:-1])
    return Spans(phones, begins, ends)


def phones_of_ticks(found: Spans, ticks: int, tick_hz: float) -> list[str | None]:
    """The phone in the middle of each tick of the units' durations; None where there is none."""
    middles = (np.arange(ticks) + 0.5) / tick_hz
    place = np.searchsorted(found.begins, middles, side="right") - 1
    inside = (place >= 0) & (middles < found.ends[place])
    return [found.phones[index] if known else None for index, known in zip(place, inside, strict=True)]


def purity(pairs: Iterable[tuple[int, str]]) -> dict[str, float | int] | None:
    """Agreement of units and phones, from (unit, phone) of each frame; None without any.

    `phone_purity`: how often a frame has the commonest phone of its unit. `cluster_purity`: how often it has the
    commonest unit of its phone. `pnmi`: the mutual information as a share of the phones' entropy; 0 where all frames
    have one phone.
    """
    listed = list(pairs)
    if not listed:
        return None
    units, phones = (np.unique(side, return_inverse=True)[1] for side in zip(*listed, strict=True))
    joint = np.zeros((phones.max() + 1, units.max() + 1))
    np.add.at(joint, (phones, units), 1)
    joint /= len(listed)
    of_phone, of_unit = joint.sum(1), joint.sum(0)
    here = joint > 0
    information = (joint[here] * np.log(joint[here] / np.outer(of_phone, of_unit)[here])).sum()
    entropy = -(of_phone * np.log(of_phone)).sum()
    return {
        "frames": len(listed),
        "phone_purity": float(joint.max(0).sum()),
        "cluster_purity": float(joint.max(1).sum()),
        "pnmi": float(information / entropy) if len(joint) > 1 else 0.0,
    }
