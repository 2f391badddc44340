"""The process beside which textlesslib runs, against a stand-in that speaks the same messages."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from slamflow.errors import InputError
from slamflow.textless.process import PYTHON_VARIABLE, TextlessVocoder
from slamflow.tokenizers import TOKENIZERS, FrameTokenizerSettings
from slamflow.tokenizers.tokenizer import encoder_digest, load_frames

# textlesslib's modules, as far as the worker uses them: a "HuBERT" that takes every fourth sample of normalized waves,
# and a "HiFi-GAN" that holds each unit's number.
READER = """
import torch
class Convolution:
    kernel_size, stride = (3,), (4,)
class HubertFeatureReader(torch.nn.Module):
    def __init__(self, checkpoint, layer):
        super().__init__()
        print("noise on stdout")
        assert open(checkpoint).read() == "weights"
        self.layer = layer
        self.model = type("Model", (), {})()
        self.model.feature_extractor = type("Extractor", (), {"conv_layers": [[Convolution()], [Convolution()]]})()
        self.model.encoder = type("Encoder", (), {"embedding_dim": 2})()
    def forward(self, wave):
        if wave[0] == 99:
            raise RuntimeError("this file I do not like")
        count = (((len(wave) - 3) // 4 + 1) - 3) // 4 + 1
        return torch.stack([wave[: 16 * count : 16], torch.full((count,), float(self.layer))], dim=1)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python that finds the stand-in first; a folder with a checkpoint."""
    package = tmp_path / "packages/textless/data"
    package.mkdir(parents=True)
    (package / "hubert_feature_reader.py").write_text(READER)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/packages exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv(PYTHON_VARIABLE, str(python))
    (tmp_path / "model").mkdir()
    (tmp_path / "model/x.pt").write_text("weights")
    return tmp_path / "model"


def settings(rate: float = 1000.0) -> FrameTokenizerSettings:
    return TOKENIZERS.validate({"kind": "textless", "model": "somewhere", "layer": 3, "frame_rate_hz": rate})


@pytest.mark.slow
def test_states_come_from_the_process(stand_in: Path) -> None:
    encoder = load_frames(settings(), stand_in, torch.device("cpu"))
    waves = [np.arange(length, dtype=np.float32) for length in (11, 100, 4000)]
    assert encoder.dimension == 2
    for wave, states in zip(waves, encoder.encode(waves), strict=True):
        assert len(states) == encoder.frame_count(len(wave))
        np.testing.assert_array_equal(states[:, 0].numpy(), wave[::16][: len(states)])
        assert set(states[:, 1].tolist()) == {3.0}
    assert encoder.frame_count(10) == 0


def test_the_digest_is_the_checkpoints(stand_in: Path) -> None:
    before = encoder_digest(settings(), stand_in)
    (stand_in / "x.pt").write_text("other weights")
    assert encoder_digest(settings(), stand_in) != before


@pytest.mark.slow
def test_what_fails_there_is_told_here(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_frames(settings(), stand_in, torch.device("cpu"))
    with pytest.raises(InputError, match="RuntimeError: this file I do not like"):
        encoder.encode([np.full(100, 99, np.float32)])
    assert len(encoder.encode([np.zeros(100, np.float32)])[0]) == 6  # it goes on
    (stand_in / "x.pt").write_text("no weights")
    with pytest.raises(InputError, match=r"textlesslib failed \(AssertionError"):
        load_frames(settings(), stand_in, torch.device("cpu"))
    monkeypatch.setenv(PYTHON_VARIABLE, sys.executable)
    with pytest.raises(InputError, match="No module named 'textless'"):
        load_frames(settings(), stand_in, torch.device("cpu"))
    monkeypatch.setenv(PYTHON_VARIABLE, "/nowhere/python")
    with pytest.raises(InputError, match="no such program"):
        load_frames(settings(), stand_in, torch.device("cpu"))
    monkeypatch.delenv(PYTHON_VARIABLE)
    with pytest.raises(InputError, match="SLAMFLOW_TEXTLESS_PYTHON is not set"):
        load_frames(settings(), stand_in, torch.device("cpu"))


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"wants one \.pt file"):
        load_frames(settings(), tmp_path, torch.device("cpu"))


def test_units_and_durations_are_checked_before_they_are_sent() -> None:
    vocoder = object.__new__(TextlessVocoder)
    vocoder.known = 5
    with pytest.raises(InputError, match="unit 5 is not among the vocoder's 5"):
        vocoder.durations([1, 5])
    with pytest.raises(InputError, match="durations for 2 units"):
        vocoder([1, 2], [1])
    assert len(vocoder([])) == len(vocoder.durations([])) == 0
