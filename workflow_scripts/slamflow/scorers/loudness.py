"""The loudness: the louder recording wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.scorers import BaselineSettings, Material

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from slamflow.evaluation.parts import Level


class LoudnessBaseline(BaselineSettings):
    """The louder recording."""

    about: ClassVar[str] = "the louder one"
    is_trivial: ClassVar[bool] = True
    needs_speech: ClassVar[bool] = True
    baseline: Literal["loudness"] = "loudness"
    """The louder recording."""


READS = "levels"
SILENCE = 1e-12
"""Mean square of what counts as digital silence: -120 dB re full scale."""


class Loudness:
    """Prefers the louder sequence, by the mean square of its samples.

    Preferring the softer one gives 1 minus this accuracy, so where the one is at chance, the other is too.
    """

    def nll(self, sequences: Sequence[Sequence[Level]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Minus the level of each sequence in dB re full scale, as the likelihood of one token.

        sequences: the levels of the utterances of each, which count by their lengths.
        """
        import numpy as np

        energy = np.array([sum(level.energy for level in levels) for levels in sequences], dtype=np.float64)
        samples = np.array([max(1, sum(level.samples for level in levels)) for levels in sequences], dtype=np.int64)
        return -10 * np.log10(np.maximum(energy / samples, SILENCE)), np.ones(len(sequences), dtype=np.int64)


def fit(material: Material) -> Loudness:  # noqa: ARG001
    """Nothing is fitted."""
    return Loudness()
