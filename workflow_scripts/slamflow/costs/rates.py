"""What devices do in an hour and take for it, measured or published, each with its source."""

from __future__ import annotations

from dataclasses import dataclass

SLAM_TOKEN_GFLOP = 2.2824
"""One token of Slam's model in training: 358,347,904 parameters, 24 layers of width 896, context 1,024, by
slamflow.costs.flops. The rates below were stated in tokens of it."""


@dataclass(frozen=True)
class Device:
    """A device on which a recipe may run."""

    name: str
    tflops: float
    """Operations of a training per second, in 1e12, by the count of slamflow.costs.flops."""
    peak_tflops: float | None
    """What the maker states for dense bf16."""
    memory_gb: float | None
    watts: float | None
    """What the maker states for the whole board; a training takes less."""
    source: str
    """Where `tflops` comes from."""


def slam_rate(tokens_per_second: float) -> float:
    """TFLOP/s of a device that trains so many tokens of Slam's model in a second."""
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

HUBERT_GFLOP_PER_SECOND = 9.4
"""Of a second of audio through HuBERT base at 25 Hz: convolutions 4.9, transformer 4.25, positions 0.24. Derived from
the shapes; reading and decoding the audio come on top."""

SPOKEN_PER_CORE = {"hibari": 126.0, "kokoro": 1.6}
"""Seconds of speech that an engine makes in a second of one core; measured."""
GRAMMAR_STORY_SECONDS = {"dev": 14.05, "test": 14.05, "preference": 14.19}
GRAMMAR_STORY_SECONDS_IN_ONE = 11.15
"""A story of the grammar as hibari speaks it, in one piece or with its endings apart and a wrong one; measured in the
pocket: 2,000 stories of train are 22,306 s, 400 of dev 5,620 s, 600 of preference 8,515 s."""
ONE_ENDING = 0.79
"""Of a story of preferences with both endings, the prompt and one of them; the same measurement: 11.15 of 14.19 s."""
PAIR_SECONDS = {"sblimp": 4.74, "swuggy": 2.54}
"""A minimal pair as hibari speaks it; measured in the pocket: 800 of sblimp are 3,794 s, 1,100 of swuggy 2,798 s."""
AUDIO_BYTES_PER_SECOND = 17_300
"""FLAC at 16 kHz; measured: 132,477,173 bytes for 7,676 s of stories."""
WHISPER_TINY_PER_CORE = 148.0
"""Seconds of speech that Whisper tiny encodes in a second of one core; measured: 17.47 h in 423 s (docs/results.md)."""
UNIT_BYTES = 1.0
"""Of a deduplicated unit and its duration in a shard; measured: 125,728 bytes for 132,212 units of stories."""

UNITS_PER_FRAME = 0.78
"""Deduplicated units per frame: Libri-Light gives 3.5e9 units in 50,000 h at 25 Hz, 19.4 of 25 a second (Maimon et al.
2025, table 8). The pocket's Whisper units: 17.2 of 25, measured."""
ROW_BYTES = 6
"""Of a position in rows: uint16 for the token, int32 for the document."""
STATE_BYTES = 16
"""Of a parameter on the device: weight, gradient and Adam's two moments in float32."""
SAVE_BYTES = 12
"""Of a parameter in a saved state: weight and two moments. A new save is whole before the old one goes."""
