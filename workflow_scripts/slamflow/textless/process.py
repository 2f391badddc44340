"""textlesslib itself, for those who want the original: in a process and an environment of its own, never imported.

The variable SLAMFLOW_TEXTLESS_PYTHON names that environment's Python (envs/textless.yaml, docs/textless.md).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.textless import worker as textless_worker

PYTHON_VARIABLE = "SLAMFLOW_TEXTLESS_PYTHON"


class Process:
    """A running textless_worker; `about` is what it said of itself."""

    def __init__(self, *arguments: str) -> None:
        self.python = os.environ.get(PYTHON_VARIABLE)
        if not self.python:
            raise InputError(
                f"{PYTHON_VARIABLE} is not set; it must name the Python of an environment with textlesslib, see "
                "docs/textless.md"
            )
        # fairseq's checkpoints hold objects, which torch reads only when it is told to: their pickles are run.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
        environment["PYTHONPATH"] = ""
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process is
        self.lock = threading.Lock()
        try:
            # -P: not the worker's own folder first among the modules
            self.process = subprocess.Popen(
                [self.python, "-P", str(Path(textless_worker.__file__)), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                env=environment,
            )
        except FileNotFoundError:
            raise InputError(f"{self.python}: no such program; {PYTHON_VARIABLE} must name a Python") from None
        self.about = self._answer()[0]

    def ask(self, header: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Send a message and wait for the answer. Raises InputError if the process fails."""
        assert self.process.stdin is not None
        with self.lock:
            with contextlib.suppress(BrokenPipeError):  # the answer says why
                textless_worker.write(self.process.stdin, header, data)  # type: ignore[arg-type]
            return self._answer()

    def _answer(self) -> tuple[dict[str, Any], bytes]:
        assert self.process.stdout is not None
        try:
            message = textless_worker.read(self.process.stdout)  # type: ignore[arg-type]
        except (ValueError, EOFError):
            message = None
        if message is not None and "error" not in message[0]:
            return message
        if message is not None:
            reason = message[0]["error"]
        else:
            self.process.wait()
            self.log.seek(0)
            lines = self.log.read().decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else "no message"
        raise InputError(
            f"textlesslib failed ({reason}); {PYTHON_VARIABLE} must name the Python of an environment with textlesslib"
        )

    def __del__(self) -> None:
        process = getattr(self, "process", None)
        if process is not None:
            with contextlib.suppress(OSError):  # it may be gone, with a message unread
                process.stdin.close()
            process.wait()
            process.stdout.close()
            self.log.close()


class TextlessEncoder:
    """States of a layer of textlesslib's HuBERT, one file at a time."""

    def __init__(self, folder: Path, layer: int | None, device: torch.device) -> None:
        files = sorted(folder.glob("*.pt"))
        if len(files) != 1:
            raise InputError(f"{folder}: kind textless wants one .pt file of fairseq in it, found {len(files)}")
        if layer is None:
            raise InputError("layer: kind textless needs one")
        self.process = Process("encoder", str(files[0].resolve()), str(layer))
        about = self.process.about
        self.device = device
        self.kernels: list[int] = about["kernels"]
        self.strides: list[int] = about["strides"]
        self.dimension: int = about["dimension"]
        self.rate_hz = SAMPLE_RATE / float(np.prod(self.strides))
        self.max_samples: int | None = None

    def state_count(self, samples: int) -> int:
        """States that a waveform of this many samples gives."""
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            samples = max(0, (samples - kernel) // stride + 1)
        return samples

    def states(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        """Encode waveforms, each by itself: float32 [states, dimension] each."""
        result = []
        for wave in waves:
            header, data = self.process.ask({}, np.ascontiguousarray(wave, np.float32).tobytes())
            states = np.frombuffer(data, np.float32).reshape(header["shape"])
            result.append(torch.from_numpy(states.copy()).to(self.device))
        return result


class TextlessVocoder:
    """Speaks deduplicated units with textlesslib's own unit HiFi-GAN, like `vocoder.synthesis.Vocoder`."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.process = Process("vocoder", str(folder.resolve()))
        self.known: int = about["units"]
        self.frame_rate_hz: float = about["frame_rate_hz"]

    def durations(self, units: Sequence[int] | np.ndarray) -> np.ndarray:
        """Predicted durations of units, int64 [units], in frames of the units: at least 1."""
        if not len(units):
            return np.zeros(0, np.int64)
        numbers = self._numbers(units)
        _, data = self.process.ask({"wanted": "durations", "rows": 1}, numbers.tobytes())
        return np.frombuffer(data, np.int64).copy()

    def __call__(
        self, units: Sequence[int] | np.ndarray, durations: Sequence[int] | np.ndarray | None = None
    ) -> np.ndarray:
        """Speech for deduplicated units: float32 [samples] in (-1, 1), 16 kHz.

        Raises InputError for a unit that the vocoder does not know, or durations that do not fit.
        """
        if not len(units):
            return np.zeros(0, np.float32)
        frames = self.durations(units) if durations is None else np.asarray(durations, dtype=np.int64)
        if frames.shape != (len(units),) or frames.min() < 1:
            raise InputError(f"{len(frames)} durations for {len(units)} units, each at least 1, are wanted")
        rows = np.stack([self._numbers(units), frames])
        _, data = self.process.ask({"wanted": "wave", "rows": 2}, rows.tobytes())
        return np.frombuffer(data, np.float32).copy()

    def _numbers(self, units: Sequence[int] | np.ndarray) -> np.ndarray:
        numbers = np.asarray(units).astype(np.int64)
        if numbers.min() < 0 or numbers.max() >= self.known:
            raise InputError(
                f"unit {numbers.max()} is not among the vocoder's {self.known}; was it made for other units?"
            )
        return numbers
