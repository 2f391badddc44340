"""Recordings into speech shards: what is taken, what is set aside, how long files are cut, what changes a digest."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from pydantic import TypeAdapter, ValidationError

import collect_audio
from slamflow.corpora import CORPORA, listing, segments
from slamflow.corpora.archives import members, tidy
from slamflow.corpora.hub_tables import audio_of, cell
from slamflow.corpora.job_settings import CollectAudio
from slamflow.corpora.librispeech import LibriSpeech
from slamflow.corpora.recorded import RecordedSettings
from slamflow.errors import InputError
from slamflow.jobs.sources import Sources
from slamflow.sharding import shard_names
from slamflow.shards.speech import SCHEMA
from stand_in import server as hub_stand_in

RATE = 16_000
CORPUS: TypeAdapter[Any] = TypeAdapter(Annotated[RecordedSettings, CORPORA])


@pytest.fixture(autouse=True)
def _fresh_listing() -> None:
    listing.scan.cache_clear()
    listing._shard_digests.cache_clear()


def tone(seconds: float, seed: int = 0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """16-bit noise, shape [samples, channels]."""
    shape = (round(seconds * rate), channels)
    return np.random.default_rng(seed).integers(-32768, 32767, shape, dtype=np.int16, endpoint=True)


def audio_bytes(samples: np.ndarray, kind: str = "FLAC", rate: int = RATE, subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def settings(corpus: dict[str, Any], split: str = "train", shard: str = "0000-of-0001") -> CollectAudio:
    job: CollectAudio = CORPUS.validate_python(corpus).job("talk", split, shard)
    return job


def collect(folder: Path, job: CollectAudio, *sources: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run the command; rows of the shard, and what was set aside."""
    folder.mkdir(exist_ok=True)
    collect_audio.main(
        [
            "--settings",
            job.model_dump_json(),
            "--output",
            str(folder / "s.parquet"),
            "--manifest",
            str(folder / "s.json"),
        ]
        + ["--quarantine", str(folder / "q.jsonl"), "--downloads", str(folder / "downloads")]
        + (["--source", *map(str, sources)] if sources else [])
    )
    table = pq.read_table(folder / "s.parquet")
    assert table.schema.equals(SCHEMA)
    manifest = json.loads((folder / "s.json").read_text())
    set_aside = [json.loads(line) for line in (folder / "q.jsonl").read_text().splitlines()]
    assert manifest["utterances"] == table.num_rows
    assert manifest["quarantined"] == len(set_aside)
    assert manifest["seconds"] == pytest.approx(sum(table["seconds"].to_pylist()), abs=0.01)
    return table.to_pylist(), set_aside


def librispeech(root: Path, subset: str = "dev-clean", speakers: int = 2, utterances: int = 3) -> dict[str, bytes]:
    """Write a corpus in LibriSpeech's layout; the audio bytes by path."""
    written = {}
    for speaker in range(100, 100 + speakers):
        folder = root / subset / str(speaker) / "7"
        folder.mkdir(parents=True)
        lines = []
        for number in range(utterances):
            name = f"{speaker}-7-{number:04d}"
            data = audio_bytes(tone(0.3, seed=speaker * 10 + number))
            (folder / f"{name}.flac").write_bytes(data)
            written[f"{subset}/{speaker}/7/{name}.flac"] = data
            lines.append(f"{name} WORDS OF {speaker} {number}\n")
        (folder / f"{speaker}-7.trans.txt").write_text("".join(lines))
    return written


LIBRISPEECH = {"kind": "librispeech", "path": "x", "splits": {"train": {}}}
FOLDER = {"kind": "folder", "path": "x", "splits": {"train": {}}}


def archive(layout: str = "librispeech", **split: Any) -> dict[str, Any]:
    return {"kind": "archive", "layout": layout, "splits": {"train": {"archives": ["x"], **split}}}


# Layouts


def test_librispeech_gives_speakers_texts_and_untouched_bytes(tmp_path: Path) -> None:
    written = librispeech(tmp_path / "corpus")
    (tmp_path / "corpus/dev-clean/100/7/100-7-0009.flac").write_bytes(audio_bytes(tone(0.2)))
    rows, set_aside = collect(tmp_path / "out", settings(LIBRISPEECH), tmp_path / "corpus")
    assert set_aside == []
    assert [row["id"] for row in rows] == sorted([*written, "dev-clean/100/7/100-7-0009.flac"])
    by_id = {row["id"]: row for row in rows}
    assert by_id["dev-clean/100/7/100-7-0009.flac"]["text"] is None
    for name, data in written.items():
        row = by_id[name]
        speaker, _, number = Path(name).stem.split("-")
        assert (row["audio"], row["speaker"], row["source"]) == (data, speaker, name)
        assert row["text"] == f"WORDS OF {speaker} {int(number)}"
        assert (row["start"], row["seconds"]) == (0.0, pytest.approx(0.3))


def test_the_project_example_corpus_is_whole(tmp_path: Path) -> None:
    root = Path(__file__).parents[2] / "examples"
    rows, set_aside = collect(tmp_path / "out", settings({**LIBRISPEECH, "path": "x"}), root)
    wanted = dict(line.split("\t") for line in (root / "sentences.tsv").read_text().splitlines())
    assert set_aside == []
    assert {Path(row["id"]).stem: row["text"] for row in rows} == wanted
    assert all(row["speaker"] == Path(row["id"]).stem.split("-")[0] for row in rows)
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) <= 6_000_000
    seconds = {
        speaker: sum(row["seconds"] for row in rows if row["speaker"] == speaker)
        for speaker in {row["speaker"] for row in rows}
    }
    assert len(seconds) >= 20
    assert min(seconds.values()) >= 8


@pytest.mark.parametrize(("suffix", "kind"), [("wav", "WAV"), ("ogg", "OGG"), ("mp3", "MP3"), ("FLAC", "FLAC")])
def test_a_plain_folder_takes_each_format_as_it_is(tmp_path: Path, suffix: str, kind: str) -> None:
    folder = tmp_path / "corpus" / "outer" / "anna"
    folder.mkdir(parents=True)
    data = audio_bytes(tone(0.5, channels=2, rate=44_100), kind, 44_100)
    (folder / f"one.{suffix}").write_bytes(data)
    (folder / "one.txt").write_bytes("\ufeff Good\nmorning. \n".encode())
    (tmp_path / "corpus" / f"top.{suffix}").write_bytes(data)
    rows, set_aside = collect(tmp_path / "out", settings(FOLDER), tmp_path / "corpus")
    assert set_aside == []
    seen = [(row["id"], row["speaker"], row["text"]) for row in rows]
    assert seen == [(f"outer/anna/one.{suffix}", "anna", "Good morning."), (f"top.{suffix}", "unknown", None)]
    assert all(row["audio"] == data for row in rows)
    rows, _ = collect(tmp_path / "out", settings({**FOLDER, "speaker_folder": 2}), tmp_path / "corpus")
    assert [row["speaker"] for row in rows] == ["outer", "unknown"]


def test_opus_is_taken(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/a.opus").write_bytes(audio_bytes(tone(0.5), "OGG", subtype="OPUS"))
    rows, set_aside = collect(tmp_path / "out", settings(FOLDER), tmp_path / "corpus")
    assert [row["seconds"] for row in rows] == [pytest.approx(0.5, abs=0.05)], set_aside


# What cannot be used


def test_bad_files_are_set_aside_and_the_rest_done(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    good = audio_bytes(tone(1.0))
    wave = audio_bytes(tone(1.0), "WAV")
    floats = np.full(1000, np.nan, np.float32)
    bad = {
        "cut.flac": (good[: len(good) // 2], "truncated"),
        "cut.wav": (wave[: len(wave) // 2], "truncated"),
        "empty.wav": (b"", "empty"),
        "header.flac": (b"fLaC" + bytes(60), "unreadable"),
        "nan.wav": (audio_bytes(floats, "WAV", subtype="FLOAT"), "NaN"),
        "none.wav": (audio_bytes(tone(0.0), "WAV"), "no samples"),
        "song.m4a": (b"\0\0\0\x18ftypM4A ", "unreadable"),
        "latin.wav": (wave, "not UTF-8"),
    }
    for name, (data, _) in bad.items():
        (folder / name).write_bytes(data)
    (folder / "latin.txt").write_bytes("für".encode("latin-1"))
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    (folder / "good.flac").write_bytes(good)
    (folder / "._good.flac").write_bytes(b"what a Mac leaves")
    rows, set_aside = collect(tmp_path / "out", settings(FOLDER), folder)
    assert [row["id"] for row in rows] == ["good.flac"]
    reasons = {item["id"]: item["reason"] for item in set_aside}
    assert set(reasons) == {*bad, "gone.wav"}
    for name, (_, reason) in bad.items():
        assert reason in reasons[name], (name, reasons[name])
    assert "cannot be opened" in reasons["gone.wav"]
    assert not any("0x" in reason or str(tmp_path) in reason for reason in reasons.values())


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        collect(tmp_path / "out", settings(FOLDER), tmp_path / "corpus")
    librispeech(tmp_path / "corpus")
    job = settings({**LIBRISPEECH, "splits": {"train": {"folders": ["train-clean-100"]}}})
    with pytest.raises(InputError, match=r"train-clean-100: no such folder; .* has dev-clean"):
        collect(tmp_path / "out", job, tmp_path / "corpus")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no audio"):
        collect(tmp_path / "out", settings(FOLDER), tmp_path / "empty")
    with pytest.raises(InputError, match="no such archive"):
        collect(tmp_path / "out", settings(archive()), tmp_path / "a.tar")
    assert not (tmp_path / "out/s.parquet").exists()


def test_names_that_are_no_utf8_are_written_out(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    with open(os.fsencode(folder) + b"/gr\xfc\xdfe.wav", "wb") as file:
        file.write(audio_bytes(tone(0.2), "WAV"))
    rows, _ = collect(tmp_path / "out", settings(FOLDER), folder)
    assert [row["id"] for row in rows] == ["gr\\xfc\\xdfe.wav"]


def test_folders_that_contain_themselves_end(tmp_path: Path) -> None:
    folder = tmp_path / "corpus" / "in"
    folder.mkdir(parents=True)
    (folder / "a.wav").write_bytes(audio_bytes(tone(0.2), "WAV"))
    (folder / "round").symlink_to(tmp_path / "corpus")
    rows, _ = collect(tmp_path / "out", settings(FOLDER), tmp_path / "corpus")
    assert [row["id"] for row in rows] == ["in/a.wav"]


# Long recordings


@pytest.mark.parametrize(("kind", "rate", "channels"), [("WAV", 16_000, 1), ("FLAC", 22_050, 2), ("WAV", 8_000, 3)])
def test_pieces_of_a_long_recording_are_the_recording(tmp_path: Path, kind: str, rate: int, channels: int) -> None:
    samples = tone(31.7, rate=rate, channels=channels)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/long.wav").write_bytes(audio_bytes(samples, kind, rate))
    (tmp_path / "corpus/long.txt").write_text("All of it.")
    rows, _ = collect(tmp_path / "out", settings({**FOLDER, "max_seconds": 5.0}), tmp_path / "corpus")
    assert [row["id"] for row in rows] == [f"long.wav#{number:04d}" for number in range(len(rows))]
    assert len(rows) >= 7
    joined = np.concatenate(
        [soundfile.read(io.BytesIO(row["audio"]), dtype="int16", always_2d=True)[0] for row in rows]
    )
    np.testing.assert_array_equal(joined, samples)
    starts = np.cumsum([0.0, *(row["seconds"] for row in rows)])[:-1]
    np.testing.assert_allclose([row["start"] for row in rows], starts, atol=1e-4)
    assert all(1.0 <= row["seconds"] <= 5.0 for row in rows)
    assert all(soundfile.info(io.BytesIO(row["audio"])).subtype == "PCM_16" for row in rows)
    assert all(row["text"] is None and row["source"] == "long.wav" for row in rows)


def test_cuts_fall_into_pauses() -> None:
    samples = tone(40.0)
    pauses = [3.6, 7.9, 12.0, 16.3, 20.2, 24.4, 28.9, 33.0, 37.2]
    for pause in pauses:
        samples[round((pause - 0.15) * RATE) : round((pause + 0.15) * RATE)] //= 1000
    found = list(segments.pieces(io.BytesIO(audio_bytes(samples)), 5.0))
    np.testing.assert_allclose([piece.start for piece in found[1:]], pauses, atol=0.051)


@pytest.mark.parametrize("seconds", [5.0, 5.0 + 1 / RATE, 5.01, 5.9, 9.99, 10.0, 10.01, 15.03])
def test_no_piece_is_too_short_or_too_long(seconds: float) -> None:
    """Digital silence has no best pause; a recording of exactly the limit stays whole."""
    for samples in (np.zeros((round(seconds * RATE), 1), np.int16), tone(seconds)):
        found = list(segments.pieces(io.BytesIO(audio_bytes(samples)), 5.0))
        assert sum(round(piece.seconds * RATE) for piece in found) == len(samples)
        assert all(1.0 <= piece.seconds <= 5.0 for piece in found)
        assert [piece.whole for piece in found] == [True] if seconds == 5.0 else not any(p.whole for p in found)
        assert len(found) <= -(-seconds // 2.5)


def test_a_long_recording_cut_short_keeps_its_beginning(tmp_path: Path) -> None:
    samples = tone(30.0)
    data = audio_bytes(samples)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/a.flac").write_bytes(data[: len(data) * 2 // 3])
    rows, set_aside = collect(tmp_path / "out", settings({**FOLDER, "max_seconds": 5.0}), tmp_path / "corpus")
    assert rows
    joined = np.concatenate(
        [soundfile.read(io.BytesIO(row["audio"]), dtype="int16", always_2d=True)[0] for row in rows]
    )
    np.testing.assert_array_equal(joined, samples[: len(joined)])
    assert [item["id"] for item in set_aside] == ["a.flac"]
    assert f"the {len(rows)} pieces before that are kept" in set_aside[0]["reason"]


@pytest.mark.slow
def test_long_recordings_need_little_memory(tmp_path: Path) -> None:
    """15 minutes of 48 kHz stereo are 346 MB as float32; the command takes a small part of that."""
    (tmp_path / "corpus").mkdir()
    block = np.zeros((48_000 * 60, 2), np.int16)
    with soundfile.SoundFile(tmp_path / "corpus/a.flac", "w", 48_000, 2, "PCM_16") as file:
        for _ in range(15):
            file.write(block)
    code = (
        "import resource, sys, collect_audio; before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "collect_audio.main(sys.argv[1:]); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    arguments = ["--settings", settings(FOLDER).model_dump_json(), "--source", "corpus", "--output", "s.parquet"]
    arguments += ["--manifest", "s.json", "--quarantine", "q.jsonl"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(collect_audio.__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 150_000  # KiB
    assert json.loads((tmp_path / "s.json").read_text())["seconds"] == 900.0


# Shards and splits


def test_shards_and_shares_divide_the_recordings(tmp_path: Path) -> None:
    written = librispeech(tmp_path / "corpus", speakers=10, utterances=12)
    corpus = {
        "kind": "librispeech",
        "path": "x",
        "splits": {"train": {"percent": [0, 75], "shards": 3}, "validation": {"percent": [75, 100]}},
    }
    parts = [
        [row["id"] for row in collect(tmp_path / "out", settings(corpus, split, shard), tmp_path / "corpus")[0]]
        for split, count in (("train", 3), ("validation", 1))
        for shard in shard_names(count)
    ]
    assert sorted(item for part in parts for item in part) == sorted(written)
    assert all(len(part) >= 15 for part in parts)
    assert 15 <= len(parts[3]) <= 45


def test_the_hash_of_the_share_is_not_that_of_the_shard() -> None:
    """If it were, a tenth of the recordings would fill the first ten of a hundred shards and leave the others empty."""
    names = [f"speaker/{number}.flac" for number in range(5000)]
    chosen = [name for name in names if listing.in_share(name, 0, 10)]
    assert 420 <= len(chosen) <= 580
    assert len({listing.shard_of(name, 20) for name in chosen}) == 20


def digests(root: Path, corpus: dict[str, Any], count: int = 16) -> list[str]:
    listing.scan.cache_clear()
    listing._shard_digests.cache_clear()
    checked = CORPUS.validate_python({**corpus, "path": str(root)})
    return [checked.items("talk", "train", shard, Sources({}, root)) for shard in shard_names(count)]


def test_new_files_change_their_own_shards_only(tmp_path: Path) -> None:
    librispeech(tmp_path / "corpus", speakers=5, utterances=10)
    before = digests(tmp_path / "corpus", LIBRISPEECH)
    assert digests(tmp_path / "corpus", LIBRISPEECH) == before
    librispeech(tmp_path / "corpus", subset="new", speakers=1, utterances=3)
    after = digests(tmp_path / "corpus", LIBRISPEECH)
    changed = {number for number in range(16) if before[number] != after[number]}
    assert changed == {listing.shard_of(f"new/100/7/100-7-{number:04d}.flac", 16) for number in range(3)}


def test_a_digest_knows_names_sizes_and_texts_but_not_the_place(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    librispeech(root)
    before = digests(root, LIBRISPEECH, 1)
    os.utime(root / "dev-clean/100/7/100-7-0000.flac", (1, 1))
    (root / "dev-clean/NOTES.md").write_text("no recording")
    assert digests(root, LIBRISPEECH, 1) == before
    root.rename(tmp_path / "moved")
    assert digests(tmp_path / "moved", LIBRISPEECH, 1) == before
    with open(tmp_path / "moved/dev-clean/100/7/100-7.trans.txt", "a") as file:
        file.write("100-7-0009 MORE\n")
    text_changed = digests(tmp_path / "moved", LIBRISPEECH, 1)
    assert text_changed != before
    with open(tmp_path / "moved/dev-clean/100/7/100-7-0000.flac", "ab") as file:
        file.write(b"x")
    assert digests(tmp_path / "moved", LIBRISPEECH, 1) != text_changed


def test_the_job_says_nothing_of_other_splits_or_places() -> None:
    corpus = {**FOLDER, "path": "/data/a", "splits": {"train": {"percent": [0, 50]}, "dev": {"percent": [50, 60]}}}
    other = {**FOLDER, "path": "/data/b", "splits": {"train": {"percent": [0, 50]}, "dev": {"percent": [60, 70]}}}
    assert settings(corpus) == settings(other)
    assert settings(corpus, "dev") != settings(other, "dev")
    first = {"kind": "archive", "splits": {"train": {"archives": ["/data/a/x.tar"]}}}
    assert settings(first) == settings({"kind": "archive", "splits": {"train": {"archives": ["asset:ls/x.tar"]}}})


def test_listing_is_light_and_fast(tmp_path: Path) -> None:
    """5,000 files in 50 folders; 100,000 must stay below 1.5 s."""
    for folder in range(50):
        (tmp_path / f"corpus/{folder}").mkdir(parents=True)
        for number in range(100):
            (tmp_path / f"corpus/{folder}/{number}.wav").touch()
    code = (
        "import sys, json; from slamflow.corpora.listing import items_digest;"
        "from slamflow.corpora.folder import AudioFolder; import time;"
        "path = AudioFolder.model_validate(json.loads(sys.argv[1])).path; started = time.process_time();"
        "[items_digest(path, 'folder', [], [0, 100], f'{n:04d}-of-0032') for n in range(32)];"
        "print(time.process_time() - started, 'numpy' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps({**FOLDER, "path": str(tmp_path / "corpus")})],
        env={**os.environ, "PYTHONPATH": str(Path(collect_audio.__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, has_numpy, has_torch = done.stdout.split()
    assert (has_numpy, has_torch) == ("False", "False")
    assert float(seconds) < 0.75  # ten times the share of these files, since a machine may be busy


@pytest.mark.parametrize(
    ("splits", "problem"),
    [
        ({"train": {}, "test": {}}, "share"),
        ({"train": {"folders": ["a"]}, "test": {"folders": ["a/b"]}}, "share"),
        ({"train": {"percent": [0, 60]}, "test": {"percent": [59, 100]}}, "share"),
        ({"train": {"percent": [50, 50]}}, "empty"),
    ],
)
def test_splits_that_overlap_are_refused(splits: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        CORPUS.validate_python({**FOLDER, "splits": splits})


def test_splits_that_do_not_overlap_are_taken() -> None:
    splits = {"train": {"folders": ["a", "c"]}, "test": {"folders": ["ab"]}, "dev": {"folders": ["b"]}}
    assert isinstance(CORPUS.validate_python({**LIBRISPEECH, "splits": splits}), LibriSpeech)


# Archives


def pack(path: Path, root: Path, order: Callable[[list[Path]], list[Path]] = sorted) -> Path:
    """The files below `root` in an archive of the kind that the name of `path` says."""
    names = [file for file in order(list(root.rglob("*"))) if file.is_file()]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive_file:
            for name in names:
                archive_file.write(name, name.relative_to(root))
    else:
        mode = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
        with tarfile.open(path, mode) as archive_file:  # type: ignore[call-overload]
            for name in names:
                archive_file.add(name, f"./{name.relative_to(root)}")
    return path


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "tar.bz2", "zip"])
@pytest.mark.parametrize("backwards", [False, True])
def test_an_archive_gives_what_the_folder_gives(tmp_path: Path, kind: str, backwards: bool) -> None:
    """Texts may stand before the audio or behind it."""
    librispeech(tmp_path / "corpus/LS", speakers=2)
    path = pack(tmp_path / f"all.{kind}", tmp_path / "corpus", lambda names: sorted(names, reverse=backwards))
    plain, _ = collect(tmp_path / "out", settings(LIBRISPEECH), tmp_path / "corpus")
    packed, set_aside = collect(tmp_path / "out", settings(archive(folders=["LS/dev-clean"])), path)
    assert set_aside == []
    for row in packed:
        assert row["id"] == row["source"]
        row["id"] = row["source"] = row["id"].removeprefix(f"all.{kind}/")
    assert [row["id"] for row in packed] == sorted((row["id"] for row in plain), reverse=backwards)
    assert sorted(packed, key=lambda row: row["id"]) == plain
    with pytest.raises(InputError, match="no audio in LS/test"):
        collect(tmp_path / "out", settings(archive(folders=["LS/test"])), path)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_archives_of_plain_files_and_their_shards(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "corpus"
    for speaker in ("anna", "bert"):
        (root / speaker).mkdir(parents=True)
        for number in range(8):
            (root / speaker / f"{number}.wav").write_bytes(audio_bytes(tone(0.1, number), "WAV"))
        (root / speaker / "3.txt").write_text(f"{speaker} speaks")
    (root / "anna/broken.wav").write_bytes(b"RIFF")
    paths = [pack(tmp_path / f"{name}.{kind}", root) for name in ("one", "two")]
    jobs = [settings(archive("folder", archives=["one", "two"]), shard=shard) for shard in shard_names(3)]
    parts = [collect(tmp_path / "out", job, *paths) for job in jobs]
    rows = [row for part, _ in parts for row in part]
    wanted = [f"{p.name}/{s}/{n}.wav" for p in paths for s in ("anna", "bert") for n in range(8)]
    assert sorted(row["id"] for row in rows) == wanted
    assert {row["text"] for row in rows if row["id"].endswith("3.wav")} == {"anna speaks", "bert speaks"}
    assert {row["speaker"] for row in rows} == {"anna", "bert"}
    assert sorted(item["id"] for _, part in parts for item in part) == [f"{p.name}/anna/broken.wav" for p in paths]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_an_archive_that_was_cut_off_is_named(tmp_path: Path, kind: str) -> None:
    """Wherever the cut is: between two members as well, where tarfile alone notices nothing."""
    librispeech(tmp_path / "corpus", speakers=1)
    path = pack(tmp_path / f"all.{kind}", tmp_path / "corpus")
    data = path.read_bytes()
    assert len(list(members(path))) == 4
    # A tar ends in zeros up to 10,240 bytes, all but the first block of which may be missing.
    end = len(data.rstrip(b"\0")) if kind == "tar" else len(data)
    for length in {*range(600, end, 512), *range(700, end, 1999)}:
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=rf"all\.{kind}: truncated"):
            deque((open_member().close() for _, open_member in members(path)), maxlen=0)
    path.write_bytes(b"<html>Please log in</html>" * 100)
    with pytest.raises(InputError, match="neither a tar nor a zip"):
        collect(tmp_path / "out", settings(archive()), path)


def test_one_damaged_member_of_a_zip_is_set_aside(tmp_path: Path) -> None:
    librispeech(tmp_path / "corpus", speakers=1, utterances=2)
    path = pack(tmp_path / "all.zip", tmp_path / "corpus")
    with zipfile.ZipFile(path) as archive_file:
        info = archive_file.infolist()[0]
    data = bytearray(path.read_bytes())
    data[info.header_offset + 400] ^= 0xFF
    path.write_bytes(data)
    rows, set_aside = collect(tmp_path / "out", settings(archive()), path)
    assert [item["id"] for item in set_aside] == [f"all.zip/{info.filename}"]
    assert len(rows) == 1


def test_links_doubles_and_odd_names_in_a_tar(tmp_path: Path) -> None:
    data = audio_bytes(tone(0.1))
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive_file:
        for name in ("./s/a.flac", "s/a.flac", "/etc/b.flac", "../c.flac", "__MACOSX/s/a.flac", "s/._a.flac"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive_file.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("s/link.flac")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive_file.addfile(link)
    rows, set_aside = collect(tmp_path / "out", settings(archive("folder")), path)
    assert [row["id"] for row in rows] == ["a.tar.gz/s/a.flac", "a.tar.gz/etc/b.flac"]
    assert [(item["id"], item["reason"]) for item in set_aside] == [
        ("a.tar.gz/s/a.flac", "the id occurs twice in this shard"),
        ("a.tar.gz/s/link.flac", "a link inside the archive, not a file"),
    ]
    assert tidy("../c.flac") is None
    assert not (tmp_path / "s").exists()


# The hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_stand_in.StandIn]:
    state = hub_stand_in.StandIn()
    server = hub_stand_in.start(state)
    monkeypatch.setenv("HF_ENDPOINT", state.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield state
    server.shutdown()
    server.server_close()


def publish(hub: hub_stand_in.StandIn, files: dict[str, bytes]) -> None:
    """Serve a dataset lab/talk with these files."""
    commit, repo = hub_stand_in.COMMIT, "datasets/lab/talk"
    tree = [{"type": "file", "path": path, "size": len(data), "oid": "0" * 40} for path, data in files.items()]
    for query in ("recursive=True&expand=False", "recursive=true&expand=false"):
        hub.files[f"/api/{repo}/tree/{commit}?{query}"] = json.dumps(tree).encode()
    for path, data in files.items():
        hub.files[f"/{repo}/resolve/{commit}/{path}"] = data


def table(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream, row_group_size=3)
    return stream.getvalue()


def hub_corpus(**columns: Any) -> dict[str, Any]:
    return {
        "kind": "hub",
        "repo": "lab/talk",
        "revision": hub_stand_in.COMMIT,
        "columns": columns,
        "splits": {"train": {"files": ["data/train-*.parquet"]}, "test": {"files": ["data/test-*.parquet"]}},
    }


def test_a_hub_dataset_gives_its_bytes(tmp_path: Path, hub: hub_stand_in.StandIn) -> None:
    sounds = [audio_bytes(tone(0.1, number)) for number in range(10)]
    rows = [
        {
            "audio": {"bytes": data, "path": f"{number}.flac"},
            "words": f" word  {number}",
            "who": number % 2,
            "n": number,
        }
        for number, data in enumerate(sounds)
    ]
    rows[4]["audio"] = {"bytes": None, "path": "elsewhere.flac"}
    files = {f"data/train-{part}.parquet": table(rows[part * 5 : part * 5 + 5]) for part in range(2)}
    publish(hub, {**files, "data/test-0.parquet": table(rows[:1]), "README.md": b"# talk"})
    job = settings(hub_corpus(text="words", speaker="who", id="n"))
    found, set_aside = collect(tmp_path / "out", job)
    assert [row["id"] for row in found] == [str(number) for number in range(10) if number != 4]
    assert [row["audio"] for row in found] == [data for number, data in enumerate(sounds) if number != 4]
    assert [row["text"] for row in found] == [f"word {number}" for number in range(10) if number != 4]
    assert {row["speaker"] for row in found} == {"0", "1"}
    assert found[5]["source"] == "data/train-1.parquet#000001"
    assert [item["id"] for item in set_aside] == ["4"]
    assert "no audio in the table" in set_aside[0]["reason"]
    assert not list((tmp_path / "out/downloads").rglob("*.parquet"))
    # Whole files go to shards, and a shard fetches no other.
    hub.requests.clear()
    one, _ = collect(tmp_path / "out", settings(hub_corpus(), shard="0001-of-0002"))
    assert [row["id"] for row in one] == [f"data/train-1.parquet#{number:06d}" for number in range(5)]
    assert one[0]["speaker"] == "unknown"
    assert one[0]["text"] is None
    assert not any("train-0" in path for _, path, _ in hub.requests)


def test_what_is_wrong_with_a_hub_dataset_is_named(tmp_path: Path, hub: hub_stand_in.StandIn) -> None:
    with pytest.raises(InputError, match="lab/talk"):
        collect(tmp_path / "out", settings(hub_corpus()))
    publish(hub, {"data/train-0.parquet": table([{"sound": b"x"}]), "data/test-0.parquet": b"PAR1 but broken"})
    with pytest.raises(InputError, match=r"no column audio; it has sound"):
        collect(tmp_path / "out", settings(hub_corpus()))
    with pytest.raises(InputError, match="not a Parquet file"):
        collect(tmp_path / "out", settings(hub_corpus(), split="test"))
    lost = {**hub_corpus(), "splits": {"train": {"files": ["valid-*"]}}}
    with pytest.raises(InputError, match=r"no file valid-\* .* data/test-0.parquet, data/train-0.parquet"):
        collect(tmp_path / "out", settings(lost))
    with pytest.raises(ValidationError, match="revision"):
        CORPUS.validate_python({**hub_corpus(), "revision": "main"})


def test_a_column_of_plain_bytes_is_taken() -> None:
    assert audio_of(b"fLaC").read() == b"fLaC"


def test_a_null_is_no_text() -> None:
    row = {"voice": None, "id": 0}
    assert [cell(row, column) for column in ("voice", "id", None)] == [None, "0", None]


# Bytes


def test_shards_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    librispeech(tmp_path / "corpus", speakers=3)
    (tmp_path / "corpus/dev-clean/100/7/long.flac").write_bytes(audio_bytes(tone(33.0)))
    (tmp_path / "corpus/dev-clean/100/7/bad.flac").write_bytes(b"")
    results = []
    for name in ("one", "two"):
        collect(tmp_path / name, settings(LIBRISPEECH), tmp_path / "corpus")
        results.append([(tmp_path / name / file).read_bytes() for file in ("s.parquet", "s.json", "q.jsonl")])
        (tmp_path / "corpus").rename(tmp_path / "moved")
        (tmp_path / "moved").rename(tmp_path / "corpus")
        time.sleep(0.01)
    assert results[0] == results[1]


def test_row_groups_are_small(tmp_path: Path) -> None:
    """64 files of 1 MB: a reader of one row group never has all of them."""
    (tmp_path / "corpus").mkdir()
    data = audio_bytes(np.random.default_rng(0).integers(-32768, 32767, 500_000, dtype=np.int16), "WAV", 48_000)
    for number in range(64):
        (tmp_path / f"corpus/{number}.wav").write_bytes(data)
    collect(tmp_path / "out", settings(FOLDER), tmp_path / "corpus")
    with pq.ParquetFile(tmp_path / "out/s.parquet") as file:
        sizes = [file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)]
    assert len(sizes) == 2
    assert max(sizes) < 36 << 20
