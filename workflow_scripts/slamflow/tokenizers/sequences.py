"""Sequences of units: runs collapsed, and a prompt joined to its ending."""

from __future__ import annotations

import numpy as np

LONGEST_RUN = np.iinfo(np.uint16).max


def deduplicate(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Collapse runs of equal units: (units, durations in frames), both uint16 [runs].

    Raises ValueError if a unit or a duration does not fit 16 bits.
    """
    units = np.asarray(units)
    if units.ndim != 1:
        raise ValueError(f"expected one sequence of units, got the shape {units.shape}")
    if not len(units):
        return np.zeros(0, np.uint16), np.zeros(0, np.uint16)
    if units.min() < 0 or units.max() > np.iinfo(np.uint16).max:
        raise ValueError("a unit does not fit 16 bits")
    starts = np.concatenate([[0], np.flatnonzero(units[1:] != units[:-1]) + 1])
    durations = np.diff(starts, append=len(units))
    if durations.max() > LONGEST_RUN:
        raise ValueError(f"one unit lasts {durations.max()} frames, at most {LONGEST_RUN} can be written")
    return units[starts].astype(np.uint16), durations.astype(np.uint16)


def join(prompt: np.ndarray, ending: np.ndarray) -> np.ndarray:
    """Put an ending behind a prompt, both deduplicated and encoded apart; the result is deduplicated too.

    The two share a unit at the seam if the prompt's last equals the ending's first: that one is kept once.
    """
    prompt, ending = np.asarray(prompt, np.uint16), np.asarray(ending, np.uint16)
    if len(prompt) and len(ending) and prompt[-1] == ending[0]:
        ending = ending[1:]
    return np.concatenate([prompt, ending])
