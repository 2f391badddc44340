"""What devices do and take, and what holds for all recipes, measured or published, each with its source.

What a corpus, a tokenizer, a text-to-speech engine or an objective takes is said by its kind.
"""

from __future__ import annotations

from dataclasses import dataclass

SLAM_TOKEN_GFLOP = 2.2824
"""One token of Slam's model in training: 358,347,904 parameters, 24 layers of width 896, context 1,024, by
slamflow.lm.flops. The rates below were stated in tokens of it."""


@dataclass(frozen=True)
class Device:
    """A device on which a recipe may run."""

    name: str
    tflops: float
    """Operations of a training per second, in 1e12, by the count of slamflow.lm.flops."""
    peak_tflops: float | None
    """What the maker states for dense bf16."""
    memory_gb: float | None
    watts: float | None
    """What the maker states for the whole board; a training takes less."""
    source: str
    """Where `tflops` comes from."""


def slam_rate(tokens_per_second: float) -> float:
    """TFLOP/s of a device that trains Slam's model at `tokens_per_second`."""
    return round(tokens_per_second * SLAM_TOKEN_GFLOP / 1e3, 1)


DEVICES = (
    Device(
        "A5000",
        slam_rate(16_500),
        111,
        24,
        230,
        "derived from Maimon et al. 2025 (arXiv 2502.15814): 1.4e9 tokens in 23.5 h with SlamKit; peak not verified",
    ),
    Device(
        "A100",
        slam_rate(48_300),
        312,
        80,
        400,
        "derived from Maimon et al. 2025: 16.7e9 tokens in 48 h on two, with SlamKit; memory and power of the SXM form",
    ),
    Device(
        "H100",
        slam_rate(173_000),
        989,
        80,
        700,
        "a projection, not a measurement: 40 % of the peak; between 30 and 60 % it is 0.75 to 1.5 times as much",
    ),
    Device(
        "H200",
        slam_rate(173_000),
        989,
        141,
        700,
        "a projection as for H100: the same peak, more memory",
    ),
    Device(
        "2 CPU cores",
        0.0932,
        None,
        None,
        None,
        "measured: 5,089 tokens/s of the pocket's cold model on two cores of an AMD EPYC (docs/results.md); "
        "larger models do better",
    ),
)

AUDIO_BYTES_PER_SECOND = 17_300
"""FLAC at 16 kHz; measured: 132,477,173 bytes for 7,676 s of stories."""
UNIT_BYTES = 1.0
"""Of a deduplicated unit and its duration in a shard; measured: 125,728 bytes for 132,212 units of stories."""
DOCUMENT_BYTES = 4
"""Of a position in rows, beside its token: int32 for the document."""
SAVE_BYTES = 12
"""Of a parameter in a saved state: weight and two moments. A new save is whole before the old one goes."""
