"""What the processor's arithmetic can do."""

from __future__ import annotations

import torch


def multiplies_bf16() -> bool:
    """Whether the CPU has fast matrix products in bf16; without them they are far slower than in fp32."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
