"""What devices do and take, and what holds for all recipes, measured or published, each with its source.

What a corpus, a tokenizer, a text-to-speech engine or an objective takes is said by its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SLAM_TOKEN_GFLOP = 2.2824
"""One token of Slam's model in training: 358,347,904 parameters, 24 layers of width 896, context 1,024, by
slamflow.lm.flops. The rates below were stated in tokens of it."""
ENCODER_BYTES = 0.0176
"""Bytes read and written for an operation of a HuBERT base at 25 Hz in float32, between its products: by arithmetic,
165 MB for a second of speech (windows, norms and activations of the convolutions 115, the transformer 50) and 9.4
GFLOP."""
BF16_BYTES = 0.6
"""The same in bfloat16, relative: sums of layers and norms stay float32."""
ENCODER_PEAK, MEMORY_PEAK = 0.6, 0.8
"""Shares of a device's peaks that an encoder is taken to reach."""


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
    encoder_tflops: Mapping[str, float] = field(default_factory=dict)
    """Operations of a speech encoder per second, in 1e12, by precision: see `encoder_rates`."""


def slam_rate(tokens_per_second: float) -> float:
    """TFLOP/s of a device that trains Slam's model at `tokens_per_second`."""
    return round(tokens_per_second * SLAM_TOKEN_GFLOP / 1e3, 1)


def encoder_rates(fp32: float, tf32: float, bf16: float, terabytes_per_second: float) -> dict[str, float]:
    """TFLOP/s of an encoder by precision, from a device's dense peaks (TFLOP/s) and the speed of its memory.

    Its products take ENCODER_PEAK of the peak, what lies between them MEMORY_PEAK of the memory's speed: arithmetic on
    data sheets, not measured. The products in float32 run on the plain cores, the others on tensor cores.
    """

    def rate(peak: float, byte: float) -> float:
        return 1 / (1 / (ENCODER_PEAK * peak) + byte / (MEMORY_PEAK * terabytes_per_second))

    rates = {
        "fp32": rate(fp32, ENCODER_BYTES),
        "tf32": rate(tf32, ENCODER_BYTES),
        "bf16": rate(bf16, BF16_BYTES * ENCODER_BYTES),
    }
    return {precision: round(value, 1) for precision, value in rates.items()}


DEVICES = (
    Device(
        "A5000",
        slam_rate(16_500),
        111,
        24,
        230,
        "derived from Maimon et al. 2025 (arXiv 2502.15814): 1.4e9 tokens in 23.5 h with SlamKit; peak not verified",
        encoder_rates(27.8, 55.6, 111.1, 0.768),
    ),
    Device(
        "A100",
        slam_rate(48_300),
        312,
        80,
        400,
        "derived from Maimon et al. 2025: 16.7e9 tokens in 48 h on two, with SlamKit; memory and power of the SXM form",
        encoder_rates(19.5, 156, 312, 2.039),
    ),
    Device(
        "H100",
        slam_rate(173_000),
        989,
        80,
        700,
        "a projection, not a measurement: 40 % of the peak; between 30 and 60 % it is 0.75 to 1.5 times as much",
        encoder_rates(66.9, 494.7, 989.4, 3.35),
    ),
    Device(
        "H200",
        slam_rate(173_000),
        989,
        141,
        700,
        "a projection as for H100: the same peak, more memory",
        encoder_rates(66.9, 494.7, 989.4, 4.8),
    ),
    Device(
        "2 CPU cores",
        0.0932,
        None,
        None,
        None,
        "measured: 5,089 tokens/s of the pocket's cold model on two cores of an AMD EPYC (docs/results.md); "
        "larger models do better",
        # Measured: mHuBERT at 6.8 times real time a core in fp32 and 14.8 in bf16. CPUs have no TF32.
        {"fp32": 0.128, "tf32": 0.128, "bf16": 0.278},
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
