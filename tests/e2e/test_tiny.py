"""The whole pocket recipe with every part real and every size tiny: downloads, speech, units, training, scores."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TINY = {
    "corpora": {
        "stories": {
            "splits": {
                "train": {"stories": 30, "shards": 2},
                "text": {"stories": 100},
                "validation": {"stories": 12},
                "preference": {"stories": 10},
                "dev": {"stories": 10},
                "test": {"stories": 10},
            }
        },
        "other_voice": {"splits": {"dev": {"stories": 10}, "test": {"stories": 10}}},
        "sblimp": {"splits": {"dev": {"pairs": 10}, "test": {"pairs": 10}}},
        "swuggy": {"splits": {"dev": {"pairs": 40}, "test": {"pairs": 40}}},
        "examples": {"splits": {"validation": {"percent": [0, 20]}}},
    },
    "encoders": {"whisper": {"clusters": 40}},
    "training": {"validate_every": 5, "save_every": 5},
    "models": {name: {"tokens": 12_000} for name in ("story_text", "cold", "warm")},
    "vocoders": {"whisper": {"eval_utterances": 4, "training": {"steps": 20}}},
    "generation": {"sampling": {"prompts": 4}},
}
MODELS = {"story_text", "cold", "warm", "aligned"}

pytestmark = pytest.mark.slow


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow in `folder`, with the commands of this Python's environment."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    done = subprocess.run(
        [*command, *arguments, "--configfile", str(folder / "tiny.yaml")],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    """SHA-256 of each file, by its path."""
    files = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    snakemake(folder, "--cores", "2")
    return folder


def test_the_page_shows_the_run(finished: Path) -> None:
    page = (finished / "results/report/pocket.html").read_text()
    assert "<title>pocket" in page
    assert all(f"<td>{model}</td>" in page for model in ("story_text", "cold", "warm"))
    assert len(page.encode()) < 3e6


def test_the_summary_has_everything(finished: Path) -> None:
    summary = json.loads((finished / "results/summary/pocket.json").read_text())
    assert {row["model"] for row in summary["training"]} == MODELS
    baselines = {"unigram", "5gram", "length", "loudness"}
    assert {row["model"] for row in summary["benchmarks"]} == MODELS - {"story_text"} | baselines
    assert {row["model"] for row in summary["generation"]} == {"truth", "shuffled", "cold", "aligned"}
    assert {row["split"] for row in summary["benchmarks"]} == {"dev", "test"}
    assert all(
        0 < row["n"] <= 40 and row["ci95"][0] <= row["accuracy"] <= row["ci95"][1] for row in summary["benchmarks"]
    )
    assert summary["units"]["frame_rate_hz"] == 25
    voices = json.loads((finished / "results/units/whisper/examples/voices.json").read_text())
    assert voices["same_text"]["n"] > 0
    assert 0 < voices["ratio"]["value"] < 1
    assert {"extract_units", "train", "synthesize_stories"} <= {row["rule"] for row in summary["stages"]}
    shown = subprocess.run(
        [
            sys.executable,
            str(ROOT / "workflow_scripts/print_summary.py"),
            str(finished / "results/summary/pocket.json"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tstorycloze" in shown.stdout


LOSSES = {
    "story_text": {"stories/validation": 3.099},
    "cold": {"stories/validation": 3.497, "examples/validation": 3.272},
    "warm": {"stories/validation": 3.536, "examples/validation": 3.352},
    "aligned": {},
}
"""Validation losses of this run, in nats per token, on an Intel Xeon; other processors round otherwise."""
FIVE_GRAM = {"tstorycloze": 5, "sstorycloze": 3, "sblimp": 7, "swuggy": 30}
"""Pairs of the test splits that the 5-gram gets right: counting alone, on the units."""


def test_what_is_learned_is_what_it_was(finished: Path) -> None:
    """Pinned figures of this seeded run: a change of text, speech, units, rows or training shows in them."""
    summary = json.loads((finished / "results/summary/pocket.json").read_text())
    assert {row["model"]: row["validation_loss"] for row in summary["training"]} == {
        model: {corpus: pytest.approx(loss, abs=0.02) for corpus, loss in losses.items()}
        for model, losses in LOSSES.items()
    }
    scores = {(row["benchmark"], row["split"], row["model"]): row for row in summary["benchmarks"]}
    for benchmark, right in FIVE_GRAM.items():
        score = scores[benchmark, "test", "5gram"]
        assert score["accuracy"] * score["n"] == pytest.approx(right, abs=1)
    assert summary["units"]["tokens_per_second"] == pytest.approx(16.1, abs=0.1)


def test_a_copied_model_stands_alone(finished: Path, tmp_path: Path) -> None:
    """Of the workflow's own making, without the results and the resources around it."""
    from slamflow import SpeechLM

    model = SpeechLM.from_pretrained(shutil.copytree(finished / "results/models/pocket/aligned", tmp_path / "model"))
    shard = finished / "results/audio/stories/test/0000-of-0001.parquet"
    [spoken] = pq.read_table(shard, filters=[("id", "==", "test-000000.prompt")]).to_pylist()
    (tmp_path / "prompt.flac").write_bytes(spoken["audio"])
    units = finished / "results/units/whisper/stories/test/0000-of-0001.parquet"
    [encoded] = pq.read_table(units, filters=[("id", "==", spoken["id"])]).to_pylist()
    assert model.encode(tmp_path / "prompt.flac").tolist() == encoded["units"]
    speech = model.continue_speech(tmp_path / "prompt.flac", seconds=2, max_new_tokens=20)
    assert len(speech.continuation) > 0
    pairs = finished / "results/scores/pocket/aligned/tstorycloze.test.pairs.parquet"
    items = pq.read_table(finished / "results/evaluation/whisper/tstorycloze/test.parquet").to_pylist()
    nll = {row["id"]: row["good_nll"] for row in pq.read_table(pairs).to_pylist()}
    found = model.log_likelihood([np.array(item["good"]) for item in items], per_token=True)
    assert (-found).tolist() == pytest.approx([nll[item["id"]] for item in items], rel=1e-5)


def test_models_load_alone(finished: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = finished / "results/models/pocket/warm"
    assert AutoModelForCausalLM.from_pretrained(folder).config.vocab_size == 42
    speech = json.loads((folder / "speech.json").read_text())
    codebook = json.loads((finished / "results/units/whisper/codebook.json").read_text())
    assert speech["tick_hz"] == 25
    assert codebook["sha256"] in speech.values()


def test_nothing_was_set_aside(finished: Path) -> None:
    for path in finished.glob("results/units/**/*.quarantine.jsonl"):
        assert path.read_text() == ""


def test_a_second_run_does_nothing(finished: Path) -> None:
    done = snakemake(finished, "--cores", "1")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_two_runs_give_the_same_units_and_rows(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    (tmp_path / "resources").symlink_to(finished / "resources")
    snakemake(tmp_path, "rows", "--cores", "1")
    kinds = ("results/audio/**/*", "results/units/**/*", "results/rows/**/*")
    expected, found = digests(finished, *kinds), digests(tmp_path, *kinds)
    assert len(found) > 30
    assert found == {name: digest for name, digest in expected.items() if name in found}


def test_a_broken_recording_is_set_aside(finished: Path, tmp_path: Path) -> None:
    shard = next(finished.glob("results/audio/stories/train/0000*.parquet"))
    table = pq.read_table(shard).to_pylist()
    table[0]["audio"] = table[0]["audio"][: len(table[0]["audio"]) // 2]
    table[1]["audio"] = b""
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(table, schema=pq.read_schema(shard)), tmp_path / "broken.parquet")
    units = finished / "results/units/whisper"
    settings = json.loads((units / f"stories/train/{shard.stem}.json").read_text())["settings"]
    command = [sys.executable, str(ROOT / "workflow_scripts/extract_units.py"), "--settings", json.dumps(settings)]
    command += ["--audio", str(tmp_path / "broken.parquet"), "--codebook", str(units / "codebook.safetensors")]
    command += [
        "--model",
        str(finished / "resources/models/whisper_tiny_en"),
        "--output",
        str(tmp_path / "units.parquet"),
    ]
    command += ["--manifest", str(tmp_path / "units.json"), "--quarantine", str(tmp_path / "quarantine.jsonl")]
    subprocess.run(command, check=True, capture_output=True)
    aside = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert {line["id"] for line in aside} == {table[0]["id"], table[1]["id"]}
    assert all(line["reason"] for line in aside)
    good = pq.read_table(units / f"stories/train/{shard.stem}.parquet").to_pylist()
    found = pq.read_table(tmp_path / "units.parquet").to_pylist()
    assert found == [row for row in good if row["id"] not in {table[0]["id"], table[1]["id"]}]
