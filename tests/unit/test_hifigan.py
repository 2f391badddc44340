"""The published vocoder's layout against the papers' definition in slow loops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convert_vocoder
from slamflow.errors import InputError
from slamflow.vocoders.unit_hifigan import HifiGan
from slamflow.vocoders.vocoder import load_vocoder

UNITS, WIDTH, HIDDEN = 7, 6, 5
CONFIG: dict[str, Any] = {
    "upsample_initial_channel": 8,
    "upsample_rates": [5, 4, 32],
    "upsample_kernel_sizes": [11, 8, 64],
    "resblock": "1",
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 2, 4]],
    "num_embeddings": UNITS,
    "embedding_dim": WIDTH,
    "model_in_dim": WIDTH,
    "sampling_rate": 16000,
    "code_hop_size": 640,
    "f0": False,
    "dur_predictor_params": {
        "encoder_embed_dim": WIDTH,
        "var_pred_hidden_dim": HIDDEN,
        "var_pred_kernel_size": 3,
        "var_pred_dropout": 0.5,
    },
}
SENTENCE = [3, 1, 4, 1, 5, 6, 0]

SETTINGS = ["--settings", json.dumps({"vocoder": {"kind": "hifigan", "model": "somewhere"}})]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def checkpoint() -> dict[str, torch.Tensor]:
    """Random weights under the names of textlesslib's CodeGenerator, weight norm and all."""
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = {"dict.weight": torch.randn(UNITS, WIDTH)}

    def normed(name: str, *shape: int, bias: int) -> None:
        state[f"{name}.weight_g"] = torch.rand(shape[0], 1, 1) + 0.5
        state[f"{name}.weight_v"] = torch.randn(shape)
        state[f"{name}.bias"] = 0.1 * torch.randn(bias)

    channels = CONFIG["upsample_initial_channel"]
    normed("conv_pre", channels, WIDTH, 7, bias=channels)
    block = 0
    for index, kernel in enumerate(CONFIG["upsample_kernel_sizes"]):
        normed(f"ups.{index}", channels, channels // 2, kernel, bias=channels // 2)
        state[f"ups.{index}.weight_g"] *= kernel**0.5  # as loud behind it as before
        channels //= 2
        for size in CONFIG["resblock_kernel_sizes"]:
            for part in range(3):
                normed(f"resblocks.{block}.convs1.{part}", channels, channels, size, bias=channels)
                normed(f"resblocks.{block}.convs2.{part}", channels, channels, size, bias=channels)
            block += 1
    normed("conv_post", 1, channels, 7, bias=1)
    for index, (inputs, outputs) in enumerate(((WIDTH, HIDDEN), (HIDDEN, HIDDEN)), start=1):
        state[f"dur_predictor.conv{index}.0.weight"] = torch.randn(outputs, inputs, 3)
        state[f"dur_predictor.conv{index}.0.bias"] = torch.randn(outputs)
        state[f"dur_predictor.ln{index}.weight"] = torch.rand(outputs) + 0.5
        state[f"dur_predictor.ln{index}.bias"] = torch.randn(outputs)
    weight = state["dur_predictor.proj.weight"] = 0.7 * torch.randn(1, HIDDEN)
    # about the logarithm of 3, so that some durations are cut at 1 and others are not
    state["dur_predictor.proj.bias"] = 1.1 - weight @ state["dur_predictor.ln2.bias"]
    return state


def source_folder(folder: Path, changes: dict[str, Any] | None = None, **tensors: torch.Tensor | None) -> Path:
    folder.mkdir()
    state = {name: tensor for name, tensor in (checkpoint() | tensors).items() if tensor is not None}
    torch.save({"generator": state}, folder / "generator.pt")
    (folder / "config.json").write_text(json.dumps(CONFIG | (changes or {})))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hifigan")
    source = source_folder(root / "source")
    convert_vocoder.main([*SETTINGS, "--input", str(source), "--output", str(root / "vocoder")])
    return root / "vocoder"


@pytest.fixture(scope="module")
def vocoder(folder: Path) -> HifiGan:
    loaded = load_vocoder(folder)
    assert isinstance(loaded, HifiGan)
    return loaded


# The oracle: channels and times in plain loops, float64


class Slow:
    """HiFi-GAN as the paper has it: each output sample is a sum that is written out."""

    def __init__(self) -> None:
        self.state = {name: tensor.double().numpy() for name, tensor in checkpoint().items()}

    def weight(self, name: str) -> np.ndarray:
        gain, direction = self.state[f"{name}.weight_g"], self.state[f"{name}.weight_v"]
        return np.stack([g.item() * v / np.sqrt((v**2).sum()) for g, v in zip(gain, direction, strict=True)])

    def convolve(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dilation: int = 1) -> np.ndarray:
        """x [channels, time]; as much padding as keeps the length."""
        outputs, _, kernel = weight.shape
        time = x.shape[1]
        before = dilation * (kernel - 1) // 2
        y = np.zeros((outputs, time))
        for t in range(time):
            y[:, t] = bias
            for k in range(kernel):
                source = t - before + k * dilation
                if 0 <= source < time:
                    y[:, t] += weight[:, :, k] @ x[:, source]
        return y

    def spread(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, rate: int) -> np.ndarray:
        """The transposed convolution: each input adds a kernel to the output, `rate` samples further than the last."""
        kernel, time = weight.shape[2], x.shape[1]
        whole = np.zeros((weight.shape[1], (time - 1) * rate + kernel))
        for t in range(time):
            for k in range(kernel):
                whole[:, t * rate + k] += weight[:, :, k].T @ x[:, t]
        cut = (kernel - rate) // 2
        return whole[:, cut : whole.shape[1] - cut] + bias[:, None]

    def speak(self, units: list[int], durations: list[int]) -> np.ndarray:
        repeated = np.repeat(units, durations)
        x = self.state["dict.weight"][repeated].T
        x = self.convolve(x, self.weight("conv_pre"), self.state["conv_pre.bias"])
        block = 0
        for index, rate in enumerate(CONFIG["upsample_rates"]):
            x = self.spread(leaky(x, 0.1), self.weight(f"ups.{index}"), self.state[f"ups.{index}.bias"], rate)
            branches = []
            for dilations in CONFIG["resblock_dilation_sizes"]:
                y = x
                for part, dilation in enumerate(dilations):
                    first, second = f"resblocks.{block}.convs1.{part}", f"resblocks.{block}.convs2.{part}"
                    z = self.convolve(leaky(y, 0.1), self.weight(first), self.state[f"{first}.bias"], dilation)
                    y = y + self.convolve(leaky(z, 0.1), self.weight(second), self.state[f"{second}.bias"])
                branches.append(y)
                block += 1
            x = sum(branches) / len(branches)
        return np.tanh(self.convolve(leaky(x, 0.01), self.weight("conv_post"), self.state["conv_post.bias"]))[0]

    def durations(self, units: list[int]) -> list[int]:
        x = self.state["dict.weight"][units].T
        for index in (1, 2):
            name = f"dur_predictor.conv{index}.0"
            x = np.maximum(self.convolve(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"]), 0)
            x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
            x = x * self.state[f"dur_predictor.ln{index}.weight"][:, None]
            x = x + self.state[f"dur_predictor.ln{index}.bias"][:, None]
        logs = self.state["dur_predictor.proj.weight"] @ x + self.state["dur_predictor.proj.bias"]
        return [max(1, round(np.exp(value) - 1)) for value in logs[0]]


def leaky(x: np.ndarray, slope: float) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


@pytest.mark.slow
def test_speech_is_that_of_the_definition(vocoder: HifiGan) -> None:
    durations = [2, 1, 1, 3, 1, 1, 1]
    wave = vocoder(SENTENCE, durations)
    expected = Slow().speak(SENTENCE, durations)
    assert wave.dtype == np.float32
    assert len(wave) == sum(durations) * 640
    np.testing.assert_allclose(wave, expected, atol=1e-4, rtol=0)
    assert expected.std() > 0.1
    assert (np.abs(expected) < 0.9).mean() > 0.5  # tanh does not hide differences


def test_durations_are_those_of_the_definition(vocoder: HifiGan) -> None:
    random = np.random.default_rng(0)
    found = []
    for _ in range(20):
        units = random.integers(UNITS, size=random.integers(1, 30)).tolist()
        assert vocoder.durations(units).tolist() == Slow().durations(units)
        found += Slow().durations(units)
    assert 1 in found
    assert len(set(found)) > 3


def test_predicted_durations_are_used(vocoder: HifiGan) -> None:
    durations = vocoder.durations(SENTENCE)
    np.testing.assert_array_equal(vocoder(SENTENCE), vocoder(SENTENCE, durations))
    assert len(vocoder(SENTENCE)) == durations.sum() * 640
    assert vocoder.frame_rate_hz == 25.0
    assert len(vocoder([])) == len(vocoder.durations([])) == 0


def test_units_and_durations_that_do_not_fit_are_refused(vocoder: HifiGan) -> None:
    for units in ([UNITS], [-1]):
        with pytest.raises(InputError, match="not among the vocoder's 7"):
            vocoder(units)
    for durations in ([1], [0] * len(SENTENCE)):
        with pytest.raises(InputError, match="durations for 7 units"):
            vocoder(SENTENCE, durations)


def test_the_same_files_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    convert_vocoder.main(
        [*SETTINGS, "--input", str(source_folder(tmp_path / "source")), "--output", str(tmp_path / "again")]
    )
    assert sorted(path.name for path in folder.iterdir()) == ["vocoder.json", "vocoder.safetensors"]
    # torch.save names the same tensors in the same way, so the source's digest is the same too
    for file in folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_a_folder_without_a_vocoder_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"vocoder\.json: no such file"):
        load_vocoder(tmp_path)
    (tmp_path / "vocoder.json").write_bytes((folder / "vocoder.json").read_bytes())
    (tmp_path / "vocoder.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match="not a vocoder"):
        load_vocoder(tmp_path)


@pytest.mark.parametrize(
    ("changes", "tensors", "message"),
    [
        ({"multispkr": True}, {}, "multispkr is set"),
        ({"f0": True}, {}, "f0 is set"),
        ({"sampling_rate": 24000}, {}, "sampling_rate is 24000"),
        ({"upsample_rates": [5, 4, 7]}, {}, "no whole number of frames"),
        ({"num_embeddings": 8}, {}, "embedding.weight is"),
        ({"model_in_dim": 80}, {}, "HiFi-GAN has"),
        ({"upsample_initial_channel": 16}, {}, "HiFi-GAN has"),
        ({}, {"spkr.weight": torch.zeros(2)}, r"a tensor spkr\.weight"),
        ({}, {"conv_pre.weight_v": None}, "no conv_pre.weight_v"),
        ({}, {"dur_predictor.proj.bias": None}, "duration.out.bias is None"),
    ],
)
def test_what_is_no_plain_unit_vocoder_is_named(
    tmp_path: Path, changes: dict[str, Any], tensors: dict[str, Any], message: str
) -> None:
    source = source_folder(tmp_path / "source", changes, **tensors)
    with pytest.raises(InputError, match=message):
        convert_vocoder.main([*SETTINGS, "--input", str(source), "--output", str(tmp_path / "output")])
    assert not (tmp_path / "output").exists()


def test_a_tampered_generator_does_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "canary",)

    source = source_folder(tmp_path / "source")
    torch.save({"generator": {**checkpoint(), "evil": Evil()}}, source / "generator.pt")
    with pytest.raises(InputError, match="refused"):
        convert_vocoder.main([*SETTINGS, "--input", str(source), "--output", str(tmp_path / "output")])
    assert not (tmp_path / "canary").exists()
