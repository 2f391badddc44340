"""Confidence intervals for accuracies and for their differences, where items come in clusters.

Items that share a voice, a story or a paradigm are right or wrong together, so that n of them say less than n
independent ones. Both intervals take the variance between the clusters' sums. They are closed formulas and need no
resampling: on simulated clusters they cover as often as a bootstrap of the clusters (percentile or BCa) where that
works, and go on covering where it fails: accuracies near 1, few clusters, two models that hardly differ. All items
right gives the bootstrap [1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
Clusters = Sequence[str] | npt.NDArray[np.int64]
"""The cluster of each item."""
CONFIDENCE = 0.95


def cluster_sums(values: Floats, clusters: Clusters) -> tuple[Floats, Floats]:
    """Sum of the values and number of items of each cluster."""
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def sum_variance(sums: Floats, sizes: Floats) -> float:
    """Variance of the sum over all items, from the residuals of the clusters about the common mean."""
    residuals = sums - sums.sum() / sizes.sum() * sizes
    return float(len(sums) / (len(sums) - 1) * (residuals**2).sum())


def critical_value(clusters: int) -> float:
    """Student's t for a 95 % interval with clusters - 1 degrees of freedom."""
    return float(special.stdtrit(clusters - 1, (1 + CONFIDENCE) / 2))


def accuracy_interval(correct: Floats, clusters: Clusters) -> tuple[float, float]:
    """95 % interval of a mean of scores in [0, 1] (1 right, 0.5 tie, 0 wrong).

    Wilson's interval with the effective number of items, that is the number of independent ones with the same
    variance of the mean (Korn and Graubard 1998; compared by Dean and Pagano 2015). It is at most the number of
    items, and the number of clusters where all clusters score alike. One cluster says nothing: [0, 1].
    """
    sums, sizes = cluster_sums(correct, clusters)
    if len(sums) < 2:
        return 0.0, 1.0
    n = sizes.sum()
    mean = sums.sum() / n
    variance = sum_variance(sums, sizes) / n**2
    effective = min(n, mean * (1 - mean) / variance) if variance > 1e-12 else float(len(sums))
    return wilson(mean, effective, len(sums))


def wilson(mean: float, effective: float, clusters: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, from an effective number of items in so many clusters."""
    z2 = critical_value(clusters) ** 2
    centre = (mean + z2 / (2 * effective)) / (1 + z2 / effective)
    half = np.sqrt(z2 * (mean * (1 - mean) / effective + z2 / (4 * effective**2))) / (1 + z2 / effective)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def weighted_interval(
    correct: Floats, weights: Floats, clusters: Clusters, strata: Sequence[str]
) -> tuple[float, float]:
    """95 % interval of a weighted mean of scores in [0, 1], such as a mean of the means of phenomena.

    weights: of the items, with a sum of 1. Clusters lie within strata, whose number and weights are fixed: what varies
    is which clusters a stratum has. So the variance is the sum of the strata's, each about its own mean, and the
    interval is Wilson's with the number of independent items of that variance (Korn and Graubard 1998), as in
    `accuracy_interval`, whose result it has for equal weights and one stratum. A stratum of one cluster says nothing:
    [0, 1].
    """
    mean = float((weights * correct).sum())
    variance, count = 0.0, 0
    names, known = np.asarray(clusters), np.asarray(strata)
    for stratum in np.unique(known):
        mine = known == stratum
        own = weights[mine]
        residuals = own * (correct[mine] - (own * correct[mine]).sum() / own.sum())
        sums, _ = cluster_sums(residuals, names[mine])
        if len(sums) < 2:
            return 0.0, 1.0
        variance += float(len(sums) / (len(sums) - 1) * (sums**2).sum())
        count += len(sums)
    effective = min(len(correct), mean * (1 - mean) / variance) if variance > 1e-12 else float(count)
    return wilson(mean, effective, count - len(np.unique(known)) + 1)


def difference_interval(gains: Floats, clusters: Clusters) -> tuple[float, float]:
    """95 % interval of a mean of paired differences in [-1, 1]: one model's scores minus another's, item by item.

    Wald's interval after adding half an item to each of the four cells of the paired table (Agresti and Min 2005),
    with the variance between clusters. Two models that agree on all items get an interval around 0, not [0, 0].
    One cluster says nothing: [-1, 1].
    """
    sums, sizes = cluster_sums(gains, clusters)
    if len(sums) < 2:
        return -1.0, 1.0
    n = sizes.sum() + 2
    centre = float(sums.sum() / n)
    half = critical_value(len(sums)) * float(np.sqrt(sum_variance(sums, sizes) + 1)) / n
    return max(-1.0, centre - half), min(1.0, centre + half)
