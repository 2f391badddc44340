"""Piper, with a stand-in for the program: how it is called, and what is made of its answer."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from slamflow.errors import InputError
from slamflow.tts import piper
from slamflow.tts.utterances import Unspeakable

PROGRAM = """#!{python}
import sys, wave
arguments = sys.argv[1:]
assert arguments[:2] == ["-m", "piper"], arguments
if "--help" in arguments:
    sys.exit(0)
text = sys.stdin.read()
if "fail" in text:
    sys.exit("the voice is damaged")
open(sys.argv[0] + ".text", "a").write(text)
assert arguments[arguments.index("--noise-scale") + 1] == "0"
assert arguments[arguments.index("--noise-w-scale") + 1] == "0"
import math
with wave.open(arguments[arguments.index("--output-file") + 1], "wb") as out:
    out.setparams((1, 2, 22050, 0, "NONE", None))
    samples = [int(16000 * math.sin(2 * math.pi * 500 * n / 22050)) for n in range(22050)]
    out.writeframes(b"".join(value.to_bytes(2, "little", signed=True) for value in samples))
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "python"
    path.write_text(PROGRAM.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(piper.PYTHON_VARIABLE, str(path))
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices/joe.onnx").touch()
    return path


def test_a_text_becomes_16_khz_speech(tmp_path: Path, program: Path) -> None:
    speech = piper.Piper(tmp_path / "voices").say("One “day”\nhe --help left.", "joe")
    assert (speech.dtype, speech.shape) == (np.float32, (16_000,))
    assert np.argmax(np.abs(np.fft.rfft(speech))) == 500
    assert np.abs(speech).max() == pytest.approx(16_000 / 32_768, abs=0.02)
    # One line: Piper takes each line for a text of its own.
    assert Path(f"{program}.text").read_text() == 'One "day" he --help left.\n'


def test_failures_are_explained(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = piper.Piper(tmp_path / "voices")
    with pytest.raises(InputError, match=r"the voice is damaged.*SLAMFLOW_PIPER_PYTHON"):
        engine.say("fail", "joe")
    with pytest.raises(InputError, match="no Piper voice 'amy'; there are joe"):
        engine.say("Hello.", "amy")
    with pytest.raises(Unspeakable):
        engine.say("...", "joe")
    with pytest.raises(InputError, match="no Piper voice"):
        piper.Piper(tmp_path)
    monkeypatch.setenv(piper.PYTHON_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no such program"):
        piper.Piper(tmp_path / "voices")
    program.write_text("#!/bin/sh\necho No module named piper >&2; exit 1\n")
    monkeypatch.setenv(piper.PYTHON_VARIABLE, str(program))
    with pytest.raises(InputError, match="No module named piper"):
        piper.Piper(tmp_path / "voices")
