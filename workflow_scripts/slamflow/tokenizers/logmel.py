"""Units of log-mel frames: no model at all, for tests and as the plainest baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.tokenizers import FrameTokenizerSettings

if TYPE_CHECKING:
    import torch

    from slamflow.tokenizers.tokenizer import StateEncoder


class LogMelTokenizer(FrameTokenizerSettings):
    """Log-mel frames, 100 a second."""

    about: ClassVar[str] = "clusters of plain spectra."
    is_comparable: ClassVar[bool] = False
    kind: Literal["logmel"]
    """Plain log-mel frames."""

    def seconds_per_core_second(self) -> float:
        # A short-time Fourier transform and a matrix product: negligible beside decoding.
        return 1000.0


def load_encoder(settings: LogMelTokenizer, model: None, device: torch.device) -> StateEncoder:  # noqa: ARG001
    """The filter bank."""
    from slamflow.tokenizers.networks.logmel import LogMelEncoder

    return LogMelEncoder(device)
