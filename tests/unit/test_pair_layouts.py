"""Published spoken pairs in each layout, from a folder and from archives: what belongs together, what is missing."""

from __future__ import annotations

import bz2
import csv
import io
import itertools
import random
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import collect_pairs
from slamflow import files
from slamflow.audio import AudioError
from slamflow.benchmarks.pairs import Spoken, whole_pairs
from slamflow.corpora import listing
from slamflow.corpora.pair_files import SpokenPair
from slamflow.corpora.pair_layouts import folder_pairs
from slamflow.corpora.published_files import archive_files, folder_files
from slamflow.corpora.spoken_pairs import SpokenPairCorpus
from slamflow.errors import InputError
from slamflow.shards.speech import read_speech

RATE = 16_000


def write(folder: Path, *names: str) -> None:
    """Recordings whose first sample tells them apart, in the order of `names`."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(RATE // 2, number + 1, np.int16), RATE, subtype="PCM_16")


def pairs_of(folder: Path) -> list[SpokenPair]:
    listing.scan.cache_clear()
    return list(folder_pairs(folder_files(folder)))


def sources(pairs: list[SpokenPair]) -> dict[str, tuple[str, str]]:
    return {pair.id: pair.sources for pair in pairs}


# gold.csv


def gold(folder: Path, rows: list[dict[str, Any]], write_files: bool = True) -> Path:
    """A list, with a recording for each row."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    with open(folder / "gold.csv", "w", newline="") as lines:
        writer = csv.DictWriter(lines, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    if write_files:
        write(folder, *(f"{row['filename']}.wav" for row in rows))
    return folder


def word(name: str, number: int, voice: str, correct: int, frequency: object = "", text: str = "") -> dict[str, Any]:
    values = {"filename": name, "id": number, "voice": voice, "frequency": frequency, "word": text}
    return {**values, "phones": "a b", "length": 2, "correct": correct}


def zerospeech(rows: list[dict[str, Any]], score: dict[str, float]) -> dict[str, float]:
    """ZeroSpeech's own steps, slow and plain: the k-th word with the k-th pseudo-word, mean by id, mean by band."""
    words = [row for row in rows if row["correct"] == 1]
    others = [row for row in rows if row["correct"] == 0]
    by_id: dict[int, list[float]] = defaultdict(list)
    frequency: dict[int, int] = {}
    for one, other in zip(words, others, strict=True):
        right, wrong = score[one["filename"]], score[other["filename"]]
        by_id[one["id"]].append(0.5 * (right == wrong) + (right > wrong))
        frequency.setdefault(one["id"], one["frequency"])
    means = {number: sum(values) / len(values) for number, values in by_id.items()}
    bands = {"oov": [means[n] for n in means if frequency[n] < 1]}
    bands["in_vocabulary"] = [means[n] for n in means if frequency[n] >= 1]
    return {"all": sum(means.values()) / len(means), **{name: sum(v) / len(v) for name, v in bands.items()}}


def test_the_bands_and_several_pseudo_words_of_an_id_score_as_in_zerospeech(tmp_path: Path) -> None:
    """Words of 0 to 300 occurrences in two voices; some ids have their word and a second pseudo-word twice."""
    rng = random.Random(3)
    rows = []
    for number in range(24):
        frequency = [0, 1, 5, 20, 300][number % 5]
        for voice in ("en-A", "en-B"):
            for index in range(2 if number % 3 == 0 else 1):
                name = f"{number}{voice}{index}"
                rows.append(word(f"w{name}", number, voice, 1, frequency))
                rows.append(word(f"n{name}", number, voice, 0, "" if number % 2 else frequency))
    score = {row["filename"]: rng.choice([0.1, 0.2, 0.3]) for row in rows}
    pairs = pairs_of(gold(tmp_path / "lexical/dev", rows))
    assert len({pair.id for pair in pairs}) == len(pairs) == len(rows) // 2
    units = {name: np.array([index], np.uint16) for index, name in enumerate(sorted(score))}
    spoken = {
        f"{pair.id}.{side}": Spoken(pair.voice, units[source.removesuffix(".wav")])
        for pair in pairs
        for side, source in zip(("good", "bad"), pair.sources, strict=True)
    }
    items, left_out = whole_pairs([pair.record() for pair in pairs], spoken)
    assert left_out == {}
    by_unit = {int(value[0]): score[name] for name, value in units.items()}
    marks = [(by_unit[int(item.good[0])], by_unit[int(item.bad[0])]) for item in items]
    correct = np.array([0.5 * (right == wrong) + (right > wrong) for right, wrong in marks])
    expected = zerospeech(rows, score)
    by_cluster: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for item, right in zip(items, correct.tolist(), strict=True):
        for part in ("all", str(item.phenomenon)):
            by_cluster[part][item.cluster].append(right)
    for part, clusters in by_cluster.items():
        means = [sum(values) / len(values) for values in clusters.values()]
        assert sum(means) / len(means) == pytest.approx(expected[part])
    assert {item.phenomenon for item in items} == {"oov", "in_vocabulary"}


def test_one_word_stands_against_each_pseudo_word_of_its_id(tmp_path: Path) -> None:
    rows = [word("w", 7, "A", 1, "oov"), word("n1", 7, "A", 0), word("n2", 7, "A", 0)]
    pairs = pairs_of(gold(tmp_path / "f", rows))
    assert sources(pairs) == {"7.A": ("w.wav", "n1.wav"), "7.A.1": ("w.wav", "n2.wav")}
    assert {(pair.cluster, pair.phenomenon) for pair in pairs} == {("7", "oov")}


def test_a_word_of_unknown_frequency_is_in_no_band_and_a_row_without_partner_is_set_aside(tmp_path: Path) -> None:
    rows = [word("w", 1, "A", 1, ""), word("n", 1, "A", 0), word("alone", 2, "A", 1, 3), word("gone", 3, "A", 1, 3)]
    rows += [word("there", 3, "A", 0)]
    folder = gold(tmp_path / "f", rows)
    (folder / "gone.wav").unlink()
    pairs = {pair.id: pair for pair in pairs_of(folder)}
    assert pairs["1.A"].phenomenon is None
    for name, side, words in (("2.A", 1, "no partner"), ("3.A", 0, "gone is not among the files")):
        with pytest.raises(AudioError, match=words):
            pairs[name].open[side]()
    corpus = {"path": str(folder)}
    manifest, records = collect(tmp_path, corpus, str(folder))
    assert (manifest["pairs"], manifest["quarantined"], len(records)) == (3, 2, 3)


# Names


def test_names_of_spoken_storycloze_pair_up_whatever_the_number_before_them(tmp_path: Path) -> None:
    """NUMBER_ID_correct, each file with a number of its own, and both files with the same number."""
    write(tmp_path / "a", "0_abc_correct.wav", "1_abc_incorrect.wav", "2_xyz_correct.wav", "3_xyz_incorrect.wav")
    write(tmp_path / "b", "0_abc_correct.wav", "0_abc_incorrect.wav", "1_xyz_correct.wav", "1_xyz_incorrect.wav")
    assert sources(pairs_of(tmp_path / "a")) == {
        "abc": ("0_abc_correct.wav", "1_abc_incorrect.wav"),
        "xyz": ("2_xyz_correct.wav", "3_xyz_incorrect.wav"),
    }
    assert set(sources(pairs_of(tmp_path / "b"))) == {"0_abc", "1_xyz"}


def test_speakers_of_a_story_share_a_cluster(tmp_path: Path) -> None:
    names = [f"{voice}/{story}_{side}.wav" for voice in "pq" for story in (4, 5) for side in ("correct", "incorrect")]
    write(tmp_path, *names)
    pairs = pairs_of(tmp_path)
    assert {(pair.id, pair.voice, pair.cluster) for pair in pairs} == {
        (f"{story}.{voice}", voice, story) for story in "45" for voice in "pq"
    }


def test_endings_are_put_behind_what_both_have_in_common(tmp_path: Path) -> None:
    write(tmp_path, "7_mutual.wav", "7_correct.wav", "7_incorrect.wav")
    for name, text in (("mutual", "A cat sat."), ("correct", "It\nslept."), ("incorrect", "He ran.")):
        (tmp_path / f"7_{name}.txt").write_text(f"{text}\n")
    (pair,) = pairs_of(tmp_path)
    assert pair.texts == ("A cat sat. It slept.", "A cat sat. He ran.")
    for opened, ending in zip(pair.open, (2, 3), strict=True):
        wave, rate = soundfile.read(opened(), dtype="float32")
        assert rate == RATE
        assert (wave * 32768).tolist() == [1] * (RATE // 2) + [ending] * (RATE // 2)
    # Channels are averaged, as elsewhere; and what is cut short is not taken.
    both = np.array([[6, 2]] * (RATE // 2), np.int16)
    soundfile.write(tmp_path / "7_correct.wav", both, RATE, subtype="PCM_16")
    cut_short = (tmp_path / "7_incorrect.wav").read_bytes()[:-100]
    (tmp_path / "7_incorrect.wav").write_bytes(cut_short)
    (pair,) = pairs_of(tmp_path)
    wave, _ = soundfile.read(pair.open[0](), dtype="float32")
    assert (wave * 32768).tolist() == [1] * (RATE // 2) + [4] * (RATE // 2)
    with pytest.raises(AudioError, match="truncated"):
        pair.open[1]()


# Order


@pytest.mark.parametrize("mark", ["_", "+"])
def test_slamkits_folders_are_paired_as_slamkit_does(tmp_path: Path, mark: str) -> None:
    """Numbers above nine, which the order of names would mix up, in two folders."""
    names = [f"{folder}/{number}{mark}{word}.wav" for folder in "ab" for number, word in enumerate("efghijklmnop")]
    random.Random(1).shuffle(names)
    write(tmp_path, *names)
    expected = set()
    for folder in sorted(tmp_path.iterdir()):
        ordered = sorted(folder.glob("*.wav"), key=lambda path: int(path.name.split(mark)[0]))
        both = [path.relative_to(tmp_path).as_posix() for path in ordered]
        expected |= {(both[2 * index], both[2 * index + 1]) for index in range(len(both) // 2)}
    assert {pair.sources for pair in pairs_of(tmp_path)} == expected
    assert len(expected) == 12


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["0_a.wav", "1_b.wav", "2_c.wav"], "3 recordings in it, so they are no pairs"),
        (["0_a.wav", "0_b.wav"], "0_a.wav and 0_b.wav have one number"),
        (["a.wav", "b.wav"], "no pairs"),
        (["a_correct.wav", "b_incorrect.wav"], "no pairs; the first of them misses a_incorrect"),
    ],
)
def test_what_is_no_set_of_pairs_is_refused(tmp_path: Path, names: list[str], words: str) -> None:
    write(tmp_path, *names)
    with pytest.raises(InputError, match=words):
        pairs_of(tmp_path)


# Archives


def zipped(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"set/dev/{file.relative_to(folder).as_posix()}")
        archive.writestr("__MACOSX/set/dev/._a.wav", b"x")
        archive.writestr("set/test/gold.csv", b"filename,id,voice,correct\n")


def tarred(mode: str) -> Callable[[Path, Path], None]:
    def make(folder: Path, path: Path) -> None:
        with tarfile.open(path, mode) as archive:
            archive.add(folder, "set/dev")

    return make


ARCHIVES = {"a.zip": zipped, "a.tar": tarred("w"), "a.tar.gz": tarred("w:gz"), "a.tar.bz2": tarred("w:bz2")}


@pytest.mark.parametrize("name", list(ARCHIVES))
def test_an_archive_gives_what_the_folder_gives(tmp_path: Path, name: str) -> None:
    """And in an order of pairs that is not the order of the archive."""
    rows = [word(f"{side}{n}", n, v, int(side == "w"), n) for side in "wn" for n in (3, 1, 2) for v in ("A", "B")]
    folder = gold(tmp_path / "f", [{**row, "filename": f"{row['filename']}{row['voice']}"} for row in rows])
    ARCHIVES[name](folder, tmp_path / name)
    splits = {"test": {"shards": 2}}
    whole = [
        collect(tmp_path / place, {**corpus, "splits": splits}, str(source), shard=shard)
        for place, corpus, source in (
            ("one", {"path": str(folder)}, folder),
            ("two", {"archives": [str(tmp_path / name)], "folder": "set/dev"}, tmp_path / name),
        )
        for shard in ("0000-of-0002", "0001-of-0002")
    ]
    for (first, records), (second, others) in zip(whole[:2], whole[2:], strict=True):
        assert records == others
        assert first["sha256"] == second["sha256"]
    assert sum(len(records) for _, records in whole[:2]) == 6
    assert not list((tmp_path / "downloads").glob("*"))


def test_what_is_wrong_with_an_archive_is_named(tmp_path: Path) -> None:
    write(tmp_path / "f", "a_correct.wav", "a_incorrect.wav")
    zipped(tmp_path / "f", tmp_path / "a.zip")

    def read(path: Path, folder: str = "") -> int:
        with archive_files([path], folder, tmp_path) as found:
            return len(found.recordings)

    assert read(tmp_path / "a.zip") == 2
    with pytest.raises(InputError, match=r"a\.zip in elsewhere/: no audio; it is in set/dev \(the key `folder`\)"):
        read(tmp_path / "a.zip", "elsewhere")
    with pytest.raises(InputError, match="no such archive"):
        read(tmp_path / "b.zip")
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        archive.add(tmp_path / "f", "f")
    (tmp_path / "cut.tar.bz2").write_bytes(bz2.compress(whole.getvalue())[:-20])
    with pytest.raises(InputError, match=r"cut\.tar\.bz2: truncated or damaged"):
        read(tmp_path / "cut.tar.bz2")
    # Between two members: tarfile would take it for whole.
    with tarfile.open(fileobj=io.BytesIO(whole.getvalue())) as archive:
        last = archive.getmembers()[-1].offset
    (tmp_path / "cut.tar").write_bytes(whole.getvalue()[:last])
    with pytest.raises(InputError, match=r"cut\.tar: truncated or damaged"):
        read(tmp_path / "cut.tar")


def test_two_archives_with_the_same_recordings_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "f", "a_correct.wav", "a_incorrect.wav")
    write(tmp_path / "g", "b_correct.wav", "b_incorrect.wav")
    for name in "fg":
        (tmp_path / name / "README.txt").write_text(name)
        zipped(tmp_path / name, tmp_path / f"{name}.zip")
    zipped(tmp_path / "f", tmp_path / "again.zip")
    with archive_files([tmp_path / "f.zip", tmp_path / "g.zip"], "set/dev", tmp_path) as found:
        assert len(list(folder_pairs(found))) == 2
    with (
        pytest.raises(InputError, match=r"f\.zip and .*again\.zip both have set/dev/a_correct\.wav"),
        archive_files([tmp_path / "f.zip", tmp_path / "again.zip"], "set/dev", tmp_path),
    ):
        pass


def test_one_place_alone() -> None:
    values = {"kind": "spoken_pairs", "task": "sblimp", "splits": {"test": {}}}
    for wrong in ({}, {"path": "a", "archives": ["b.zip"]}, {"path": "a", "folder": "b"}):
        with pytest.raises(ValueError, match=r"give one of repo|folder belongs to archives"):
            SpokenPairCorpus.model_validate({**values, **wrong})


def collect(
    folder: Path, corpus: dict[str, Any], source: str, shard: str = "0000-of-0001"
) -> tuple[dict[str, Any], list[Any]]:
    """The manifest and the records of one shard, as the command writes them."""
    listing.scan.cache_clear()
    values = {"kind": "spoken_pairs", "task": "swuggy", "splits": {"test": {}}, **corpus}
    settings = SpokenPairCorpus.model_validate(values).job("c", "test", shard).model_dump_json()
    assert source not in settings
    names = {"output": "a.parquet", "text": "t.jsonl", "manifest": "m.json", "quarantine": "q.jsonl"}
    flags = [part for flag, name in names.items() for part in (f"--{flag}", str(folder / name))]
    downloads = ["--downloads", str(folder.parent / "downloads")]
    collect_pairs.main(["--settings", settings, "--source", source, *flags, *downloads])
    manifest = files.read_json(folder / "m.json")
    assert len(list(read_speech(folder / "a.parquet"))) == manifest["utterances"]
    return manifest, files.read_jsonl(folder / "t.jsonl")
