"""Percentile bootstrap intervals (Efron 1979) for figures made of sums over items."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LOW, HIGH = 2.5, 97.5


def interval(
    columns: Floats, figure: Callable[[Floats], Floats], resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of a figure of independent items.

    columns: float64 [items, k]; `figure` turns sums over resampled items, [resamples, k], into its values. For a
    function of a mean, give the values `with_ones`, and divide.
    """
    items = len(columns)
    counts = np.random.default_rng(seed).multinomial(items, np.full(items, 1 / items), size=resamples)
    low, high = np.percentile(figure(counts @ columns), [LOW, HIGH])
    return float(low), float(high)


def with_ones(values: Sequence[float] | Floats) -> Floats:
    """Values beside ones, float64 [items, 2]: their sums over a resample give its mean."""
    return np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)


def mean_interval(values: Sequence[float] | Floats, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of independent values, [items]."""
    return interval(with_ones(values), lambda sums: sums[:, 0] / sums[:, 1], resamples, seed)
