"""Recorded corpora: what is planned, what a new or a broken file does, where a folder is sought."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from .conftest import Checkout

pytestmark = pytest.mark.slow
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def folder_of(work: Path, count: int) -> Path:
    """A folder with `count` recordings of two speakers; the fake commands do not open them."""
    folder = work / "mine"
    for number in range(count):
        path = folder / f"speaker{number % 2}/{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
    return folder


def test_every_kind_of_recordings_is_planned(checkout: Checkout) -> None:
    folder_of(checkout.work, 6)
    with tarfile.open(checkout.work / "mine.tar", "w") as archive:
        archive.add(checkout.work / "mine", "mine")
    checkout.edit_recipe(
        corpora={
            "folder": {"kind": "folder", "path": "mine", "splits": {"train": {"shards": 2}}},
            "archive": {"kind": "archive", "layout": "folder", "splits": {"train": {"archives": ["mine.tar"]}}},
            "hub": {
                "kind": "hub",
                "repo": "a/b",
                "revision": COMMIT,
                "splits": {"train": {"files": ["*"], "shards": 3}},
            },
        },
        datasets={"speech": {"train": ["stories/train", "folder/train", "archive/train", "hub/train"]}},
    )
    due = checkout.due("units")
    assert due == {"collect_audio": 3, "stream_audio": 3, "extract_units": 6}
    checkout.run("rows")
    assert (checkout.work / "results/audio/archive/train/0000-of-0001.parquet").is_file()
    assert checkout.due("rows") == Counter()


def test_a_new_recording_concerns_its_shard_alone_and_a_moved_folder_none(checkout: Checkout) -> None:
    mine = folder_of(checkout.work, 40)
    corpus = {"kind": "folder", "path": "mine", "splits": {"train": {"shards": 8}}}
    checkout.edit_recipe(corpora={"mine": corpus}, datasets={"speech": {"train": ["stories/train", "mine/train"]}})
    checkout.run("units")
    assert checkout.due("units") == Counter()
    mine.rename(checkout.work / "elsewhere")
    checkout.edit_recipe(corpora={"mine": {"path": "elsewhere"}})
    assert checkout.due("units") == Counter()
    (checkout.work / "elsewhere/speaker0/new.wav").write_bytes(b"more sound")
    assert checkout.due("units") == {"collect_audio": 1, "extract_units": 1}


def test_a_folder_is_sought_in_the_working_folder_first(checkout: Checkout) -> None:
    target = "results/audio/examples/validation/0000-of-0001.parquet"
    (checkout.work / target).unlink()
    shown = checkout.snakemake(target, "--dry-run", "--printshellcmds").stdout
    assert f"--source {checkout.code}/examples/speech" in shown
    shutil.copytree(checkout.code / "examples", checkout.work / "examples")
    shown = checkout.snakemake(target, "--dry-run", "--printshellcmds").stdout
    assert "--source examples/speech" in shown


def test_a_broken_recording_is_set_aside_and_the_rest_done(checkout: Checkout) -> None:
    mine = checkout.work / "mine"
    shutil.copytree(checkout.code / "examples/speech/af_heart", mine / "af_heart")
    (mine / "af_heart/0/broken.flac").write_bytes(b"fLaC and then nothing")
    checkout.edit_recipe(corpora={"mine": {"kind": "librispeech", "path": "mine", "splits": {"train": {}}}})
    stem = checkout.work / "results/audio/mine/train/0000-of-0001"
    # The real command, not the one that only writes files.
    checkout.snakemake(
        f"{stem.relative_to(checkout.work)}.parquet", "--configfile", "small.yaml", PATH=os.environ["PATH"]
    )
    manifest = json.loads(stem.with_suffix(".json").read_text())
    assert (manifest["recordings"], manifest["quarantined"]) == (4, 1)
    (line,) = stem.with_suffix(".quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == "af_heart/0/broken.flac"


def test_another_voice_of_kokoro_speaks_anew_from_its_files(checkout: Checkout) -> None:
    speech = {"engine": "kokoro", "voices": ["af_heart"]}
    told = {"kind": "stories", "speech": speech, "splits": {"train": {"stories": 4}}}
    checkout.edit_recipe(corpora={"told": told}, datasets={"speech": {"train": ["stories/train", "told/train"]}})
    due = checkout.due("units")
    assert due == {"fetch_asset": 5, "write_stories": 1, "synthesize_stories": 1, "extract_units": 1}
    checkout.run("units")
    checkout.edit_recipe(corpora={"told": {"speech": {"voices": ["bm_lewis"]}}})
    assert checkout.due("units") == {"fetch_asset": 1, "synthesize_stories": 1, "extract_units": 1}


def test_other_voices_to_compare_rerun_no_score(checkout: Checkout) -> None:
    assert (checkout.work / "results/units/whisper/examples/voices.json").is_file()
    checkout.edit_recipe(evaluation={"voices": ["examples", "stories"]})
    due = checkout.due()
    assert due["compare_voices"] == 1
    assert due["score_benchmarks"] == due["train"] == 0


HUB = {
    "kind": "hub",
    "repo": "a/b",
    "revision": COMMIT,
    "splits": {"train": {"files": ["*"], "shards": 3}, "validation": {"files": ["v*"]}},
}
HUB_SPEECH = {"train": ["stories/train", "hub/train"], "validation": ["stories/validation", "hub/validation"]}


def audio_of(checkout: Checkout, corpus: str) -> list[str]:
    """The speech shards of a corpus that are on disk."""
    found = [
        path for place in ("audio", "streams/*") for path in checkout.work.glob(f"results/{place}/{corpus}/*/*.parquet")
    ]
    return sorted(f"{path.parent.name}/{path.name[:4]}" for path in found)


def test_speech_that_can_be_had_again_is_dropped_and_not_fetched_again(checkout: Checkout) -> None:
    checkout.edit_recipe(corpora={"hub": HUB}, datasets={"speech": HUB_SPEECH})
    assert checkout.due("units") == {"stream_audio": 4, "extract_units": 4}
    checkout.run("units")
    assert audio_of(checkout, "hub") == []
    assert len(list((checkout.work / "results/units/whisper/hub").glob("*/*.parquet"))) == 4
    assert checkout.due("units") == Counter()
    checkout.run("rows")
    assert checkout.due("rows") == Counter()
    # More shards fetch anew what is not encoded yet; a deleted shard of units asks for its own speech alone.
    (checkout.work / "results/units/whisper/hub/train/0001-of-0003.parquet").unlink()
    assert checkout.due("units") == {"stream_audio": 1, "extract_units": 1}
    checkout.run("units")
    # A second encoder needs the speech once more, and then it is gone again; the first has nothing to do.
    other = {"kind": "logmel", "clusters": 10, "fit": {"corpora": ["stories/validation"]}}
    second = {"encoder": "second", "train": ["hub/train"]}
    checkout.edit_recipe(encoders={"second": other}, datasets={"second": second})
    due = checkout.due("rows")
    assert due["stream_audio"] == due["extract_units"] == 3
    checkout.run("rows")
    assert audio_of(checkout, "hub") == []
    # It is noticed that speech which is not there would be another now.
    checkout.edit_recipe(corpora={"hub": {"max_seconds": 20.0}})
    assert checkout.due("units") == {"stream_audio": 7, "extract_units": 7}


def test_few_shards_are_ahead_of_the_encoder_and_an_old_one_is_made_again_alone(checkout: Checkout) -> None:
    splits = {"train": {"files": ["*"], "shards": 36}}
    checkout.edit_recipe(
        corpora={"hub": {**HUB, "splits": splits}}, datasets={"speech": {"train": ["stories/train", "hub/train"]}}
    )
    shown = checkout.snakemake("units", "--dry-run", "--configfile", "small.yaml").stdout
    waiting = re.findall(r"rule stream_audio:\n +input: .*/(\d{4})-of-0036\.json\n +output: .*?/(\d{4})-of", shown)
    assert sorted(waiting) == [(f"{index:04d}", f"{index + 32:04d}") for index in range(4)]
    checkout.run("units")
    assert checkout.due("units") == Counter()
    (checkout.work / "results/units/whisper/hub/train/0001-of-0036.parquet").unlink()
    assert checkout.due("units") == {"stream_audio": 1, "extract_units": 1}


def test_speech_that_a_codebook_a_vocoder_or_prompts_are_made_of_stays(checkout: Checkout) -> None:
    test = {"files": ["t*"]}
    checkout.edit_recipe(
        corpora={"hub": {**HUB, "splits": {**HUB["splits"], "test": test}}},
        datasets={"speech": HUB_SPEECH},
        encoders={"whisper": {"fit": {"corpora": ["stories/validation", "hub/validation"]}}},
        generation={"corpus": "hub"},
    )
    due = checkout.due("all")
    assert (due["stream_audio"], due["collect_audio"]) == (3, 2)
    checkout.run()
    assert audio_of(checkout, "hub") == ["test/0000", "validation/0000"]


def test_downloaded_archives_are_streamed_and_ones_own_are_kept(checkout: Checkout) -> None:
    folder_of(checkout.work, 6)
    with tarfile.open(checkout.work / "mine.tar", "w") as archive:
        archive.add(checkout.work / "mine", "mine")
    source = {"sources": [f"file://{checkout.work}/mine.tar"], "checksum": "unpublished"}
    splits = {"train": {"archives": ["asset:far/a.tar"]}}
    own = {"train": {"archives": ["mine.tar"]}}
    checkout.edit_recipe(
        assets={"far": {"licence": "x", "citation": "x", "files": {"a.tar": source}}},
        corpora={
            "far": {"kind": "archive", "layout": "folder", "splits": splits},
            "own": {"kind": "archive", "layout": "folder", "splits": own},
        },
        datasets={"speech": {"train": ["stories/train", "far/train", "own/train"]}},
    )
    assert checkout.due("units") == {"fetch_asset": 1, "stream_audio": 1, "collect_audio": 1, "extract_units": 2}
    checkout.run("units")
    assert audio_of(checkout, "far") == []
    assert audio_of(checkout, "own") == ["train/0000"]
    assert checkout.due("units") == Counter()


def test_an_unpinned_dataset_is_pinned_once_for_all_its_shards(checkout: Checkout) -> None:
    unpinned = {**HUB, "revision": "unpinned"}
    pairs = {"kind": "spoken_pairs", "task": "sblimp", "repo": "a/b", "revision": "unpinned", "files": ["*"]}
    checkout.edit_recipe(
        corpora={"hub": unpinned, "published": {**pairs, "splits": {"test": {"shards": 2}}}},
        datasets={"speech": HUB_SPEECH},
        benchmarks={"published": {"kind": "sblimp", "corpus": "published", "encoder": "whisper", "models": ["cold"]}},
    )
    due = checkout.due("units")
    assert due == {"pin_revision": 1, "stream_audio": 4, "collect_pairs": 2, "extract_units": 6}
    checkout.run("units")
    assert (checkout.work / "resources/revisions/a--b.json").is_file()
    assert checkout.due("units") == Counter()
    # One part alone is scored.
    due = checkout.due("scores")
    assert due["build_benchmark"] == 1


def test_commands_of_many_shards_fit(checkout: Checkout) -> None:
    splits = {"train": {"files": ["*"], "shards": 400}}
    checkout.edit_recipe(
        corpora={"hub": {**HUB, "splits": splits}}, datasets={"speech": {"train": ["stories/train", "hub/train"]}}
    )
    target = "results/rows/speech/train/manifest.json"
    shown = checkout.snakemake(target, "--dry-run", "--printshellcmds", "--configfile", "small.yaml").stdout
    command = shown[shown.index("pack_tokens.py") :].split("2>&1")[0]
    assert "results/units/whisper/hub/train/????-of-0400.parquet" in command
    assert "results/units/whisper/stories/train/????-of-0004.parquet" in command
    assert len(command) < 10_000
