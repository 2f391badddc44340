"""Intervals: how often they hold the truth where items come in clusters, and what is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from slamflow.evaluation.statistics import accuracy_interval, difference_interval, weighted_interval

TRIALS = 1500


def coverage_of_accuracy(truth: float, clusters: int, size: int, as_clusters: bool) -> float:
    """Share of intervals that hold the truth, for items whose clusters have a correlation of 0.4 within."""
    random = np.random.default_rng(0)
    strength = 1 / 0.4 - 1
    share = random.beta(truth * strength, (1 - truth) * strength, size=(TRIALS, clusters, 1))
    correct = (random.random((TRIALS, clusters, size)) < share).astype(float).reshape(TRIALS, -1)
    names = np.repeat(np.arange(clusters), size) if as_clusters else np.arange(clusters * size)
    intervals = [accuracy_interval(row, names.astype(str)) for row in correct]
    return float(np.mean([low <= truth <= high for low, high in intervals]))


@pytest.mark.parametrize(("truth", "clusters", "size"), [(0.6, 60, 6), (0.9, 100, 4), (0.97, 200, 2)])
def test_accuracy_interval_covers_clustered_items(truth: float, clusters: int, size: int) -> None:
    assert 0.93 <= coverage_of_accuracy(truth, clusters, size, as_clusters=True) <= 0.985


def test_ignoring_clusters_does_not_cover() -> None:
    """The simulation is hard enough to tell."""
    assert coverage_of_accuracy(0.6, 60, 6, as_clusters=False) < 0.8


def coverage_of_difference(gain: float, discordant: float, clusters: int, size: int, as_clusters: bool) -> float:
    random = np.random.default_rng(1)
    shares = np.array([(discordant + gain) / 2, (discordant - gain) / 2, 1 - discordant])
    drawn = random.dirichlet(shares * (1 / 0.4 - 1), size=(TRIALS, clusters))
    chance = random.random((TRIALS, clusters, size))
    better = chance < drawn[..., :1]
    worse = ~better & (chance < drawn[..., :2].sum(-1, keepdims=True))
    gains = (better.astype(float) - worse).reshape(TRIALS, -1)
    names = np.repeat(np.arange(clusters), size) if as_clusters else np.arange(clusters * size)
    intervals = [difference_interval(row, names.astype(str)) for row in gains]
    return float(np.mean([low <= gain <= high for low, high in intervals]))


@pytest.mark.parametrize(
    ("gain", "discordant", "clusters", "size"), [(0.0, 0.1, 200, 2), (0.04, 0.1, 200, 2), (0.1, 0.4, 60, 6)]
)
def test_difference_interval_covers_clustered_items(gain: float, discordant: float, clusters: int, size: int) -> None:
    assert 0.93 <= coverage_of_difference(gain, discordant, clusters, size, as_clusters=True) <= 0.985


def test_difference_ignoring_clusters_does_not_cover() -> None:
    assert coverage_of_difference(0.1, 0.4, 60, 6, as_clusters=False) < 0.8


def test_independent_items_give_wilsons_interval() -> None:
    """Against scipy's, for enough items that Student's t is the normal."""
    n, right = 200_000, 150_000
    correct = np.repeat([1.0, 0.0], [right, n - right])
    low, high = accuracy_interval(correct, np.arange(n).astype(str))
    wanted = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_items_that_repeat_say_nothing_new() -> None:
    random = np.random.default_rng(0)
    correct = (random.random(80) < 0.7).astype(float)
    names = np.arange(80).astype(str)
    assert accuracy_interval(np.tile(correct, 5), np.tile(names, 5)) == pytest.approx(accuracy_interval(correct, names))


def test_all_right_is_not_certain() -> None:
    names = np.arange(50).astype(str)
    low, high = accuracy_interval(np.ones(50), names)
    assert 0.9 < low < 0.95
    assert high == 1.0
    assert accuracy_interval(np.ones(100), np.repeat(names, 2)) == pytest.approx((low, high))
    low, high = difference_interval(np.zeros(50), names)
    assert -0.06 < low < 0 < high < 0.06


def test_one_cluster_says_nothing() -> None:
    assert accuracy_interval(np.array([1.0, 1.0, 0.0]), ["a", "a", "a"]) == (0.0, 1.0)
    assert difference_interval(np.array([1.0, 0.0]), ["a", "a"]) == (-1.0, 1.0)


def test_order_of_items_does_not_matter() -> None:
    random = np.random.default_rng(0)
    correct = random.choice([0.0, 0.5, 1.0], 60)
    names = random.integers(0, 20, 60).astype(str)
    order = random.permutation(60)
    assert accuracy_interval(correct[order], names[order]) == pytest.approx(accuracy_interval(correct, names))
    assert difference_interval(correct[order], names[order]) == pytest.approx(difference_interval(correct, names))


# Weighted means of strata


def test_equal_weights_in_one_stratum_give_the_plain_interval() -> None:
    random = np.random.default_rng(0)
    correct = random.choice([0.0, 0.5, 1.0], 300, p=[0.3, 0.1, 0.6])
    names = random.integers(0, 60, 300).astype(str)
    found = weighted_interval(correct, np.full(300, 1 / 300), names, ["all"] * 300)
    assert found == pytest.approx(accuracy_interval(correct, names))


def test_weighted_interval_covers_the_mean_of_unequal_phenomena() -> None:
    """Three phenomena of unequal size and difficulty: the interval holds the mean of their means, the plain not."""
    random = np.random.default_rng(2)
    truths, sizes = np.array([0.5, 0.7, 0.95]), [400, 60, 40]
    strata = np.repeat(["a", "b", "c"], np.array(sizes) * 2)
    names = np.repeat(np.arange(sum(sizes)), 2).astype(str)
    weights = np.concatenate([np.full(2 * size, 1 / (3 * 2 * size)) for size in sizes])
    truth, held, plain = truths.mean(), 0, 0
    strength = 1 / 0.4 - 1
    for _ in range(600):
        shares = [random.beta(p * strength, (1 - p) * strength, n) for p, n in zip(truths, sizes, strict=True)]
        correct = (random.random(2 * sum(sizes)) < np.repeat(np.concatenate(shares), 2)).astype(float)
        low, high = weighted_interval(correct, weights, names, strata)
        held += low <= truth <= high
        low, high = accuracy_interval(correct, names)
        plain += low <= truth <= high
    assert 0.93 <= held / 600 <= 0.985
    assert plain / 600 < 0.1


def test_a_phenomenon_of_one_cluster_says_nothing() -> None:
    assert weighted_interval(np.ones(3), np.full(3, 1 / 3), ["a", "b", "c"], ["x", "x", "y"]) == (0.0, 1.0)


DESIGNS = {
    # 100 sentences that four voices say each; 67 paradigms of sBLIMP with 20 pairs each, whose accuracies have a
    # standard deviation of 0.2; 400 stories, of which two at a time exchange their endings.
    "voices": (0.7, 0.5, np.full(100, 4)),
    "paradigms": (0.6, 0.17, np.full(67, 20)),
    "paradigms_of_unequal_size": (0.6, 0.17, np.random.default_rng(1).integers(4, 40, 67)),
    "stories": (0.9, 0.4, np.full(200, 2)),
}
"""The true accuracy, the correlation of two items of a cluster, and the sizes of the clusters."""


def simulated(truth: float, correlation: float, sizes: np.ndarray, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """What is right in each trial, float [trials, items], and the cluster of each item.

    The clusters' own accuracies have a beta distribution (Williams 1975), so that two items of one correlate.
    """
    random = np.random.default_rng(0)
    strength = 1 / correlation - 1
    share = random.beta(truth * strength, (1 - truth) * strength, size=(trials, len(sizes)))
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    return (random.random((trials, len(clusters))) < share[:, clusters]).astype(float), clusters


def wilson(correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's intervals of each trial, as if all items were independent."""
    n, z = correct.shape[1], stats.norm.ppf(0.975)
    mean = correct.mean(1)
    centre = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return centre - half, centre + half


@pytest.mark.parametrize("design", DESIGNS)
def test_clustered_intervals_cover_where_naive_ones_do_not(design: str) -> None:
    """1,000 trials have a standard error of 0.7 % themselves."""
    truth, correlation, sizes = DESIGNS[design]
    correct, clusters = simulated(truth, correlation, sizes, 1000)
    low, high = np.array([accuracy_interval(trial, clusters) for trial in correct]).T
    naive_low, naive_high = wilson(correct)
    assert 0.93 <= np.mean((low <= truth) & (truth <= high)) <= 0.97
    assert np.mean((naive_low <= truth) & (truth <= naive_high)) < 0.93


@pytest.mark.parametrize("design", DESIGNS)
def test_intervals_of_differences_cover_where_unpaired_clusters_do_not(design: str) -> None:
    """Two models whose gain differs from cluster to cluster: better in some, worse in others, the same on the whole."""
    truth, correlation, sizes = DESIGNS[design]
    one, clusters = simulated(truth, correlation, sizes, 1000)
    other = simulated(truth, correlation, sizes, 2000)[0][1000:]
    gains = one - other
    low, high = np.array([difference_interval(trial, clusters) for trial in gains]).T
    error = 1.96 * gains.std(1, ddof=1) / np.sqrt(gains.shape[1])
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.97
    assert np.mean(np.abs(gains.mean(1)) <= error) < 0.93


def test_independent_items_are_covered_too() -> None:
    correct, clusters = simulated(0.8, 1e-6, np.full(400, 1), 1000)
    low, high = np.array([accuracy_interval(trial, clusters) for trial in correct]).T
    assert 0.93 <= np.mean((low <= 0.8) & (high >= 0.8)) <= 0.97
