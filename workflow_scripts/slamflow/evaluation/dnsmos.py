"""DNSMOS P.835: how listeners would rate a recording, by a small network (Reddy, Gopal, Cutler 2022, arXiv:2110.01763).

The network and its conventions are those of Microsoft's package speechmos 0.0.1.1 (speechmos/dnsmos.py), whose figures
these are; only its weights are taken, since the package wants librosa for a fourth figure that is not given here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError

SCALES = ("signal", "background", "overall")
"""What is rated, from 1 to 5: the speech, how little noise there is, all of it."""
SECONDS = 9.01
WINDOW = int(SECONDS * SAMPLE_RATE)
"""Samples that the network takes."""
CURVES = np.array(
    [
        [-0.08397278, 1.22083953, 0.0052439],
        [-0.13166888, 1.60915514, -0.39604546],
        [-0.06766283, 1.11546468, 0.04602535],
    ]
)
"""For each scale the factors of x^2, x and 1 that turn the network's output into a rating."""

Floats = npt.NDArray[np.float64]


def windows(wave: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """The windows of a waveform that are rated, one a second; a short waveform is doubled until it fills one.

    As speechmos counts them: one for each whole second from the 10th on, and one more, less those that begin at second
    7 to 23, whose end it rounds down, so that they are a sample short.
    """
    while len(wave) < WINDOW:
        wave = np.append(wave, wave)
    count = int(len(wave) // SAMPLE_RATE - SECONDS) + 1
    found = [wave[first * SAMPLE_RATE : int((first + SECONDS) * SAMPLE_RATE)] for first in range(count)]
    return [window for window in found if len(window) == WINDOW]


class Dnsmos:
    """Rates speech."""

    def __init__(self, path: Path) -> None:
        """Load the network (ONNX). Raises InputError for another file."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base of their own
            raise InputError(f"{path}: not the network of DNSMOS ({error})") from None

    def __call__(self, wave: npt.NDArray[np.float32]) -> Floats:
        """The ratings of a waveform (float32 [samples], 16 kHz, within [-1, 1], not empty), by SCALES: float64 [3].

        The mean over its windows.
        """
        raw = [self.session.run(None, {"input_1": window[np.newaxis]})[0][0] for window in windows(wave)]
        powers = np.stack([np.square(raw), raw, np.ones_like(raw)], axis=-1).astype(np.float64)
        ratings: Floats = (powers * CURVES).sum(axis=-1).mean(axis=0)
        return ratings
