"""slamflow: speech language models, from audio to a scored model.

>>> from slamflow import SpeechLM
>>> model = SpeechLM.from_pretrained("results/models/pocket/aligned")
>>> model.log_likelihood(["good.wav", "bad.wav"])

Names are loaded when they are asked for, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slamflow.errors import InputError
    from slamflow.speech_lm import Speech, SpeechLM
    from slamflow.vocabulary import Vocabulary

__all__ = ["InputError", "Speech", "SpeechLM", "Vocabulary"]

_MODULES = {"InputError": "errors", "Speech": "speech_lm", "SpeechLM": "speech_lm", "Vocabulary": "vocabulary"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
