"""Text-to-speech engines behind one function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slamflow.errors import InputError
from slamflow.settings.corpora import HibariSpeech, KokoroSpeech, Speech
from slamflow.speech import hibari
from slamflow.speech.kokoro import Kokoro
from slamflow.speech.piper import Piper

Say = Callable[[str, str, int], NDArray[np.float32]]
"""Text, voice and seed to speech at 16 kHz in [-1, 1], shape (samples,), the same each time. Raises
hibari.Unspeakable for a text that the engine cannot say."""


def start(speech: Speech, model: Path | None) -> Say:
    """Start the engine of a corpus.

    model: the folder with the engine's model and voices; hibari brings its own. Raises InputError without a folder
    that is needed, or if the engine cannot be run.
    """
    if isinstance(speech, HibariSpeech):
        speaker, factors = hibari.Speaker(), speech.voices
        return lambda text, voice, seed: speaker.say(text, factors[voice], seed)
    if model is None:
        raise InputError(f"--model: the engine {speech.engine} needs the folder of its voices")
    return Kokoro(model).say if isinstance(speech, KokoroSpeech) else Piper(model).say
