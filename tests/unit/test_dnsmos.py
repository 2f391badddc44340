"""DNSMOS against what Microsoft's own package says of the same recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from slamflow.assets.fetch import fetch
from slamflow.errors import InputError
from slamflow.evaluation.dnsmos import CURVES, WINDOW, Dnsmos, windows
from slamflow.evaluation.intelligibility import Heard, Utterance, ratings
from slamflow.recipe.loading import load_assets

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/speech"


def read(pattern: str) -> np.ndarray:
    waves = [soundfile.read(path, dtype="float32")[0] for path in sorted(EXAMPLES.glob(pattern))]
    return np.concatenate(waves)


def noise() -> np.ndarray:
    drawn = 0.1 * np.random.default_rng(0).standard_normal(3 * 16_000)
    return drawn.clip(-1, 1).astype(np.float32)


# speechmos 0.0.1.1 (dnsmos.run, with librosa 0.11), the keys sig_mos, bak_mos and ovrl_mos.
SPEECHMOS = {
    "af_heart/0/af_heart-0-0000.flac": (3.657823670888493, 4.213919161415009, 3.44601797376623),
    "af_heart/0/af_heart-0-0001.flac": (3.58267091172408, 4.098931638857245, 3.3160668462341154),
    "am_adam/0/am_adam-0-0000.flac": (3.4159356233274183, 4.186975624525603, 3.2060178508109676),
    "af_heart/*/*.flac": (3.6271993025683287, 4.1797202776381095, 3.4213069533477833),
    "noise": (1.1357420273840355, 1.0996893032773782, 1.0982927176216695),
}


@pytest.mark.slow
def test_the_figures_are_speechmoss(tmp_path: Path) -> None:
    """The network is fetched, as a recipe does it."""
    file = load_assets(ROOT / "recipes/assets.yaml", {})["dnsmos"].files["sig_bak_ovr.onnx"]
    fetch(file, "dnsmos/sig_bak_ovr.onnx", tmp_path / "network.onnx", tmp_path / "downloads")
    rate = Dnsmos(tmp_path / "network.onnx")
    for name, expected in SPEECHMOS.items():
        wave = noise() if name == "noise" else read(name)
        assert rate(wave) == pytest.approx(expected, abs=1e-4), name


@pytest.mark.parametrize(
    ("seconds", "count"),
    [(1.0, 7), (9.0, 7), (9.01, 1), (9.99, 1), (10.01, 1), (11.0, 2), (11.02, 2), (17.5, 7), (30.0, 7), (34.1, 8)],
)
def test_windows_are_a_second_apart(seconds: float, count: int) -> None:
    """1 s is doubled to 16 s, 9 s to 18 s. Windows that begin at second 7 to 23 are left out, as speechmos does."""
    wave = np.arange(round(seconds * 16_000), dtype=np.float32)
    found = windows(wave)
    assert len(found) == count
    for index, window in enumerate(found):
        assert len(window) == WINDOW
        assert window[0] == 16_000 * (index if index < 7 else 24) % len(wave)


def test_a_short_recording_is_repeated() -> None:
    window = windows(np.array([1.0, 2.0, 3.0], dtype=np.float32))[0]
    assert window[:7].tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not the network of DNSMOS"):
        Dnsmos(tmp_path / "network.onnx")


class Session:
    """A network that gives back how loud its window is, as the three outputs."""

    def run(self, _outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        level = np.abs(inputs["input_1"]).mean(axis=1)
        return [np.stack([level, 2 * level, 3 * level], axis=1)]


@pytest.fixture
def rate() -> Dnsmos:
    made = Dnsmos.__new__(Dnsmos)
    made.session = Session()
    return made


def test_outputs_become_ratings_by_the_published_curves(rate: Dnsmos) -> None:
    """By hand: an output of 0.5, 1.0, 1.5."""
    wave = np.full(WINDOW, 0.5, dtype=np.float32)
    expected = [a * x * x + b * x + c for (a, b, c), x in zip(CURVES.tolist(), (0.5, 1.0, 1.5), strict=True)]
    assert rate(wave) == pytest.approx(expected)


def test_original_and_resynthesis_are_compared_pairwise(rate: Dnsmos) -> None:
    nothing: tuple[list[str], list[str], list[str]] = ([], [], [])
    heard = [
        Heard(
            Utterance(str(index), "a", "", np.full(WINDOW, level, np.float32), np.array([1]), np.array([1])),
            quieter,
            nothing,
            nothing,
        )
        for index, level in enumerate((0.2, 0.4, 0.6))
        for quieter in [np.full(WINDOW, level - 0.1, np.float32)]
    ]
    found = ratings(heard, rate, workers=2)
    assert list(found) == ["signal", "background", "overall"]
    before = np.mean([rate(item.utterance.wave)[2] for item in heard])
    after = np.mean([rate(item.resynthesis)[2] for item in heard])
    assert found["overall"]["original"] == pytest.approx(before)
    assert found["overall"]["resynthesis"] == pytest.approx(after)
    low, high = found["overall"]["gap_ci95"]
    assert low <= after - before <= high
    assert high < 0
