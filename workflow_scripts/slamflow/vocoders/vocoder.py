"""What speaks units, whichever kind of vocoder it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from slamflow.errors import InputError
from slamflow.files import read_json
from slamflow.vocoders import VOCODER_FILES, VOCODERS

WEIGHTS, DESCRIPTION = VOCODER_FILES


class UnitVocoder(Protocol):
    """What speaks deduplicated units."""

    frame_rate_hz: float
    """Ticks of durations per second."""

    def durations(self, units: Sequence[int] | np.ndarray) -> np.ndarray:
        """Predicted durations of units, int64 [units], in ticks: at least 1."""
        ...

    def __call__(
        self, units: Sequence[int] | np.ndarray, durations: Sequence[int] | np.ndarray | None = None
    ) -> np.ndarray:
        """Speech for units, with the given or the predicted durations: float32 [samples] in (-1, 1), 16 kHz."""
        ...


def durations_of(
    vocoder: UnitVocoder, units: Sequence[int] | np.ndarray, durations: Sequence[int] | np.ndarray | None
) -> np.ndarray:
    """Durations, given or else predicted, int64 [units], in ticks. Raises InputError for ones that do not fit."""
    ticks = vocoder.durations(units) if durations is None else np.asarray(durations, dtype=np.int64)
    if ticks.shape != (len(units),) or ticks.min() < 1:
        raise InputError(f"{len(ticks)} durations for {len(units)} units, each at least 1, are wanted")
    return ticks


def load_vocoder(folder: Path) -> UnitVocoder:
    """The vocoder in a folder of train_vocoder or convert_vocoder. Raises InputError if it holds none."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise InputError(f"{path}: no such file; train_vocoder and convert_vocoder write it")
    about: dict[str, Any] = read_json(path)
    vocoder: UnitVocoder = VOCODERS.module(about.get("kind", "trained")).load(folder, about)
    return vocoder
