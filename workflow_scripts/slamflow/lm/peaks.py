"""What devices could compute at most, so that a training can say which share of it it reaches (MFU)."""

from __future__ import annotations

import re

import torch

PEAK_TFLOPS: dict[str, tuple[float, float]] = {
    r"H100 PCIe": (756, 51),
    r"H100 NVL": (835, 60),
    r"G?H[12]00": (989, 67),
    r"A100": (312, 19.5),
    r"L40S": (362, 91.6),
    r"A40": (149.7, 37.4),
    r"L4": (121, 30.3),
    r"A6000": (154.8, 38.7),
    r"A5000": (111.1, 27.8),
    r"RTX 4090": (165.2, 82.6),
    r"RTX 3090": (71, 35.6),
}
"""By a pattern of the name that torch gives, the first that fits: 1e12 operations per second, dense, as the maker
states them, in bf16 with sums in float32, and in float32 (without TF32, which no training here uses)."""


def peak_flops(name: str, precision: str) -> float | None:
    """Operations per second of a device at most, by its name, with precision `bf16` or `fp32`; None if not known.

    The MFU of Chowdhery et al. 2022 (arXiv 2204.02311, appendix B) is the share of it that a training's own operations
    take, without those that are computed twice.
    """
    for pattern, (bf16, fp32) in PEAK_TFLOPS.items():
        if re.search(rf"\b{pattern}\b", name) and not re.search("Laptop|MIG", name):
            return 1e12 * (bf16 if precision == "bf16" else fp32)
    return None


def peak_of(device: torch.device, precision: str) -> float | None:
    """The same of this machine's device; None on a CPU."""
    return peak_flops(torch.cuda.get_device_name(device), precision) if device.type == "cuda" else None
