"""Text to speech with Piper, for those who have it: a program of its own, under the GPL, that is never imported.

It lives in an environment of its own (envs/piper.yaml); the variable SLAMFLOW_PIPER_PYTHON names that environment's
Python. A voice is two files, `<voice>.onnx` and `<voice>.onnx.json`. Each utterance starts the program anew, which
takes about a second.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.errors import InputError
from slamflow.tts import FolderEngineSettings, Program, VoiceList
from slamflow.tts.utterances import SAMPLE_RATE_HZ, Unspeakable, speakable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slamflow.tts import Say


class PiperSpeech(FolderEngineSettings):
    """Speech of Piper, a program under the GPL that is not part of the environment: see docs/audio.md."""

    # What a program under the GPL puts out is not under the GPL.
    programs: ClassVar[tuple[Program, ...]] = (
        Program("piper-tts", "GPL-3.0-or-later", "Piper, version 1.8.0 (program)", "speaks the voices", False),
    )

    engine: Literal["piper"]
    """The text-to-speech engine."""
    voices: VoiceList
    """Names of voices, such as en_US-joe-medium. Each story is spoken in one voice, chosen by its id."""
    model: str
    """The asset, or a folder, with `<voice>.onnx` and `<voice>.onnx.json` files."""

    def file_names(self, present: Sequence[str]) -> list[str]:  # noqa: ARG002
        return [f"{voice}{suffix}" for voice in self.voices for suffix in (".onnx", ".onnx.json")]


PACKAGES = ("soxr",)
PYTHON_VARIABLE = "SLAMFLOW_PIPER_PYTHON"


def start(settings: PiperSpeech, model: Path | None) -> Say:  # noqa: ARG001
    """Start the engine. Its noise is turned off, so that a text sounds the same in every utterance."""
    if model is None:
        raise InputError("--model: the engine piper needs the folder of its voices")
    speaker = Piper(model)
    return lambda text, voice, utterance_id: speaker.say(text, voice)  # noqa: ARG005


class Piper:
    """Speaks English text as 16 kHz mono speech, the same for the same text and voice."""

    def __init__(self, folder: Path) -> None:
        """folder: the voices. Raises InputError if it holds none, or if Piper cannot be run."""
        self.voices = {path.stem: path for path in sorted(folder.glob("*.onnx"))}
        if not self.voices:
            raise InputError(f"{folder}: no Piper voice (.onnx) in it")
        self.python = os.environ.get(PYTHON_VARIABLE, "python")
        self._run(["--help"], "")

    def say(self, text: str, voice: str) -> NDArray[np.float32]:
        """Speech of `text` at 16 kHz, in [-1, 1]; shape (samples,).

        Raises:
            Unspeakable: if the text has nothing to say, or letters that are not Latin.
            InputError: for a voice that is not in the folder, or if Piper fails.
        """
        import soundfile
        import soxr

        if voice not in self.voices:
            raise InputError(f"no Piper voice {voice!r}; there are {', '.join(self.voices)}")
        line = speakable(text)
        if not any(map(str.isalnum, line)):
            raise Unspeakable("nothing in it can be spoken")
        with tempfile.TemporaryDirectory() as folder:
            wave = Path(folder, "speech.wav")
            arguments = ["--model", str(self.voices[voice].resolve()), "--output-file", str(wave)]
            self._run([*arguments, "--noise-scale", "0", "--noise-w-scale", "0"], f"{line}\n")
            speech, rate = soundfile.read(wave, dtype="float32", always_2d=True)
        return soxr.resample(speech.mean(axis=1), rate, SAMPLE_RATE_HZ).clip(-1.0, 1.0).astype("float32")

    def _run(self, arguments: list[str], text: str) -> None:
        # One thread: sums in the same order, so the same samples.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [self.python, "-m", "piper", *arguments]
        try:
            subprocess.run(command, input=text, capture_output=True, text=True, check=True, env=environment)
        except FileNotFoundError:
            raise InputError(f"{self.python}: no such program; {PYTHON_VARIABLE} must name a Python") from None
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(
                f"Piper failed ({last}); {PYTHON_VARIABLE} must name the Python of an environment with piper-tts"
            ) from None
