"""What every kind of speech tokenizer and of vocoder must do, asked of all that are registered."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slamflow.audio import AudioError
from slamflow.errors import InputError
from slamflow.tokenizers import TOKENIZERS, FrameTokenizerSettings, TokenizerSettings
from slamflow.tokenizers.codebook import fit_codebook
from slamflow.tokenizers.tokenizer import FrameTokenizer, load_frames, load_tokenizer
from slamflow.vocoders import VOCODERS, VocoderSettings
from tests.unit.test_units import WAVES, hubert_folder, whisper_folder

CPU = torch.device("cpu")


def minimal(kind: str) -> dict[str, Any]:
    """The fewest keys that a kind asks for."""
    fields = TOKENIZERS.settings(kind).model_fields
    needed = {name: "somewhere" for name, field in fields.items() if field.is_required()}
    return {**needed, "kind": kind}


@pytest.mark.parametrize("kind", TOKENIZERS.names())
def test_a_tokenizer_says_what_the_workflow_asks(kind: str) -> None:
    settings = TOKENIZERS.validate(minimal(kind))
    assert isinstance(settings, TokenizerSettings)
    assert settings.tick_hz > 0
    assert settings.units_per_second > 0
    assert (settings.gflop_per_second() is None) != (settings.seconds_per_core_second() is None)
    again = settings.for_extraction()
    assert again.codebook is None
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings
    assert all(field.description for field in type(settings).model_fields.values())


@pytest.mark.parametrize("kind", TOKENIZERS.names())
def test_a_tokenizer_has_the_function_of_its_sort(kind: str) -> None:
    module, settings = TOKENIZERS.module(kind), TOKENIZERS.settings(kind)
    if issubclass(settings, FrameTokenizerSettings):
        assert list(inspect.signature(module.load_encoder).parameters) == ["settings", "model", "device"]
    else:
        parameters = ["settings", "model", "codebook", "device", "batch_seconds"]
        assert list(inspect.signature(module.load).parameters) == parameters


@pytest.mark.parametrize("kind", VOCODERS.names())
def test_a_vocoder_has_the_functions_of_its_rule(kind: str) -> None:
    module, settings = VOCODERS.module(kind), VOCODERS.settings(kind)
    assert issubclass(settings, VocoderSettings)
    assert list(inspect.signature(module.load).parameters) == ["folder", "about"]
    maker = {"train_vocoder": "train", "convert_vocoder": "convert"}[settings.made_by]
    assert callable(getattr(module, maker))


MODELS = {"whisper": whisper_folder, "hubert": lambda folder: hubert_folder(folder, "base")}
ELSEWHERE = {"textless"}
"""Kinds whose network is of another environment."""
WITH_FRAMES = [kind for kind in TOKENIZERS.names() if issubclass(TOKENIZERS.settings(kind), FrameTokenizerSettings)]


@pytest.mark.parametrize("kind", [kind for kind in WITH_FRAMES if kind not in ELSEWHERE])
def test_units_add_up_to_the_frames_and_do_not_repeat(kind: str, tmp_path: Path) -> None:
    named = "model" in TOKENIZERS.settings(kind).model_fields
    assert kind in MODELS or not named, f"MODELS needs a tiny model of kind {kind}"
    model = MODELS[kind](tmp_path) if named else None
    settings = TOKENIZERS.validate({**minimal(kind), "frame_rate_hz": 25.0, "clusters": 6})
    frames = load_frames(settings, model, CPU)
    encoded_frames = frames.encode(WAVES[:4])
    fit_codebook(torch.cat(encoded_frames).numpy(), 6, 0, True).save(tmp_path / "codebook.safetensors")
    tokenizer = load_tokenizer(settings, model, tmp_path / "codebook.safetensors", CPU)
    assert isinstance(tokenizer, FrameTokenizer)
    assert (tokenizer.units, tokenizer.tick_hz) == (6, 25.0)
    for wave_frames, encoded in zip(encoded_frames, tokenizer.encode(WAVES[:4]), strict=True):
        assert not isinstance(encoded, str)
        assert encoded.durations.sum() == len(wave_frames)
        assert (np.diff(encoded.units.astype(int)) != 0).all()
        expected, _ = tokenizer.quantizer.assign(wave_frames)
        assert np.array_equal(np.repeat(encoded.units, encoded.durations), expected)
    with pytest.raises(AudioError, match="too short: 10 samples"):
        tokenizer.check(10)


def test_a_model_belongs_to_the_kinds_that_name_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kind logmel has no model"):
        load_frames(TOKENIZERS.validate({"kind": "logmel"}), tmp_path, CPU)
    with pytest.raises(InputError, match="kind whisper needs the folder of its weights"):
        load_frames(TOKENIZERS.validate({"kind": "whisper", "model": "m"}), None, CPU)
