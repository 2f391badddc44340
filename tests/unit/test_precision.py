"""Encoders in other arithmetic than float32: what changes, how that is counted, and that fp32 leaves no trace."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slamflow.files import sha256_file
from slamflow.recipe.base import canonical
from slamflow.sharding import stable_hash
from slamflow.tokenizers import TOKENIZERS
from slamflow.tokenizers.codebook import Codebook, read_codebook
from slamflow.tokenizers.frames import FrameEncoder
from slamflow.tokenizers.job_settings import ExtractUnits
from slamflow.tokenizers.precision import arithmetic, compared, difference
from slamflow.tokenizers.tokenizer import load_frames
from tests.unit.test_extract_units import (
    CLUSTERS,
    ENCODER,
    good_rows,
    read_units,
    run_extract,
    run_fit,
    write_shard,
)
from tests.unit.test_units import WAVES, hubert_folder, whisper_folder

CPU = torch.device("cpu")


def edit_distance(a: list[int], b: list[int]) -> int:
    """The textbook's table."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y)))
    return row[-1]


@pytest.mark.parametrize("kind", ["whisper", "hubert base", "hubert large"])
def test_bf16_states_are_those_of_fp32_but_for_rounding(kind: str, tmp_path: Path) -> None:
    name, _, size = kind.partition(" ")
    folder = whisper_folder(tmp_path) if name == "whisper" else hubert_folder(tmp_path, size)
    values = {"kind": name, "model": "m", "frame_rate_hz": 25.0}
    exact, rough = (
        torch.cat(load_frames(TOKENIZERS.validate(values | {"precision": precision}), folder, CPU).encode(WAVES[:4]))
        for precision in ("fp32", "bf16")
    )
    assert exact.dtype == rough.dtype == torch.float32
    error = (rough - exact).norm() / exact.norm()
    assert 1e-5 < error < 0.03  # bfloat16 rounds to one part in 256


def test_tf32_is_switched_on_for_the_network_alone() -> None:
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    seen = []

    class Looks:
        device, dimension, rate_hz, max_samples = CPU, 2, 50.0, None

        def state_count(self, samples: int) -> int:
            return samples // 320

        def states(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
            seen.append([flag.allow_tf32 for flag in flags])
            return [torch.zeros(len(wave) // 320, 2) for wave in waves]

    before = [flag.allow_tf32 for flag in flags]
    try:
        for flag in flags:
            flag.allow_tf32 = False
        for precision in ("tf32", "fp32", "bf16"):
            FrameEncoder(Looks(), 50.0, 30.0, precision=precision).encode([np.zeros(3200, np.float32)])
        assert seen == [[True, True], [False, False], [False, False]]
        with pytest.raises(ZeroDivisionError), arithmetic("tf32"):
            _ = 1 / 0
        assert [flag.allow_tf32 for flag in flags] == [False, False]
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def test_differences_by_hand() -> None:
    exact = [np.array([1, 1, 2, 3, 3]), np.array([4, 4])]
    found = [np.array([1, 2, 2, 3, 5]), np.array([4, 4])]
    # 2 of 7 frames; 1 2 3 and 1 2 3 5: one insertion to four units
    assert difference(exact, found) == {
        "utterances": 2,
        "frames": 7,
        "frames_that_differ": round(2 / 7, 6),
        "unit_edit_distance": 0.25,
    }
    assert difference([], [])["frames_that_differ"] is None
    random = np.random.default_rng(0)
    some, other = ([random.integers(0, 4, 40) for _ in range(5)] for _ in range(2))

    def runs(units: np.ndarray) -> list[int]:
        return [int(u) for i, u in enumerate(units) if i == 0 or u != units[i - 1]]

    edits = sum(edit_distance(runs(a), runs(b)) for a, b in zip(some, other, strict=True))
    assert difference(some, other)["unit_edit_distance"] == round(edits / sum(len(runs(a)) for a in some), 6)


def test_a_small_share_of_recordings_is_compared() -> None:
    hashes = [stable_hash(str(number)) for number in range(10_000)]
    chosen = compared(hashes)
    assert len(chosen) == 16
    assert max(hashes[index] for index in chosen) == sorted(hashes)[15]
    assert [len(compared(hashes[:count])) for count in (0, 1, 200, 201, 1000)] == [0, 1, 1, 2, 5]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whisper_folder(tmp_path_factory.mktemp("model"))


def test_a_shard_says_how_far_its_units_are_from_fp32(
    tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = good_rows(40)
    shard = write_shard(tmp_path / "audio.parquet", rows)
    run_fit(tmp_path / "fit", [shard], model)
    codebook = tmp_path / "fit" / "codebook.safetensors"
    units: dict[str, list[dict[str, Any]]] = {}
    found = {}
    for precision in ("fp32", "tf32", "bf16"):
        caplog.clear()
        found[precision] = run_extract(tmp_path / precision, shard, codebook, model, precision=precision)
        units[precision] = read_units(tmp_path / precision)
        assert ("fitted on frames in fp32; now they are in" in caplog.text) == (precision != "fp32")
    assert "against_fp32" not in found["fp32"]
    assert "precision" not in found["fp32"]["settings"]["encoder"]
    assert units["tf32"] == units["fp32"]  # there is none on a CPU
    assert found["tf32"]["against_fp32"]["frames_that_differ"] == 0.0
    place = min(range(40), key=lambda index: stable_hash(rows[index]["id"]))
    one, other = (np.repeat(units[p][place]["units"], units[p][place]["durations"]) for p in ("fp32", "bf16"))
    assert found["bf16"]["against_fp32"] == difference([one], [other])
    # Few of them differ, and some do in the whole shard.
    all_frames = [
        np.concatenate([np.repeat(row["units"], row["durations"]) for row in units[p]]) for p in ("fp32", "bf16")
    ]
    assert 0 < (all_frames[0] != all_frames[1]).mean() < 0.1
    assert found["bf16"]["settings"]["encoder"]["precision"] == "bf16"
    two = run_extract(tmp_path / "two", shard, codebook, model, "--workers", "2", precision="bf16")
    assert two == found["bf16"]


def test_a_codebook_knows_its_precision(tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    shard = write_shard(tmp_path / "audio.parquet", good_rows(12))
    run_fit(tmp_path, [shard], model, precision="bf16")
    codebook = tmp_path / "codebook.safetensors"
    assert read_codebook(codebook).precision == "bf16"
    run_extract(tmp_path / "same", shard, codebook, model, precision="bf16")
    assert "fitted on" not in caplog.text
    run_extract(tmp_path / "other", shard, codebook, model)
    assert "fitted on frames in bf16; now they are in fp32" in caplog.text
    caplog.clear()
    run_fit(tmp_path / "given", [], model, "--given", str(codebook), fit=None, codebook="x")
    assert "fitted on frames in bf16" in caplog.text
    assert read_codebook(tmp_path / "given" / "codebook.safetensors").precision == "bf16"


def test_fp32_leaves_files_and_parameters_as_they_were(tmp_path: Path) -> None:
    centroids = np.random.default_rng(0).normal(0, 1, (CLUSTERS, 8)).astype(np.float32)
    Codebook(centroids).save(tmp_path / "now.safetensors")
    # The sha256 that the version before this setting gave.
    header = json.dumps({"centroids": {"dtype": "F32", "shape": [CLUSTERS, 8], "data_offsets": [0, CLUSTERS * 32]}})
    header = header.replace(" ", "")
    header += " " * (-len(header) % 8)
    before = len(header).to_bytes(8, "little") + header.encode() + centroids.tobytes()
    (tmp_path / "before.safetensors").write_bytes(before)
    assert sha256_file(tmp_path / "now.safetensors") == sha256_file(tmp_path / "before.safetensors")

    def parameter(**more: Any) -> dict[str, Any]:
        settings = ExtractUnits(name="e", encoder=TOKENIZERS.validate(ENCODER | more), corpus="c", split="s")
        encoder: dict[str, Any] = json.loads(canonical(settings))["encoder"]
        return encoder

    assert parameter() == parameter(precision="fp32")
    assert "precision" not in parameter()
    assert parameter(precision="bf16") == parameter() | {"precision": "bf16"}
    assert TOKENIZERS.validate(parameter(precision="tf32")).precision == "tf32"
    with pytest.raises(ValueError, match="precision"):
        TOKENIZERS.validate({"kind": "logmel", "precision": "bf16"})
