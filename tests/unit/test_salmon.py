"""SALMon from its published folder, or its table on the hub, to a score for each of its parts."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import build_benchmark
import collect_pairs
import extract_units
import score_baselines
import score_benchmarks
from slamflow import files
from slamflow.audio import SAMPLE_RATE
from slamflow.benchmarks.salmon import PARTS, Salmon, folder_pairs
from slamflow.corpora.spoken_pairs import SpokenPairCorpus
from slamflow.errors import InputError
from slamflow.evaluation.scores import read_pairs
from slamflow.lm.speech import speech_record
from slamflow.recipe.evaluation import BuildBenchmark, ScoreBaselines, ScoreBenchmarks
from slamflow.shards.items import read_items
from slamflow.strict_yaml import load_yaml
from slamflow.tokenizers.codebook import Codebook
from slamflow.tokenizers.job_settings import ExtractUnits
from slamflow.tokenizers.logmel import LogMelTokenizer
from slamflow.tokenizers.tokenizer import load_frames
from slamflow.vocabulary import Vocabulary
from stand_in import server as hub_stand_in

UNITS = 8
NUMBERS = (2, 7, 30)
"""With gaps, as in the published data."""
ENCODER = LogMelTokenizer(kind="logmel", frame_rate_hz=25.0, clusters=UNITS)


def tone(part: int, number: int, side: int) -> np.ndarray:
    """A tone that changes its pitch halfway in the wrong recording; the right ones are longer, by parts."""
    seconds = 0.8 + 0.2 * (side == 0) + 0.1 * part
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = np.where(time > seconds / 2, 300.0 + 1500 * side, 300.0 + 20 * number)
    return (0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)).astype(np.float32)


def wav(wave: np.ndarray) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, wave, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def publish(root: Path) -> Path:
    """SALMon's folder with three samples in each part."""
    for index, part in enumerate(PARTS):
        (root / part).mkdir(parents=True)
        (root / part / "metadata.json").write_text("{}")
        for number in NUMBERS:
            for side in (0, 1):
                (root / part / f"sample_{number}_{side}.wav").write_bytes(wav(tone(index, number, side)))
    return root


def collect(folder: Path, corpus: dict[str, Any], *flags: str) -> None:
    """Let collect_pairs write the speech shard and the list of pairs of the split test."""
    checked = SpokenPairCorpus.model_validate(
        {"kind": "spoken_pairs", "task": "salmon", "splits": {"test": {}}, **corpus}
    )
    settings = checked.job("salmon", "test", "0000-of-0001").model_dump_json()
    written = {"output": "speech.parquet", "text": "pairs.jsonl", "manifest": "m.json", "quarantine": "q.jsonl"}
    paths = [part for flag, name in written.items() for part in (f"--{flag}", str(folder / name))]
    collect_pairs.main(["--settings", settings, *paths, "--downloads", str(folder / "downloads"), *flags])


def build(folder: Path) -> None:
    """From the speech shard to the items."""
    wave = np.concatenate([tone(0, number, side) for number in NUMBERS for side in (0, 1)])
    frames = load_frames(ENCODER, None, torch.device("cpu")).encode([wave])[0].numpy()
    Codebook(np.ascontiguousarray(frames[:: len(frames) // UNITS][:UNITS])).save(folder / "codebook.safetensors")
    settings = ExtractUnits(name="logmel", encoder=ENCODER, corpus="salmon", split="test")
    flags = (
        f"--audio {folder}/speech.parquet --codebook {folder}/codebook.safetensors --output {folder}/units.parquet"
        f" --manifest {folder}/units.json --quarantine {folder}/units.jsonl"
    )
    extract_units.main(["--settings", settings.model_dump_json(), *flags.split()])
    benchmark = Salmon(kind="salmon", corpus="salmon", encoder="logmel")
    settings_of_items = BuildBenchmark(name="salmon", benchmark=benchmark, split="test", published=True)
    flags = (
        f"--records {folder}/pairs.jsonl --units {folder}/units.parquet --output {folder}/items.parquet"
        f" --manifest {folder}/items.json"
    )
    build_benchmark.main(["--settings", settings_of_items.model_dump_json(), *flags.split()])


def test_from_the_folder_to_an_accuracy_for_each_part(tmp_path: Path) -> None:
    root = publish(tmp_path / "salmon")
    collect(tmp_path, {"path": str(root)}, "--source", str(root))
    build(tmp_path)
    items = read_items(tmp_path / "items.parquet")
    assert {item.id for item in items} == {f"{part}.{number}" for part in PARTS for number in NUMBERS}
    assert all(item.phenomenon == item.id.partition(".")[0] and item.cluster == item.id for item in items)
    manifest = files.read_json(tmp_path / "items.json")
    assert (manifest["kind"], manifest["items"], manifest["clusters"], manifest["left_out"]) == ("salmon", 24, 24, {})

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=UNITS + 2,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
        initializer_range=0.5,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    files.write_json(tmp_path / "model/speech.json", speech_record(Vocabulary(UNITS)))
    scored = [{"benchmark": "salmon", "kind": "salmon", "split": "test"}]
    settings = ScoreBenchmarks.model_validate({"model": "small", "scored": scored})
    flags = (
        f"--model {tmp_path}/model"
        f" --items salmon.test={tmp_path}/items.parquet --manifest salmon.test={tmp_path}/items.json"
        f" --output salmon.test={tmp_path}/score.json --pairs salmon.test={tmp_path}/scored.parquet"
    )
    score_benchmarks.main(["--settings", settings.model_dump_json(), *flags.split()])
    score = files.read_json(tmp_path / "score.json")
    assert set(score["phenomena"]) == set(PARTS)
    correct = read_pairs(tmp_path / "scored.parquet").to_pylist()
    for part in PARTS:
        own = [pair["correct"] for pair in correct if pair["phenomenon"] == part]
        assert score["phenomena"][part]["n"] == 3
        assert score["phenomena"][part]["accuracy"] == pytest.approx(np.mean(own))
    plain_mean = np.mean([found["accuracy"] for found in score["phenomena"].values()])
    assert score["aggregations"]["phenomena"] == pytest.approx(plain_mean)


def test_the_first_of_a_sample_is_the_right_one(tmp_path: Path) -> None:
    """Shown by the length, which prefers the shorter one, and the baseline's score: the right ones are longer here."""
    root = publish(tmp_path / "salmon")
    pairs = {pair.id: pair for pair in folder_pairs(root)}
    for pair in pairs.values():
        right, wrong = (opened().read() for opened in pair.open)
        assert len(right) > len(wrong)
        assert [Path(source).stem[-1] for source in pair.sources] == ["0", "1"]
    collect(tmp_path, {"path": str(root)}, "--source", str(root))
    build(tmp_path)
    settings = ScoreBaselines(name="salmon", kind="salmon", split="test", baselines=["length"], ngram_tokens=1)
    flags = f"--items {tmp_path}/items.parquet --manifest {tmp_path}/items.json"
    outputs = f"--score length={tmp_path}/length.json --pairs length={tmp_path}/length.parquet"
    score_baselines.main(["--settings", settings.model_dump_json(), *flags.split(), *outputs.split()])
    items = {item.id: item for item in read_items(tmp_path / "items.parquet")}
    for pair in read_pairs(tmp_path / "length.parquet").to_pylist():
        good, bad = len(items[pair["id"]].good), len(items[pair["id"]].bad)
        assert pair["correct"] == (0.5 if good == bad else float(good < bad))


def test_an_older_archive_has_a_part_one_folder_deeper(tmp_path: Path) -> None:
    root = publish(tmp_path / "salmon")
    expected = {pair.id for pair in folder_pairs(root)}
    deeper = root / "bg_alignment/before"
    deeper.mkdir()
    for path in (root / "bg_alignment").glob("*.wav"):
        path.rename(deeper / path.name)
    assert {pair.id for pair in folder_pairs(root)} == expected


def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path) -> None:
    root = publish(tmp_path / "salmon")
    (root / "bg_alignment/._sample_2_0.wav").write_bytes(b"what an archive of a Mac has beside it")
    assert len(list(folder_pairs(root))) == 24
    third = root / "rir_consistency/sample_7_2.wav"
    third.write_bytes(b"x")
    with pytest.raises(InputError, match=r"rir_consistency: sample 7 has 3 recordings \(sample_7_0\.wav, sample_7_1"):
        list(folder_pairs(root))
    third.unlink()
    (root / "rir_consistency/sample_7_1.wav").unlink()
    with pytest.raises(InputError, match="sample 7 has 1 recordings"):
        list(folder_pairs(root))
    (root / "rir_consistency/sample_7_1.wav").write_bytes(b"x")
    odd = root / "rir_consistency/take.wav"
    odd.write_bytes(b"x")
    with pytest.raises(InputError, match=r"take\.wav: not a name of SALMon's"):
        list(folder_pairs(root))
    odd.unlink()
    for part in ("gender_consistency", "sentiment_alignment"):
        for path in (root / part).iterdir():
            path.unlink()
    with pytest.raises(InputError, match="no recordings in gender_consistency, sentiment_alignment; SALMon has"):
        list(folder_pairs(root))


def table(index: int, part: str) -> bytes:
    """A part of the dataset on the hub."""
    rows = [
        {
            "task": part,
            "ind": number,
            "positive_audio": {"bytes": wav(tone(index, number, 0)), "path": None},
            "negative_audio": {"bytes": wav(tone(index, number, 1)), "path": None},
        }
        for number in NUMBERS
    ]
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def test_the_hub_gives_the_same_items_as_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the columns that recipes/salmon.yaml names."""
    recipe = corpus_of_the_recipe()
    tables = {f"{part}/train-00000-of-00001.parquet": table(index, part) for index, part in enumerate(PARTS)}
    state = hub_stand_in.StandIn()
    server = hub_stand_in.start(state)
    (tmp_path / "hub").mkdir()
    (tmp_path / "folder").mkdir()
    try:
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        repo, commit = recipe["repo"], recipe["revision"]
        for name, content in tables.items():
            state.files[f"/datasets/{repo}/resolve/{commit}/{name}"] = content
        state.files[f"/api/datasets/{repo}"] = json.dumps({"id": repo, "sha": commit}).encode()
        tree = [{"type": "file", "path": name, "size": len(tables[name]), "oid": "0" * 40} for name in tables]
        for query in ("recursive=True&expand=False", "recursive=true&expand=false"):
            state.files[f"/api/datasets/{repo}/tree/{commit}?{query}"] = json.dumps(tree).encode()
        collect(tmp_path / "hub", recipe)
    finally:
        server.shutdown()
        server.server_close()
    root = publish(tmp_path / "salmon")
    collect(tmp_path / "folder", {"path": str(root)}, "--source", str(root))
    for folder in ("hub", "folder"):
        build(tmp_path / folder)
    assert (tmp_path / "hub/items.parquet").read_bytes() == (tmp_path / "folder/items.parquet").read_bytes()


def corpus_of_the_recipe() -> dict[str, Any]:
    """The corpus of recipes/salmon.yaml, in one shard."""
    corpus: dict[str, Any] = load_yaml(Path(__file__).parents[2] / "recipes/salmon.yaml")["corpora"]["salmon"]
    return {**corpus, "splits": {"test": {}}}
