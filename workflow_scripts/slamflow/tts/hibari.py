"""Text to speech with hibari: one English voice that runs on a CPU, and further voices made of it by resampling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from slamflow.tts import EngineSettings, Program
from slamflow.tts.utterances import utterance_seed

if TYPE_CHECKING:
    from slamflow.tts import Say


class HibariSpeech(EngineSettings):
    """Speech of hibari: one English voice, and others made of it. Fast on a CPU."""

    # Measured.
    seconds_per_core_second: ClassVar[float | None] = 126.0
    programs: ClassVar[tuple[Program, ...]] = (
        Program("hibari-tts", "Apache-2.0", "hibari-tts, version 0.2.1 (Python package)", "voice", True),
    )

    engine: Literal["hibari"] = "hibari"
    """The text-to-speech engine."""
    voices: Annotated[dict[str, Annotated[float, Field(gt=0.5, lt=2.0)]], Field(min_length=1)] = {"plain": 1.0}
    """Voices by name. The number is a resampling factor: 1.1 is a shorter vocal tract and a higher pitch.
    Each story is spoken in one voice, chosen by its id."""
    seed: int = 0
    """Seed of the engine, mixed with the utterance's id."""


PACKAGES = ("hibari-tts", "onnxruntime", "soxr")


def start(settings: HibariSpeech, model: Path | None) -> Say:  # noqa: ARG001
    """Start the engine, which brings its own model."""
    from slamflow.tts.hibari_speaker import Speaker

    speaker, factors, seed = Speaker(), settings.voices, settings.seed
    return lambda text, voice, utterance_id: speaker.say(text, factors[voice], utterance_seed(seed, utterance_id))
