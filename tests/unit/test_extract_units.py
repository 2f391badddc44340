"""The commands fit_units, extract_units, export_units and import_units on small shards of speech."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

import export_units
import extract_units
import fit_units
import import_units
from slamflow.audio import decode
from slamflow.errors import InputError
from slamflow.files import read_jsonl, sha256_file
from slamflow.sharding import stable_hash
from slamflow.shards.units import SCHEMA as UNIT_SCHEMA
from slamflow.tokenizers import TOKENIZERS
from slamflow.tokenizers.codebook import Codebook, Quantizer, read_codebook
from slamflow.tokenizers.extract import choose_speech
from slamflow.tokenizers.frames import FrameEncoder
from slamflow.tokenizers.tokenizer import Encoded, load_frames
from slamflow.tokenizers.workers import (
    Work,
    Worker,
    ahead,
    batch_seconds_on,
    by_length,
    chunks,
    decode_ahead,
    encode_ahead,
)
from tests.unit.test_units import speech_like, whisper_folder

CPU = torch.device("cpu")
CLUSTERS = 12
SPEECH_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("speaker", pa.string()),
        ("text", pa.string()),
        ("audio", pa.binary()),
        ("source", pa.string()),
        ("seconds", pa.float32()),
        ("start", pa.float32()),
    ]
)


def flac(wave: np.ndarray, kind: str = "FLAC", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, 16000, format=kind, subtype=subtype)
    return buffer.getvalue()


def speech_row(name: str, audio: bytes | None, **more: Any) -> dict[str, Any]:
    row = {"id": name, "speaker": "ann", "text": None, "audio": audio, "source": f"c/train/{name}", "seconds": None}
    return row | {"start": 0.0} | more


def write_shard(path: Path, rows: list[dict[str, Any]], row_group: int = 5) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, SPEECH_SCHEMA), path, row_group_size=row_group)
    return path


def good_rows(count: int, prefix: str = "u") -> list[dict[str, Any]]:
    lengths = np.random.default_rng(7).integers(3000, 20000, count)
    return [
        speech_row(f"{prefix}{i:02d}", flac(speech_like(int(length), i)), text=f"text {i}" if i % 2 else None)
        for i, length in enumerate(lengths)
    ]


def bad_rows() -> dict[str, tuple[bytes | None, str]]:
    wave = speech_like(8000, 99)
    broken = wave.copy()
    broken[5] = np.nan
    return {
        "cut": (flac(wave)[:4000], "truncated"),
        "empty": (b"", "empty file"),
        "null": (None, "no audio"),
        "nan": (flac(broken, "WAV", "FLOAT"), "NaN"),
        "short": (flac(wave[:100]), "too short: 100 samples"),
        "long": (flac(np.zeros(16000 * 5, np.float32)), "too long: 5.0 s"),
        "text": (b"hello " * 50, "unreadable"),
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whisper_folder(tmp_path_factory.mktemp("model"))


ENCODER = {"kind": "whisper", "model": "tiny", "clusters": CLUSTERS, "max_seconds": 4.0}
FIT = {"corpora": ["c/train"], "hours": 5 / 3600}


def said(keys: dict[str, Any]) -> dict[str, Any]:
    """Without keys that are None: a kind refuses those that it does not have."""
    return {key: value for key, value in keys.items() if value is not None}


def run_fit(folder: Path, shards: list[Path], model: Path | None, /, *more: str, **changes: Any) -> dict[str, Any]:
    settings = {"name": "e", "encoder": said(ENCODER | {"fit": FIT} | changes)}
    fit_units.main(
        ["--settings", json.dumps(settings), "--output", str(folder / "codebook.safetensors")]
        + ["--manifest", str(folder / "codebook.json"), *more]
        + (["--audio", *map(str, shards)] if shards else [])
        + (["--model", str(model)] if model else [])
    )
    return json.loads((folder / "codebook.json").read_text())


def run_extract(folder: Path, shard: Path, codebook: Path, model: Path | None, /, *more: str, **changes: Any) -> Any:
    settings = {"name": "e", "encoder": said(ENCODER | changes), "corpus": "c", "split": "train"}
    extract_units.main(
        ["--settings", json.dumps(settings), "--audio", str(shard), "--codebook", str(codebook)]
        + ["--output", str(folder / "x.parquet"), "--manifest", str(folder / "x.json")]
        + ["--quarantine", str(folder / "x.quarantine.jsonl"), *more]
        + (["--model", str(model)] if model else [])
    )
    return json.loads((folder / "x.json").read_text())


@pytest.fixture(scope="module")
def codebook(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    folder = tmp_path_factory.mktemp("codebook")
    run_fit(folder, [write_shard(folder / "audio.parquet", good_rows(12))], model)
    return folder / "codebook.safetensors"


def read_units(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "x.parquet").to_pylist()


def test_extract_keeps_to_the_contract(tmp_path: Path, model: Path, codebook: Path) -> None:
    rows = good_rows(9)
    manifest = run_extract(tmp_path, write_shard(tmp_path / "audio.parquet", rows), codebook, model)
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.schema.equals(UNIT_SCHEMA)
    encoder = load_frames(TOKENIZERS.validate(ENCODER), model, CPU)
    quantizer = Quantizer(read_codebook(codebook), CPU)
    near_ties = 0
    for row, found in zip(rows, table.to_pylist(), strict=True):
        wave = decode(row["audio"])
        units, ties = quantizer.assign(encoder.encode([wave])[0])
        near_ties += int(ties.sum())
        assert np.repeat(found["units"], found["durations"]).tolist() == units.tolist()
        assert all(a != b for a, b in zip(found["units"], found["units"][1:], strict=False))
        assert found["seconds"] == pytest.approx(len(wave) / 16000)
        expected = {"id": row["id"], "corpus": "c", "split": "train", "audio": row["source"], "text": row["text"]}
        assert {key: found[key] for key in expected} == expected
        assert (found["speaker"], found["start"]) == ("ann", 0.0)
    seconds = sum(row["seconds"] for row in table.to_pylist())
    assert manifest["utterances"] == 9
    assert manifest["near_ties"] == near_ties
    assert manifest["quarantined"] == 0
    assert manifest["seconds"] == pytest.approx(seconds, abs=1e-3)
    assert manifest["units"] == sum(len(row["units"]) for row in table.to_pylist())
    assert manifest["frames"] == sum(sum(row["durations"]) for row in table.to_pylist())
    assert manifest["tokens_per_second"] == pytest.approx(manifest["units"] / seconds, abs=1e-2)
    assert manifest["sha256"] == sha256_file(tmp_path / "x.parquet")
    assert manifest["codebook_sha256"] == sha256_file(codebook)
    assert len(manifest["encoder_sha256"]) == 64
    assert manifest["settings"]["encoder"]["clusters"] == CLUSTERS
    assert read_jsonl(tmp_path / "x.quarantine.jsonl") == []


def test_bad_recordings_are_set_aside_and_the_rest_done(tmp_path: Path, model: Path, codebook: Path) -> None:
    good = good_rows(9)
    alone = tmp_path / "alone"
    run_extract(alone, write_shard(tmp_path / "good.parquet", good), codebook, model)
    bad = bad_rows()
    mixed = list(good)
    for place, (name, (audio, _)) in enumerate(bad.items()):
        mixed.insert(2 * place, speech_row(name, audio))
    mixed.append(good[0])
    manifest = run_extract(tmp_path, write_shard(tmp_path / "mixed.parquet", mixed), codebook, model)
    assert read_units(tmp_path) == read_units(alone)
    listed = read_jsonl(tmp_path / "x.quarantine.jsonl")
    assert [item["id"] for item in listed] == [*bad, good[0]["id"]]
    for item, (_, reason) in zip(listed, bad.values(), strict=False):
        assert reason in item["reason"]
        assert item["audio"] == f"c/train/{item['id']}"
    assert "twice" in listed[-1]["reason"]
    assert manifest["utterances"] == 9
    assert manifest["quarantined"] == len(bad) + 1


def test_everything_is_the_same_with_any_number_of_workers(tmp_path: Path, model: Path, codebook: Path) -> None:
    rows = good_rows(30)
    rows.insert(4, speech_row("cut", flac(speech_like(8000, 99))[:4000]))
    shard = write_shard(tmp_path / "audio.parquet", rows)
    for name, more in {"one": [], "again": [], "three": ["--workers", "3"]}.items():
        run_extract(tmp_path / name, shard, codebook, model, *more)
    for file in ("x.parquet", "x.json", "x.quarantine.jsonl"):
        data = (tmp_path / "one" / file).read_bytes()
        assert (tmp_path / "again" / file).read_bytes() == data
        assert (tmp_path / "three" / file).read_bytes() == data


def test_company_order_and_row_groups_do_not_matter(tmp_path: Path, model: Path, codebook: Path) -> None:
    rows = good_rows(20)
    run_extract(tmp_path / "a", write_shard(tmp_path / "a.parquet", rows), codebook, model)
    run_extract(tmp_path / "b", write_shard(tmp_path / "b.parquet", rows[::-1], 100), codebook, model)
    run_extract(tmp_path / "c", write_shard(tmp_path / "c.parquet", rows[7:9]), codebook, model)
    first = read_units(tmp_path / "a")
    assert read_units(tmp_path / "b") == first[::-1]
    assert read_units(tmp_path / "c") == first[7:9]


def test_batches_change_near_ties_at_most(tmp_path: Path, model: Path, codebook: Path) -> None:
    shard = write_shard(tmp_path / "a.parquet", good_rows(20))
    run_extract(tmp_path / "a", shard, codebook, model)
    manifest = run_extract(tmp_path / "b", shard, codebook, model, "--batch-seconds", "20")
    differ = 0
    for one, other in zip(read_units(tmp_path / "a"), read_units(tmp_path / "b"), strict=True):
        one_frames, other_frames = (np.repeat(row["units"], row["durations"]) for row in (one, other))
        differ += int((one_frames != other_frames).sum())
    assert differ <= manifest["near_ties"]


def test_an_empty_shard_gives_an_empty_shard(tmp_path: Path, model: Path, codebook: Path) -> None:
    manifest = run_extract(tmp_path, write_shard(tmp_path / "audio.parquet", []), codebook, model)
    assert manifest["tokens_per_second"] is None
    assert pq.read_table(tmp_path / "x.parquet").schema.equals(UNIT_SCHEMA)
    assert read_units(tmp_path) == []


def test_many_rows_go_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path, codebook: Path) -> None:
    monkeypatch.setattr("slamflow.shards.units.ROW_GROUP", 4)
    run_extract(tmp_path, write_shard(tmp_path / "audio.parquet", good_rows(9)), codebook, model)
    file = pq.ParquetFile(tmp_path / "x.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [4, 4, 1]
    assert [row["id"] for row in read_units(tmp_path)] == [f"u{i:02d}" for i in range(9)]


def test_a_run_too_long_to_write_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slamflow.tokenizers.sequences.LONGEST_RUN", 20)
    random = np.random.default_rng(0).normal(0, 1, (CLUSTERS, 80)).astype(np.float32)
    Codebook(random).save(tmp_path / "codebook.safetensors")
    rows = [speech_row("silence", flac(np.zeros(32000, np.float32)))]
    shard = write_shard(tmp_path / "audio.parquet", rows)
    run_extract(tmp_path, shard, tmp_path / "codebook.safetensors", None, kind="logmel", model=None)
    [item] = read_jsonl(tmp_path / "x.quarantine.jsonl")
    assert "lasts 50 frames" in item["reason"]


def test_wrong_inputs_are_named(tmp_path: Path, model: Path, codebook: Path) -> None:
    shard = write_shard(tmp_path / "audio.parquet", good_rows(1))
    with pytest.raises(InputError, match="12 centroids, but clusters is 13"):
        run_extract(tmp_path, shard, codebook, model, clusters=13)
    with pytest.raises(InputError, match="made for features of 32, the encoder has 80"):
        run_extract(tmp_path, shard, codebook, None, kind="logmel", model=None)
    with pytest.raises(InputError, match="--model"):
        run_extract(tmp_path, shard, codebook, None)
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="no column audio"):
        run_extract(tmp_path, tmp_path / "other.parquet", codebook, model)
    (tmp_path / "broken.parquet").write_bytes(shard.read_bytes()[:200])
    with pytest.raises(InputError, match=r"broken\.parquet: cannot be read"):
        run_extract(tmp_path, tmp_path / "broken.parquet", codebook, model)
    assert not (tmp_path / "x.parquet").exists()
    assert not list(tmp_path.glob(".*.part"))


# Fitting


def test_fit_takes_the_asked_hours_in_the_order_of_the_hash(tmp_path: Path) -> None:
    rows = good_rows(12)
    half = write_shard(tmp_path / "a.parquet", rows[:6]), write_shard(tmp_path / "b.parquet", rows[6:])
    chosen = choose_speech(list(half), 3 / 3600)
    found = {rows[i + (6 if path == half[1] else 0)]["id"] for path, numbers in chosen.items() for i in numbers}
    expected, seconds = set(), 0.0
    for row in sorted(rows, key=lambda row: stable_hash(row["id"])):
        if seconds >= 3:
            break
        expected.add(row["id"])
        seconds += len(decode(row["audio"])) / 16000
    assert found == expected
    assert 2 < len(found) < 12


def test_fit_trusts_the_column_and_passes_over_what_cannot_be_opened(tmp_path: Path) -> None:
    rows = [speech_row("a", b"junk"), speech_row("b", b"junk", seconds=1.0), speech_row("c", None)]
    chosen = choose_speech([write_shard(tmp_path / "a.parquet", rows)], 1.0)
    assert chosen == {tmp_path / "a.parquet": {1}}


def test_fit_gives_the_same_bytes_for_any_order_of_shards_and_workers(tmp_path: Path, model: Path) -> None:
    rows = good_rows(20)
    shards = [write_shard(tmp_path / f"{i}.parquet", rows[i::3]) for i in range(3)]
    manifest = run_fit(tmp_path / "a", shards, model)
    run_fit(tmp_path / "b", shards[::-1], model)
    run_fit(tmp_path / "c", shards, model, "--workers", "2")
    run_fit(tmp_path / "d", [write_shard(tmp_path / "one.parquet", rows)], model)
    codebooks = [(tmp_path / name / "codebook.safetensors").read_bytes() for name in "ad"]
    assert codebooks[0] == codebooks[1]  # however the speech is cut in shards
    for file in ("codebook.safetensors", "codebook.json"):
        data = (tmp_path / "a" / file).read_bytes()
        assert (tmp_path / "b" / file).read_bytes() == data
        assert (tmp_path / "c" / file).read_bytes() == data
    assert manifest["clusters"] == CLUSTERS
    assert manifest["dimension"] == 32
    assert manifest["standardized"] is True
    assert 5 <= manifest["seconds"] < 7
    assert 1 < manifest["perplexity"] <= manifest["clusters_used"] <= CLUSTERS
    assert manifest["sha256"] == sha256_file(tmp_path / "a" / "codebook.safetensors")


def test_fit_sets_bad_recordings_aside(tmp_path: Path, model: Path) -> None:
    rows = [*good_rows(12), speech_row("cut", flac(speech_like(16000, 0))[:6000])]
    manifest = run_fit(
        tmp_path, [write_shard(tmp_path / "a.parquet", rows)], model, fit={"corpora": ["c/train"], "hours": 1.0}
    )
    assert [item["id"] for item in manifest["quarantined"]] == ["cut"]
    assert manifest["utterances"] == 12


def test_fit_without_enough_speech(tmp_path: Path, model: Path) -> None:
    shard = write_shard(tmp_path / "a.parquet", good_rows(1))
    with pytest.raises(InputError, match="cannot make 500 clusters"):
        run_fit(tmp_path, [shard], model, clusters=500)
    with pytest.raises(InputError, match="nothing to fit on"):
        run_fit(tmp_path, [], model)
    bad = write_shard(tmp_path / "bad.parquet", [speech_row("x", flac(speech_like(16000, 0))[:6000])])
    with pytest.raises(InputError, match="truncated"):
        run_fit(tmp_path, [bad], model)


def test_a_given_codebook_is_taken_and_checked(tmp_path: Path, model: Path) -> None:
    centroids = np.random.default_rng(0).normal(0, 1, (CLUSTERS, 32)).astype(np.float32)
    np.save(tmp_path / "given.npy", centroids)
    given = ["--given", str(tmp_path / "given.npy")]
    manifest = run_fit(tmp_path, [], model, *given, fit=None, codebook="given.npy")
    assert manifest["given"] == "given.npy"
    assert manifest["standardized"] is False
    np.testing.assert_array_equal(read_codebook(tmp_path / "codebook.safetensors").centroids, centroids)
    with pytest.raises(InputError, match="12 centroids, but clusters is 7"):
        run_fit(tmp_path, [], model, *given, clusters=7)
    with pytest.raises(InputError, match="the encoder has 80"):
        run_fit(tmp_path, [], None, *given, kind="logmel", model=None)


# SlamKit's JSONL


def unit_rows() -> list[dict[str, Any]]:
    base = {"corpus": "c", "speaker": None, "split": "train", "text": "A dög.", "start": 0.5, "seconds": 1.25}
    return [
        base | {"id": "a", "audio": "x/a.flac", "units": [3, 1, 65535], "durations": [2, 1, 65535]},
        base | {"id": "b", "audio": "x/b.flac", "units": [], "durations": [], "text": None, "speaker": "ann"},
        base | {"id": "c", "audio": "x/c.flac", "units": [0], "durations": [9], "split": None},
    ]


def write_units(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, UNIT_SCHEMA), path)
    return path


def test_slamkit_round_trip(tmp_path: Path) -> None:
    rows = unit_rows()
    one, two = write_units(tmp_path / "1.parquet", rows[:1]), write_units(tmp_path / "2.parquet", rows[1:])
    export_units.main(["--units", str(one), str(two), "--output", str(tmp_path / "x.jsonl")])
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [list(line)[:3] for line in lines] == [["units", "duration", "file_name"]] * 3
    assert lines[0]["units"] == [3, 1, 65535]
    assert lines[0]["duration"] == [2, 1, 65535]
    assert lines[0]["file_name"] == "x/a.flac"
    import_units.main(["--jsonl", str(tmp_path / "x.jsonl"), "--output", str(tmp_path / "back.parquet")])
    assert pq.read_table(tmp_path / "back.parquet").schema.equals(UNIT_SCHEMA)
    assert pq.read_table(tmp_path / "back.parquet").to_pylist() == rows


def test_a_line_of_slamkit_alone_is_enough(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"units": [3, 49], "duration": [1, 2], "file_name": "../a.flac"}\n\n')
    arguments = ["--jsonl", str(tmp_path / "x.jsonl"), "--output", str(tmp_path / "x.parquet")]
    import_units.main([*arguments, "--corpus", "libri", "--split", "train"])
    [row] = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert row["id"] == row["audio"] == "../a.flac"
    assert (row["corpus"], row["split"], row["start"], row["seconds"]) == ("libri", "train", 0.0, None)
    assert (row["units"], row["durations"]) == ([3, 49], [1, 2])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ('{"duration": [1], "file_name": "a"}', "no units"),
        ('{"units": [1], "duration": [1]}', "no file_name"),
        ('{"units": [1], "duration": [1], "file_name": 3}', "file_name is not a string"),
        ('{"units": [1, 2], "duration": [1], "file_name": "a"}', "2 units, but 1 durations"),
        ('{"units": [1, 1], "duration": [1, 1], "file_name": "a"}', "units 0 and 1 are equal"),
        ('{"units": [1, -1], "duration": [1, 1], "file_name": "a"}', "units: -1 at position 1"),
        ('{"units": [1, 2.5], "duration": [1, 1], "file_name": "a"}', "units: 2.5 at position 1"),
        ('{"units": [true], "duration": [1], "file_name": "a"}', "units: True at position 0"),
        ('{"units": [65536], "duration": [1], "file_name": "a"}', "65536"),
        ('{"units": [1], "duration": [0], "file_name": "a"}', "duration: 0 at position 0"),
        ('{"units": "1", "duration": [1], "file_name": "a"}', "units is not a list"),
        ('{"units": [1], "file_name": "a", "text": ["b"]}', "text is ['b'], not a string"),
        ('{"units": [1], "file_name": "a", "start": "x"}', "start is 'x', not a number"),
        ('{"units": [1], "file_name": "caf\xe9"}', "not UTF-8"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    good = '{"units": [1], "duration": [1], "file_name": "a"}\n'
    (tmp_path / "x.jsonl").write_text(good * 2 + line + "\n" + good, encoding="latin-1")
    with pytest.raises(InputError, match="line 3") as error:
        import_units.main(["--jsonl", str(tmp_path / "x.jsonl"), "--output", str(tmp_path / "x.parquet")])
    assert message in str(error.value)
    assert not (tmp_path / "x.parquet").exists()


def test_export_names_a_file_that_is_no_unit_shard(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="not a unit shard"):
        export_units.main(["--units", str(tmp_path / "x.parquet"), "--output", str(tmp_path / "x.jsonl")])


def test_chunks_hold_everything_in_order() -> None:
    assert list(chunks(iter(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks([], 3)) == []


def test_work_ahead_keeps_the_order_and_its_limit() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    with ThreadPoolExecutor(3) as pool:
        for expected, result in enumerate(ahead(pool, lambda item: item * 10, items(), 4)):
            assert result == 10 * expected
            assert len(taken) <= expected + 5
    assert len(taken) == 20


# Decoding ahead


def test_decoding_ahead_of_the_encoder_changes_nothing(model: Path, codebook: Path) -> None:
    rows = good_rows(30)
    recordings = [row["audio"] for row in rows]
    recordings[4:4] = [audio for audio, _ in bad_rows().values()]
    worker = Worker(Work(TOKENIZERS.validate(ENCODER), model, codebook))
    plain = worker(recordings)
    for threads in (1, 3):
        found = list(encode_ahead(worker, iter(recordings), threads))
        assert [one.reason for one in found] == [one.reason for one in plain]
        assert [one.samples for one in found] == [one.samples for one in plain]
        for one, other in zip(found, plain, strict=True):
            if isinstance(one.encoded, Encoded):
                assert one.encoded.units.tolist() == other.encoded.units.tolist()
                assert one.encoded.durations.tolist() == other.encoded.durations.tolist()


def test_decoding_stays_within_its_room() -> None:
    """Ten seconds each, 25 seconds of room: two wait, whatever the threads; a longer one passes alone."""
    lengths = [10] * 8 + [60] + [10] * 8
    audio = [flac(np.zeros(seconds * 16000, np.float32)) for seconds in lengths]
    read: list[int] = []

    def recordings() -> Iterator[bytes]:
        for number, data in enumerate(audio):
            read.append(number)
            yield data

    for taken, samples in enumerate(decode_ahead(lambda data: len(decode(data)), recordings(), 4, 25.0)):
        assert samples == lengths[taken] * 16000
        time.sleep(0.02)
        assert len(read) <= taken + 1 + 2 + 1  # two in the room, and one that was read and waits to be let in
    assert len(read) == len(audio)


def test_what_goes_wrong_while_decoding_ahead_is_raised() -> None:
    def broken() -> Iterator[bytes]:
        yield flac(np.zeros(16000, np.float32))
        raise InputError("the shard is damaged")

    taken = []
    with pytest.raises(InputError, match="the shard is damaged"):
        taken.extend(decode_ahead(len, broken(), 2, 25.0))
    assert len(taken) == 1

    def refuse(data: bytes | None) -> int:
        raise ValueError(f"no {data!r}")

    with pytest.raises(ValueError, match="no"):
        list(decode_ahead(refuse, iter([b"x"] * 100), 2, 1.0))
    first = next(stream := decode_ahead(len, iter([b"x"] * 100_000), 2, 1.0))
    stream.close()  # who stops taking leaves no thread behind
    assert first == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "read audio"]


def test_parts_end_with_their_audio_or_their_number() -> None:
    second = np.zeros(16000, np.float32)
    parts = list(by_length(iter([second, second, "bad", second, second, second]), 2.0, 10))
    assert [len(part) for part in parts] == [2, 3, 1]
    assert [len(part) for part in by_length(iter([second] * 5), 100.0, 2)] == [2, 2, 1]


class Narrow:
    """An encoder with memory for two files."""

    device, dimension, rate_hz, max_samples = CPU, 3, 50.0, None

    def state_count(self, samples: int) -> int:
        return samples // 320

    def states(self, waves: list[np.ndarray]) -> list[torch.Tensor]:
        if len(waves) > 2:
            raise torch.OutOfMemoryError("too much")
        return [torch.full((len(wave) // 320, 3), float(wave[0])) for wave in waves]


def test_a_batch_without_memory_is_halved(caplog: pytest.LogCaptureFixture) -> None:
    waves = [np.full(16000 + 320 * number, number, np.float32) for number in range(7)]
    frames = FrameEncoder(Narrow(), 50.0, 30.0, batch_seconds=1000.0).encode(waves)
    assert [(len(one), float(one[0, 0])) for one in frames] == [(50 + number, number) for number in range(7)]
    assert "no memory for 7 windows at once" in caplog.text


def test_batches_grow_with_the_memory_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    assert batch_seconds_on(CPU) == 0.0
    found = []
    for gigabytes in (8, 24, 80, 1000):
        card = types.SimpleNamespace(total_memory=gigabytes * 1e9)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, card=card: card)
        found.append(batch_seconds_on(torch.device("cuda")))
    assert found == [160.0, 240.0, 800.0, 1280.0]


# Stopped


ENDLESS = """
from slamflow.tokenizers import TOKENIZERS
from slamflow.tokenizers.workers import Work, encoder_pool
with encoder_pool(Work(TOKENIZERS.validate({"kind": "logmel"}), None, None), 2) as pool:
    for _ in pool.encode(iter(lambda: b"", None)):
        pass
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_a_job_that_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(extract_units.__file__).parent))
    parent = subprocess.Popen([sys.executable, "-c", ENDLESS])
    listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    end = time.monotonic() + 60
    while len(workers := listed.read_text().split()) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert len(workers) == 2
    time.sleep(0.5)  # they have begun
    parent.terminate()
    assert parent.wait(10) == -signal.SIGTERM
    end = time.monotonic() + 10
    while (left := [pid for pid in workers if is_running(pid)]) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []


def is_running(pid: str) -> bool:
    """Whether a process is there, and no corpse that nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
