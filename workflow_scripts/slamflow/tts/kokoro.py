"""Text to speech with Kokoro: 28 English voices (Kokoro-82M, Apache-2.0; StyleTTS 2, arXiv:2306.07691)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.errors import InputError
from slamflow.tts import FolderEngineSettings, VoiceList

if TYPE_CHECKING:
    from slamflow.tts import Say


class KokoroSpeech(FolderEngineSettings):
    """Speech of Kokoro: 28 English voices, at about 1.6 times real time on one core."""

    # Measured.
    seconds_per_core_second: ClassVar[float | None] = 1.6

    engine: Literal["kokoro"]
    """The text-to-speech engine."""
    voices: VoiceList
    """Names of voices, such as af_heart and bm_lewis: a American, b British; f and m.
    Each story is spoken in one voice, chosen by its id."""
    model: str = "kokoro"
    """The asset, or a folder, with the model (model.onnx, or its parts model.onnx.1, ...) and `<voice>.bin` files."""

    def file_names(self, present: Sequence[str]) -> list[str]:
        parts = [file for file in present if file.startswith("model.onnx")] or ["model.onnx"]
        return [*parts, *(f"{voice}.bin" for voice in self.voices)]


PACKAGES = ("hibari-tts", "onnxruntime", "soxr")


def start(settings: KokoroSpeech, model: Path | None) -> Say:  # noqa: ARG001
    """Start the engine. It draws no noise, so that a text sounds the same in every utterance."""
    from slamflow.tts.kokoro_speaker import Kokoro

    if model is None:
        raise InputError("--model: the engine kokoro needs the folder of its voices")
    speaker = Kokoro(model)
    return lambda text, voice, utterance_id: speaker.say(text, voice)  # noqa: ARG005
