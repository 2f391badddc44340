"""Which share of a device's peak a training reaches, and where it is told."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from slamflow import files
from slamflow.estimate import rates
from slamflow.lm import loop
from slamflow.lm.flops import Shape, training_flops_per_token
from slamflow.lm.objective import Inputs
from slamflow.lm.peaks import peak_flops
from tests.unit.training_rows import CONTEXT, settings, train, write_rows


@pytest.mark.parametrize(
    ("name", "bf16"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA RTX A5000", 111.1),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA A40", 149.7),
        ("NVIDIA RTX A4000", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("Tesla V100-SXM2-16GB", None),
    ],
)
def test_peaks_go_by_the_name_that_torch_gives(name: str, bf16: float | None) -> None:
    assert peak_flops(name, "bf16") == (None if bf16 is None else 1e12 * bf16)
    assert (peak_flops(name, "fp32") is None) == (bf16 is None)


def test_the_estimate_has_the_same_peaks() -> None:
    for device in rates.DEVICES:
        if device.peak_tflops is not None:
            assert peak_flops(device.name, "bf16") == pytest.approx(1e12 * device.peak_tflops, rel=0.01)


def test_slam_on_an_a100_by_hand() -> None:
    """48,300 tokens/s of 358,347,904 parameters, 24 layers of width 896 at 1,024 (docs/architecture.md: 33 to 35 %)."""
    shape = Shape(358_347_904, 358_347_904, 24, 896)
    flops = 6 * 358_347_904 + 12 * 24 * 896 * 1025 / 2
    assert training_flops_per_token(shape, 1024) == pytest.approx(flops)
    peak = peak_flops("NVIDIA A100-SXM4-80GB", "bf16")
    assert peak is not None
    assert 48_300 * flops / peak == pytest.approx(0.353, abs=0.001)


def test_each_line_and_the_record_tell_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_rows(tmp_path / "train")
    values = settings(tokens=4 * 4 * CONTEXT)
    inputs = Inputs(train=tmp_path / "train")
    train(values, inputs, tmp_path / "state", tmp_path / "unknown")
    assert "MFU" not in caplog.text
    assert all("mfu" not in line for line in files.read_jsonl(tmp_path / "unknown/metrics.jsonl"))
    assert "mfu" not in files.read_json(tmp_path / "unknown/training.json")
    monkeypatch.setattr(loop, "peak_of", lambda *_: 1e12)
    train(values, inputs, tmp_path / "state", tmp_path / "known")
    record = files.read_json(tmp_path / "known/training.json")
    # Embeddings are not multiplied: 32 tokens of width 32.
    flops = 6 * (record["parameters"] - 32 * 32) + 6 * 2 * 32 * (CONTEXT + 1)
    lines = files.read_jsonl(tmp_path / "known/metrics.jsonl")
    assert len(lines) == 4
    for line in lines:
        assert line["mfu"] == pytest.approx(line["tokens_per_second"] * flops / 1e12, abs=6e-5)
    assert record["mfu"] == pytest.approx(record["tokens_per_second"] * flops / 1e12, abs=6e-5)
    assert f"{100 * lines[-1]['mfu']:.1f} % MFU" in caplog.text
