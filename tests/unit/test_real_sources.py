"""What is published: text of tables and of SWAG, spoken pairs, speech listed beside files, checksums of all kinds."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from pydantic import ValidationError

import build_benchmark
import collect_audio
import collect_pairs
import pin_revision
import write_stories
from slamflow import files, preferences
from slamflow.assets.asset import AssetFile
from slamflow.assets.fetch import fetch
from slamflow.benchmarks.pairs import Spoken
from slamflow.benchmarks.swuggy import SWuggy
from slamflow.corpora.archive import AudioArchive
from slamflow.corpora.hub import HubAudio
from slamflow.corpora.job_settings import WriteStories
from slamflow.corpora.segments import join_stretches, spoken_pieces
from slamflow.corpora.spoken_pairs import SpokenPairCorpus
from slamflow.corpora.stories import StoryCorpus
from slamflow.errors import InputError
from slamflow.evaluation.scores import aggregations
from slamflow.recipe.evaluation import BuildBenchmark
from slamflow.recipe.preferences import BuildPreferences
from slamflow.sharding import shard_names
from slamflow.text import TextSettings
from slamflow.text.parquet import ParquetText
from slamflow.text.swag import SwagText
from stand_in import server as hub_stand_in

RATE = 16_000
# The columns, and the manner of the rows, of SWAG's train.csv.
SWAG_HEADER = ["", "video-id", "fold-ind", "startphrase", "sent1", "sent2", "gold-source"]
SWAG_HEADER += ["ending0", "ending1", "ending2", "ending3", "label"]


def swag_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, SWAG_HEADER)
        writer.writeheader()
        writer.writerows({**dict.fromkeys(SWAG_HEADER, ""), **row} for row in rows)
    return path


def swag_row(number: int, source: str = "gold", label: int = 0, **changes: str) -> dict[str, str]:
    endings = {f"ending{which}": f"does the thing {number}, {which}." for which in range(4)}
    first = f'A man, number {number}, holds a "rope".'
    beginning = {"sent1": first, "sent2": "He", "startphrase": f"{first} He"}
    return {**beginning, **endings, "gold-source": source, "label": str(label), "video-id": "v", **changes}


def write(tmp_path: Path, text: TextSettings, split: str, *sources: Path, shard: str = "0000-of-0001") -> list[Any]:
    settings = WriteStories(text=text, corpus="c", split=split, stories=None, shard=shard)
    output = tmp_path / "out.jsonl"
    source = ["--source", *map(str, sources)]
    write_stories.main(["--settings", settings.model_dump_json(), *source, "--output", str(output)])
    return files.read_jsonl(output)


SWAG = SwagText(source="swag", path="train.csv")


def test_swag_gives_gold_rows_with_the_beginning_that_all_endings_share(tmp_path: Path) -> None:
    rows = [swag_row(0, label=2), swag_row(1, source="gen"), swag_row(2, source="gold1-reannot"), swag_row(0, label=2)]
    records = write(tmp_path, SWAG, "preference", swag_csv(tmp_path / "train.csv", rows))
    assert len(records) == 2
    first = next(record for record in records if "number 0" in record["prompt"])
    assert first["prompt"] == 'A man, number 0, holds a "rope".'
    assert first["ending"] == "He does the thing 0, 2."
    assert first["wrong_detail"] in {f"He does the thing 0, {which}." for which in (0, 1, 3)}
    assert first["text"] == f"{first['prompt']} {first['ending']}"


def test_the_wrong_ending_of_swag_is_drawn_evenly_by_the_seed_and_never_the_right_one(tmp_path: Path) -> None:
    path = swag_csv(tmp_path / "train.csv", [swag_row(number, label=number % 4) for number in range(900)])
    records = write(tmp_path, SWAG, "preference", path)
    assert len(records) == 900
    drawn = Counter(int(record["wrong_detail"][-2]) for record in records if record["ending"][-2] == "0")
    assert set(drawn) == {1, 2, 3}
    assert min(drawn.values()) > 50
    assert records == write(tmp_path, SWAG, "preference", path)
    other = write(tmp_path, SWAG.model_copy(update={"seed": 1}), "preference", path)
    changed = sum(a["wrong_detail"] != b["wrong_detail"] for a, b in zip(records, other, strict=True))
    assert 500 < changed < 700  # two thirds


def test_the_shards_of_swag_hold_each_row_once_whatever_their_number(tmp_path: Path) -> None:
    path = swag_csv(tmp_path / "train.csv", [swag_row(number) for number in range(60)])
    whole = write(tmp_path, SWAG, "preference", path)
    parts = [record for shard in shard_names(4) for record in write(tmp_path, SWAG, "preference", path, shard=shard)]
    assert sorted(parts, key=lambda record: record["id"]) == sorted(whole, key=lambda record: record["id"])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([swag_row(0, source="gen")], "no gold row"),
        ([swag_row(0, label=7)], "line 2: label '7'"),
    ],
)
def test_what_is_not_swags_training_file_is_refused(tmp_path: Path, rows: list[dict[str, str]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        write(tmp_path, SWAG, "preference", swag_csv(tmp_path / "train.csv", rows))
    other = tmp_path / "other.csv"
    other.write_text("sent1,sent2\na,b\n")
    with pytest.raises(InputError, match="no column gold-source"):
        write(tmp_path, SWAG, "preference", other)


def test_swag_has_preferences_only() -> None:
    with pytest.raises(ValidationError, match="preference only"):
        StoryCorpus.model_validate(
            {"kind": "stories", "text": {"source": "swag", "path": "a"}, "splits": {"train": {"stories": 3}}}
        )


def test_preference_pairs_are_built_of_swag_and_repetitive_rows_are_left_out(tmp_path: Path) -> None:
    again = {f"ending{which}": "a b a b a b a b a b a b a b a b." for which in range(4)}
    rows = [swag_row(0), swag_row(1), swag_row(2, **again)]
    records = write(tmp_path, SWAG, "preference", swag_csv(tmp_path / "train.csv", rows))
    spoken = {
        f"{record['id']}.{part}": Spoken("af_heart", np.array([number, number + 1], np.uint16))
        for record in records
        for number, part in enumerate(("prompt", "ending", "wrong_detail"))
    }
    settings = BuildPreferences(name="p", encoder="e", negatives=["detail"], max_auto_bleu=0.3, seed=0)
    pairs, left_out = preferences.build(settings, records, spoken)
    assert len(pairs) == 2
    assert left_out == {"repeats_itself": 1}


def stories_table(path: Path, texts: list[str | None], column: str = "text") -> Path:
    pq.write_table(pa.table({column: texts}), path)
    return path


def test_texts_of_tables_are_divided_into_splits_and_shards_by_their_content(tmp_path: Path) -> None:
    texts = [f"Once there was number {number}. It was glad of it." for number in range(600)]
    paths = [
        stories_table(tmp_path / "a.parquet", [*texts[:300], None], "story"),
        stories_table(tmp_path / "b.parquet", texts[300:], "story"),
    ]
    text = ParquetText(source="parquet", path="x", column="story")
    found = {split: write(tmp_path, text, split, *paths) for split in ("train", "validation", "dev", "test")}
    told = [record["text"] for records in found.values() for record in records]
    assert len(set(told)) == len(told)
    assert set(told) <= set(texts)
    assert 480 < len(found["train"]) < 570
    assert found["train"][0]["ending"] == "It was glad of it."
    parts = [record for shard in shard_names(3) for record in write(tmp_path, text, "train", *paths, shard=shard)]
    assert sorted(record["id"] for record in parts) == sorted(record["id"] for record in found["train"])
    # The order of the files is no matter: the same text has the same id.
    assert {record["id"] for record in write(tmp_path, text, "dev", *paths[::-1])} == {
        record["id"] for record in found["dev"]
    }


def test_a_table_without_the_column_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    path = stories_table(tmp_path / "a.parquet", ["x"], "story")
    with pytest.raises(InputError, match="no column text; it has story"):
        write(tmp_path, ParquetText(source="parquet", path="x"), "train", path)


# Speech that is listed beside a file


def wav(seconds: float, value: int, kind: str = "FLAC") -> bytes:
    stream = io.BytesIO()
    samples = (np.arange(round(seconds * RATE)) % 50 * 100 + value).astype(np.int16)
    soundfile.write(stream, samples, RATE, format=kind, subtype="PCM_16")
    return stream.getvalue()


def samples_of(data: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(data), dtype="int16")[0]


def test_stretches_are_joined_as_libri_lights_own_script_does() -> None:
    speech = [(0.0, 4.0), (5.0, 8.0), (9.0, 12.0), (20.0, 45.0), (50.0, 51.0)]
    assert list(join_stretches(speech, 10.0)) == [speech[:3], [speech[3]], [speech[4]]]
    assert list(join_stretches(speech, 7.0)) == [speech[:2], [speech[2]], [speech[3]], [speech[4]]]
    assert list(join_stretches([], 7.0)) == []


def test_pieces_are_the_samples_of_the_stretches_and_nothing_else() -> None:
    data = wav(30.0, 0)
    whole = samples_of(data)
    speech = [(1.0, 3.0), (4.5, 6.25), (10.0, 29.0), (29.5, 29.6)]
    found = list(spoken_pieces(io.BytesIO(data), speech, 8.0))
    assert max(piece.seconds for piece in found) <= 8.0
    joined = np.concatenate([samples_of(piece.audio) for piece in found])
    expected = np.concatenate([whole[int(start * RATE) : int(end * RATE)] for start, end in speech[:3]])
    assert np.array_equal(joined, expected)  # the last stretch is too short to be a piece
    assert found[0].start == 1.0
    assert found[0].seconds == 3.75
    assert found[1].start == 10.0


def test_libri_light_is_cut_by_its_lists_and_a_recording_without_one_is_set_aside(tmp_path: Path) -> None:
    archive = tmp_path / "small.tar"
    with tarfile.open(archive, "w") as tar:
        for name, data in {
            "small/100/book/one.flac": wav(9.0, 1),
            "small/100/book/one.json": json.dumps({"voice_activity": [[0.5, 2.5], [3.0, 5.0]]}).encode(),
            "small/200/book/two.flac": wav(9.0, 2),
            "small/300/book/three.flac": wav(9.0, 2),
            "small/300/book/three.json": b'{"voice_activity": [[5.0, 4.0]]}',
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    corpus = AudioArchive.model_validate(
        {
            "kind": "archive",
            "layout": "folder",
            "speaker_folder": 2,
            "voice_activity": True,
            "splits": {"train": {"archives": [str(archive)], "shards": 2}},
        }
    )
    rows, aside = [], []
    for shard in shard_names(2):
        output = tmp_path / f"{shard}.parquet"
        settings = corpus.job("light", "train", shard).model_dump_json()
        out = ["--output", str(output), "--manifest", str(tmp_path / "m.json"), "--quarantine", str(tmp_path / "q")]
        collect_audio.main(["--settings", settings, "--source", str(archive), *out])
        rows += pq.read_table(output).to_pylist()
        aside += files.read_jsonl(tmp_path / "q")
    assert [(row["id"], row["speaker"], row["seconds"]) for row in rows] == [
        ("small.tar/small/100/book/one.flac#0000", "100", 4.0)
    ]
    assert rows[0]["start"] == 0.5
    reasons = {item["id"].split("/")[-1]: item["reason"] for item in aside}
    assert "no .json beside it" in reasons["two.flac"]
    assert "not in order" in reasons["three.flac"]


# Spoken pairs


def collect(tmp_path: Path, corpus: dict[str, Any], split: str = "test", *flags: str) -> tuple[list[Any], list[Any]]:
    """Rows of the speech shards and records of the pairs, of all shards of a split."""
    checked = SpokenPairCorpus.model_validate({"kind": "spoken_pairs", "task": "sblimp", **corpus})
    rows, records = [], []
    for shard in shard_names(checked.splits[split].shards):  # type: ignore[index]
        settings = checked.job("c", split, shard)
        out = tmp_path / "out"
        names = {"output": "a.parquet", "text": "t.jsonl", "manifest": "m.json", "quarantine": "q.jsonl"}
        written = [part for flag, name in names.items() for part in (f"--{flag}", str(out / name))]
        downloads = ["--downloads", str(tmp_path / "downloads")]
        collect_pairs.main(["--settings", settings.model_dump_json(), *written, *downloads, *flags])
        rows += pq.read_table(out / "a.parquet").to_pylist()
        records += files.read_jsonl(out / "t.jsonl")
    return rows, records


def zerospeech(folder: Path, pairs: int, voices: list[str]) -> Path:
    """A folder as ZeroSpeech 2021 has it for sBLIMP: ids count afresh for each type."""
    folder.mkdir(parents=True)
    lines = ["filename,id,voice,type,subtype,transcription,correct"]
    for kind in ("agreement", "binding"):
        for number in range(pairs):
            for voice in voices:
                for correct in (1, 0):
                    name = hashlib.sha256(f"{kind} {number} {voice} {correct}".encode()).hexdigest()[:11]
                    (folder / f"{name}.wav").write_bytes(wav(0.6, number, "WAV"))
                    lines.append(f"{name},{number},{voice},{kind},plain,says {number} {correct},{correct}")
    (folder / "gold.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_zerospeechs_pairs_are_those_of_its_list_and_voices_share_a_cluster(tmp_path: Path) -> None:
    folder = zerospeech(tmp_path / "syntactic/dev", 5, ["Aria", "Joe"])
    rows, records = collect(
        tmp_path, {"path": str(folder), "splits": {"test": {"shards": 3}}}, "test", "--source", str(folder)
    )
    assert len(records) == 20
    assert len({record["cluster"] for record in records}) == 10
    assert Counter(record["phenomenon"] for record in records) == {"agreement": 10, "binding": 10}
    ids = {row["id"] for row in rows}
    assert ids == {f"{record['id']}.{side}" for record in records for side in ("good", "bad")}
    by_id = {row["id"]: row for row in rows}
    for record in records:
        assert record["good"].endswith(" 1")
        assert record["bad"].endswith(" 0")
        assert by_id[f"{record['id']}.good"]["text"] == record["good"]
        assert by_id[f"{record['id']}.good"]["speaker"] in ("Aria", "Joe")


def test_parts_of_a_published_set_divide_pairs_and_not_voices(tmp_path: Path) -> None:
    folder = zerospeech(tmp_path / "dev", 30, ["Aria", "Joe"])
    corpus = {"path": str(folder), "splits": {"dev": {"percent": [0, 30]}, "test": {"percent": [30, 100]}}}
    found = {split: collect(tmp_path, corpus, split, "--source", str(folder))[1] for split in ("dev", "test")}
    clusters = {split: {record["cluster"] for record in records} for split, records in found.items()}
    assert not clusters["dev"] & clusters["test"]
    assert len(found["dev"]) == 2 * len(clusters["dev"])
    assert len(found["dev"]) + len(found["test"]) == 120
    assert 5 <= len(clusters["dev"]) <= 30


def test_pairs_of_named_files_are_found_and_an_odd_one_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "tSC"
    folder.mkdir()
    for name in ("1_correct", "1_incorrect", "12_correct", "12_incorrect", "3_correct"):
        (folder / f"{name}.wav").write_bytes(wav(0.6, 1, "WAV"))
    corpus = {"task": "tstorycloze", "path": str(folder), "splits": {"test": {}}}
    rows, records = collect(tmp_path, corpus, "test", "--source", str(folder))
    assert sorted(record["id"] for record in records) == ["1", "12"]
    assert {row["source"] for row in rows if row["id"] == "12.bad"} == {"12_incorrect.wav"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["filename,id,voice", "a,1,x"], "no column correct"),
        (["filename,id,voice,correct", "a,1,x,1"], "no pair of a right and a wrong"),
        (["filename,id,voice,correct", "a,1,x,1", "a,1,x,1"], "line 3: a second"),
        (["filename,id,voice,correct", "a,1,x,1", "z,1,x,0"], "z is not among its files"),
    ],
)
def test_a_list_that_does_not_fit_its_files_is_refused(tmp_path: Path, lines: list[str], words: str) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a.wav").write_bytes(wav(0.6, 1, "WAV"))
    (folder / "gold.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=words):
        collect(tmp_path, {"path": str(folder), "splits": {"test": {}}}, "test", "--source", str(folder))


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a.wav").write_bytes(wav(0.6, 1, "WAV"))
    with pytest.raises(InputError, match="no pairs"):
        collect(tmp_path, {"path": "f", "splits": {"test": {}}}, "test", "--source", str(tmp_path / "f"))


def hub_table(columns: dict[str, list[Any]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def test_pairs_of_the_hub_are_rows_and_an_unpinned_dataset_is_taken_at_the_commit_first_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def side(value: int) -> list[Any]:
        return [{"bytes": wav(0.6, value + number, "WAV"), "path": None} for number in range(4)]

    table = hub_table(
        {
            "id": [7, 7, 8, 8],
            "positive": side(0),
            "negative": side(10),
            "voice": ["Aria", "Joe"] * 2,
            "type": ["agreement"] * 4,
        }
    )
    state = hub_stand_in.StandIn()
    server = hub_stand_in.start(state)
    try:
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        commit = hub_stand_in.COMMIT
        state.files[f"/datasets/speed/sBLIMP/resolve/{commit}/data/train-0.parquet"] = table
        state.files["/api/datasets/speed/sBLIMP"] = json.dumps({"id": "speed/sBLIMP", "sha": commit}).encode()
        tree = [{"type": "file", "path": "data/train-0.parquet", "size": len(table), "oid": "0" * 40}]
        for query in ("recursive=True&expand=False", "recursive=true&expand=false"):
            state.files[f"/api/datasets/speed/sBLIMP/tree/{commit}?{query}"] = json.dumps(tree).encode()
        pinned = tmp_path / "pin.json"
        pin_revision.main(["--repo", "speed/sBLIMP", "--output", str(pinned)])
        assert files.read_json(pinned) == {"repo": "speed/sBLIMP", "commit": commit}
        corpus = {
            "repo": "speed/sBLIMP",
            "revision": "unpinned",
            "files": ["data/train-*.parquet"],
            "columns": {"phenomenon": "type"},
            "splits": {"test": {}},
        }
        with pytest.raises(InputError, match="no fixed commit"):
            collect(tmp_path, corpus)
        rows, records = collect(tmp_path, corpus, "test", "--commit", str(pinned))
    finally:
        server.shutdown()
        server.server_close()
    assert [(record["id"], record["cluster"]) for record in records] == [
        ("7.Aria", "7"),
        ("7.Joe", "7"),
        ("8.Aria", "8"),
        ("8.Joe", "8"),
    ]
    assert samples_of(rows[0]["audio"])[0] == 0
    assert samples_of(rows[1]["audio"])[0] == 10
    assert not list((tmp_path / "downloads").rglob("*.parquet"))


def test_a_published_benchmark_is_built_whole_whatever_its_lengths_tell(tmp_path: Path) -> None:
    records = [
        {"id": f"{number}.Joe", "good": "", "bad": "", "cluster": str(number), "phenomenon": None}
        for number in range(4)
    ]
    files.write_jsonl(tmp_path / "t.jsonl", records)
    units = [
        {"id": f"{record['id']}.{side}", "speaker": "Joe", "units": [1, 2, 3] if side == "good" else [4]}
        for record in records
        for side in ("good", "bad")
    ]
    schema = pa.schema([("id", pa.string()), ("speaker", pa.string()), ("units", pa.list_(pa.uint16()))])
    pq.write_table(pa.Table.from_pylist(units, schema), tmp_path / "u.parquet")
    benchmark = SWuggy(kind="swuggy", corpus="c", encoder="e")
    settings = BuildBenchmark(name="swuggy", benchmark=benchmark, split="test", published=True)
    flags = {"records": "t.jsonl", "units": "u.parquet", "output": "i.parquet", "manifest": "m.json"}
    paths = [part for flag, name in flags.items() for part in (f"--{flag}", str(tmp_path / name))]
    build_benchmark.main(["--settings", settings.model_dump_json(), *paths])
    manifest = files.read_json(tmp_path / "m.json")
    assert manifest["items"] == 4
    assert manifest["left_out"] == {}


def test_the_three_aggregations_of_sblimp_differ_as_they_should() -> None:
    found = aggregations(["x", "x", "x", "x", "y"], ["1", "1", "1", "2", "3"], np.array([1.0, 1.0, 0.0, 0.0, 1.0]))
    assert found == pytest.approx({"voice_pairs": 3 / 5, "pairs": (2 / 3 + 0 + 1) / 3, "phenomena": (1 / 3 + 1) / 2})


# Checksums other than SHA-256


def git_name(data: bytes) -> str:
    """What git itself calls this content."""
    done = subprocess.run(["git", "hash-object", "--stdin"], input=data, capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.mark.parametrize("kind", ["md5", "git"])
def test_md5_and_gits_names_are_checked(tmp_path: Path, kind: str) -> None:
    data = b"some speech" * 1000
    digest = git_name(data) if kind == "git" else hashlib.md5(data, usedforsecurity=False).hexdigest()
    source = tmp_path / "source"
    source.write_bytes(data)
    file = AssetFile(sources=[f"file://{source}"], checksum=f"{kind}:{digest}")
    fetch(file, "a/b", tmp_path / "out", tmp_path / "downloads")
    assert (tmp_path / "out").read_bytes() == data
    source.write_bytes(data + b".")
    with pytest.raises(InputError, match=f"expected {kind} {digest}"):
        fetch(file, "a/b", tmp_path / "other", tmp_path / "downloads")
    assert not (tmp_path / "other").exists()


def test_without_a_published_checksum_a_later_download_must_match_the_first(tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "assets/out"
    source.write_bytes(b"first")
    file = AssetFile(sources=[f"file://{source}"], checksum="unpublished")
    fetch(file, "a/b", output, tmp_path / "downloads")
    record = output.with_name("out.sha256")
    assert record.read_text().strip() == hashlib.sha256(b"first").hexdigest()
    output.unlink()
    fetch(file, "a/b", output, tmp_path / "downloads")
    output.unlink()
    source.write_bytes(b"second")
    with pytest.raises(InputError, match=r"as at the first download.*delete"):
        fetch(file, "a/b", output, tmp_path / "downloads")
    assert not output.exists()
    record.unlink()
    fetch(file, "a/b", output, tmp_path / "downloads")


def test_an_unpublished_checksum_still_checks_a_known_size_and_http_resumes(tmp_path: Path) -> None:
    state = hub_stand_in.StandIn(files={"/a.tar": b"x" * 5000}, hang_up_after={"/a.tar": [1000]})
    server = hub_stand_in.start(state)
    try:
        url = f"{state.url}/a.tar"
        with pytest.raises(InputError, match="5000 bytes, expected 4999"):
            fetch(AssetFile(sources=[url], checksum="unpublished", bytes=4999), "a/b", tmp_path / "o", tmp_path / "d")
        assert not (tmp_path / "o.sha256").exists()
        fetch(AssetFile(sources=[url], checksum="unpublished"), "a/b", tmp_path / "o", tmp_path / "d")
    finally:
        server.shutdown()
        server.server_close()
    assert (tmp_path / "o").read_bytes() == b"x" * 5000


def test_a_checksum_is_never_just_missing() -> None:
    with pytest.raises(ValidationError, match="unpublished"):
        AssetFile(sources=["https://example.org/a"])
    with pytest.raises(ValidationError, match="not both"):
        AssetFile(sources=["https://example.org/a"], sha256="0" * 64, checksum="unpublished")


def test_a_branch_is_no_revision() -> None:
    with pytest.raises(ValidationError, match="revision"):
        HubAudio.model_validate({"kind": "hub", "repo": "a/b", "revision": "main", "splits": {}})
