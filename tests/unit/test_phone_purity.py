"""Alignment against all paths there are, purities worked out by hand, and speech that is heard a second later."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soxr
from hibari import Hibari

from slamflow.audio import SAMPLE_RATE
from slamflow.evaluation.intelligibility import Heard, Utterance, phone_purity
from slamflow.evaluation.phone_purity import Spans, align, phones_of_ticks, purity, spans
from slamflow.recognition.phones import PhoneRecognizer, Pronouncer

BLANK = 3


def collapsed(path: tuple[int, ...]) -> list[int]:
    return [token for token, _ in itertools.groupby(path) if token != BLANK]


@pytest.mark.parametrize("labels", [[0], [0, 1], [1, 1], [0, 1, 0], [2, 2, 2]])
def test_the_path_is_the_likeliest_of_all(labels: list[int]) -> None:
    for seed in range(10):
        scores = np.random.default_rng(seed).normal(size=(6, 4)).astype(np.float32)
        paths = [path for path in itertools.product(range(4), repeat=6) if collapsed(path) == labels]
        best = max(paths, key=lambda path: scores[range(6), path].sum())
        found = align(scores, np.array(labels), BLANK)
        assert found is not None
        assert [BLANK if place < 0 else labels[place] for place in found] == list(best)


@pytest.mark.parametrize("labels", [[0, 1, 2], [1, 1]])
def test_too_few_frames_have_no_path(labels: list[int]) -> None:
    assert align(np.zeros((2, 4), np.float32), np.array(labels), BLANK) is None


def test_time_between_phones_is_divided_and_long_silence_left_out() -> None:
    path = np.array([-1, 0, -1, -1, 1, 1] + 20 * [-1] + [2, -1])
    found = spans(["a", "b", "c"], path, 0.02)
    np.testing.assert_allclose(found.begins, [0.02, 0.06, 0.52])
    np.testing.assert_allclose(found.ends, [0.06, 0.12, 0.54])
    ticks = phones_of_ticks(found, 28, 50)
    assert ticks == [None, "a", "a", "b", "b", "b", *20 * [None], "c", None]


def test_purities_by_hand() -> None:
    """Unit 0 is twice a and once b, unit 1 once b: mutual information 0.5 ln 4/3 + 0.25 ln 2/3 + 0.25 ln 2."""
    found = purity([(0, "a"), (0, "a"), (0, "b"), (1, "b")])
    assert found == {
        "frames": 4,
        "phone_purity": 0.75,
        "cluster_purity": 0.75,
        "pnmi": pytest.approx(0.2157616 / 0.6931472, abs=1e-6),
    }


def test_purities_of_units_that_are_phones_and_that_know_nothing() -> None:
    same = purity([(number, "abc"[number]) for number in (0, 1, 2, 0)])
    assert same is not None
    assert (same["phone_purity"], same["cluster_purity"]) == (1.0, 1.0)
    assert same["pnmi"] == pytest.approx(1.0)
    nothing = purity(itertools.product(range(4), "ab"))
    assert nothing is not None
    assert (nothing["phone_purity"], nothing["cluster_purity"]) == (0.5, 0.25)
    assert nothing["pnmi"] == pytest.approx(0.0, abs=1e-12)
    assert purity([(0, "a"), (1, "a")]) == {"frames": 2, "phone_purity": 1.0, "cluster_purity": 0.5, "pnmi": 0.0}
    assert purity([]) is None


def test_durations_count_and_what_could_not_be_aligned_does_not() -> None:
    nothing: tuple[list[str], list[str], list[str]] = ([], [], [])

    def heard(found: Spans | None) -> Heard:
        utterance = Utterance("x", "v", "", np.zeros(8, np.float32), np.array([5, 6]), np.array([3, 1]))
        return Heard(utterance, np.zeros(8, np.float32), nothing, nothing, found)

    aligned = heard(Spans(["a", "b"], np.array([0.0, 0.08]), np.array([0.08, 0.16])))
    assert phone_purity([heard(None), aligned], 25.0) == purity([(5, "a"), (5, "a"), (5, "b"), (6, "b")])
    assert phone_purity([heard(None)], 25.0) is None


def test_speech_is_aligned_and_a_second_of_silence_moves_it() -> None:
    text = "The rabbit found a red kite."
    wave = soxr.resample(Hibari()(text, seed=0), 24000, SAMPLE_RATE).astype(np.float32)
    said, recognizer = Pronouncer()(text), PhoneRecognizer()
    found = recognizer.align(wave, said)
    later = recognizer.align(np.concatenate([np.zeros(SAMPLE_RATE, np.float32), wave]), said)
    assert found is not None
    assert later is not None
    assert found.phones == said
    assert (found.begins < found.ends).all()
    assert (found.ends[:-1] <= found.begins[1:]).all()
    assert found.ends[-1] <= wave.size / SAMPLE_RATE
    assert np.median(np.abs(later.begins - found.begins - 1.0)) <= 0.04
    assert recognizer.align(wave[:100], said) is None
    assert recognizer.align(wave, []) is None
    assert recognizer.align(wave, ["no phone"]) is None
