"""Speech of stories: hibari, speech shards, and synthesize_stories."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import synthesize_stories as command
from slamflow import files
from slamflow.errors import InputError
from slamflow.sharding import shard_of
from slamflow.shards import speech as shards
from slamflow.text import grammar
from slamflow.tts import hibari_speaker, kokoro_speaker, utterances

KOKORO = Path(__file__).parents[2] / "resources/assets/kokoro"
VOICES = {"plain": 1.0, "high": 1.2}


@pytest.fixture(scope="module")
def speaker() -> hibari_speaker.Speaker:
    return hibari_speaker.Speaker()


def settings(split: str = "dev", **speech: Any) -> str:
    return json.dumps({"speech": {"voices": VOICES, **speech}, "corpus": "tiny", "split": split})


def run(
    folder: Path, stories: list[dict[str, Any]], given: str, *further: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    files.write_jsonl(folder / "in.jsonl", stories)
    output, manifest = folder / "out.parquet", folder / "out.json"
    arguments = ["--stories", str(folder / "in.jsonl"), "--output", str(output), "--manifest", str(manifest)]
    command.main(["--settings", given, *arguments, *further])
    return pq.read_table(output).to_pylist(), files.read_json(manifest)


def test_shard_of_dev_stories(tmp_path):
    stories = list(grammar.write_stories(0, "dev", 3))
    rows, manifest = run(tmp_path, stories, settings())
    parts = ("prompt", "ending", "wrong_detail")
    assert [row["id"] for row in rows] == [f"dev-00000{index}.{part}" for index in range(3) for part in parts]
    assert [row["text"] for row in rows] == [story[part] for story in stories for part in parts]
    assert pq.read_schema(tmp_path / "out.parquet").remove_metadata() == shards.SCHEMA
    for row in rows:
        with soundfile.SoundFile(io.BytesIO(row["audio"])) as file:
            assert (file.format, file.subtype, file.samplerate, file.channels) == ("FLAC", "PCM_16", 16000, 1)
            assert row["seconds"] == pytest.approx(file.frames / 16000, abs=1e-4)
            samples = file.read()
        assert 0.05 < np.abs(samples).max() <= 1.0
        assert row["source"] == f"tiny/dev/{row['id']}"
        assert row["start"] == 0.0
        assert row["speaker"] == utterances.voice_of(row["id"].split(".")[0], VOICES)
    assert 5 < rows[0]["seconds"] < 13
    assert 2 < rows[1]["seconds"] < 5
    assert (manifest["stories"], manifest["utterances"], manifest["set_aside"]) == (3, 9, [])
    assert manifest["seconds"] == pytest.approx(sum(row["seconds"] for row in rows), abs=0.01)
    assert manifest["sha256"] == files.sha256_file(tmp_path / "out.parquet")
    assert manifest["settings"]["speech"]["voices"] == VOICES


@pytest.mark.parametrize("split", ["train", "text", "validation"])
def test_whole_stories(split):
    story = next(grammar.write_stories(0, split, 1))
    assert command.utterances(story, split) == {story["id"]: story["text"]}


def test_stories_of_a_file_have_no_wrong_detail():
    story = {"id": "dev-1", "prompt": "A cat sat.", "ending": "It slept.", "wrong_detail": None}
    assert command.utterances(story, "dev") == {"dev-1.prompt": "A cat sat.", "dev-1.ending": "It slept."}


@pytest.mark.slow
def test_same_bytes_in_another_process_with_other_threads(tmp_path):
    stories = list(grammar.write_stories(0, "train", 2))
    run(tmp_path, stories, settings("train"))
    first, manifest = (tmp_path / "out.parquet").read_bytes(), (tmp_path / "out.json").read_bytes()
    arguments = ["--settings", settings("train"), "--stories", str(tmp_path / "in.jsonl")]
    arguments += ["--output", str(tmp_path / "again.parquet"), "--manifest", str(tmp_path / "again.json")]
    environment = {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "5", "PATH": ""}
    subprocess.run([sys.executable, command.__file__, *arguments], check=True, env=environment, capture_output=True)
    assert (tmp_path / "again.parquet").read_bytes() == first
    assert (tmp_path / "again.json").read_bytes() == manifest


@pytest.mark.slow
def test_an_utterance_does_not_depend_on_its_shard(tmp_path):
    stories = list(grammar.write_stories(0, "train", 3))
    together, _ = run(tmp_path, stories, settings("train"))
    alone, _ = run(tmp_path, stories[2:], settings("train"))
    assert alone == together[2:]
    assert (
        len({utterances.utterance_seed(seed, key) for seed in (0, 1) for key in ("dev-1.prompt", "dev-1.ending")}) == 4
    )
    other_seed, _ = run(tmp_path, stories[2:], settings("train", seed=1))
    assert other_seed[0]["audio"] != alone[0]["audio"]
    assert other_seed[0]["seconds"] == alone[0]["seconds"]


def test_what_cannot_be_spoken_is_listed_and_the_rest_done(tmp_path, caplog):
    texts = {"dev-1": "A cat sat down.", "dev-2": "...", "dev-3": "Кот спал.", "dev-4": "He paid $3.50 in 1999."}
    stories = [
        {"id": key, "prompt": text, "ending": "It was late.", "wrong_detail": None} for key, text in texts.items()
    ]
    rows, manifest = run(tmp_path, stories, settings())
    assert [row["id"] for row in rows] == ["dev-1.prompt", "dev-1.ending", "dev-4.prompt", "dev-4.ending"]
    assert manifest["set_aside"] == [
        {"id": "dev-2", "reason": "nothing in it can be spoken"},
        {"id": "dev-3", "reason": "'К' is no Latin letter"},
    ]
    assert manifest["stories"] == 2
    assert "dev-3 is set aside" in caplog.text


def test_no_stories(tmp_path):
    rows, manifest = run(tmp_path, [], settings())
    assert rows == []
    assert manifest["seconds"] == 0


def test_a_file_of_something_else(tmp_path):
    with pytest.raises(InputError, match="story dev-1: no key 'prompt'"):
        run(tmp_path, [{"id": "dev-1", "text": "A cat sat."}], settings())
    assert not (tmp_path / "out.parquet").exists()


# The engine


def pitch_hz(speech: np.ndarray) -> float:
    """Median pitch of voiced 40 ms frames, from the autocorrelation."""
    pitches = []
    for start in range(0, len(speech) - 640, 320):
        frame = speech[start : start + 640] - speech[start : start + 640].mean()
        correlation = np.correlate(frame, frame, "full")[639:]
        lag = 40 + int(np.argmax(correlation[40:267]))  # 60 to 400 Hz
        if correlation[0] > 0.1 and correlation[lag] > 0.5 * correlation[0]:
            pitches.append(16000 / lag)
    return float(np.median(pitches))


def test_a_voice_moves_pitch_but_not_tempo(speaker):
    text = "The old farmer pulled the wagon up the hill. Then he rang a bell near the barn."
    plain, high, low = (speaker.say(text, factor, 3) for factor in (1.0, 1.2, 0.85))
    assert pitch_hz(high) / pitch_hz(plain) == pytest.approx(1.2, rel=0.05)
    assert pitch_hz(low) / pitch_hz(plain) == pytest.approx(0.85, rel=0.05)
    assert len(high) / len(plain) == pytest.approx(1.0, abs=0.15)
    assert len(low) / len(plain) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.2])
def test_pauses_are_short_and_words_whole(speaker, factor):
    rate, text = utterances.SAMPLE_RATE_HZ, "Tom had a kite."
    speech = speaker.say(text, factor, 0)
    loud = np.flatnonzero(np.abs(speech) > 0.05 * np.abs(speech).max())
    assert 0.06 < loud[0] / rate < 0.16
    assert 0.12 < (len(speech) - loud[-1]) / rate < 0.4
    twice = speaker.say(f"{text} {text}", factor, 0)
    assert len(twice) == pytest.approx(2 * len(speech), abs=0.06 * rate)


def test_trim_keeps_what_is_heard():
    rate = 24_000
    tone = 0.3 * np.sin(np.arange(rate) * 0.1).astype(np.float32)
    silence = np.full(rate, 1e-4, np.float32)
    trimmed = hibari_speaker.trim(np.concatenate([silence, tone, silence]), 1.0)
    assert len(trimmed) / rate == pytest.approx(
        1 + hibari_speaker.PAUSE_BEFORE_S + hibari_speaker.PAUSE_AFTER_S, abs=0.02
    )
    start = round(hibari_speaker.PAUSE_BEFORE_S * rate)
    np.testing.assert_array_equal(trimmed[start : start + rate], tone)
    np.testing.assert_array_equal(hibari_speaker.trim(tone, 1.0), tone)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("“Don’t go—stay…”  he\tsaid\n", '"Don\'t go, stay." he said'),
        ("a\x00b\u200bc", "a b c"),
        ("café [click](/kæt/)", "café (click)(/kæt/)"),
        ("He paid $5 at 7:30.", "He paid $5 at 7:30."),
        ("e\u0301", "é"),
    ],
)
def test_speakable(text, said):
    assert utterances.speakable(text) == said


@pytest.mark.parametrize("text", ["", "   ", "...", "😀", '""', "\x00", "你好", "Tom said привет."])
def test_unspeakable(speaker, text):
    with pytest.raises(utterances.Unspeakable):
        speaker.say(text, 1.0, 0)


def test_long_sentences_are_spoken_in_pieces(speaker):
    words = ["red"] * 130
    assert [len(piece.split()) for piece in hibari_speaker.split_long([" ".join(words), "one two"])] == [43, 43, 44, 2]
    assert len(speaker.say(" ".join(words), 1.0, 0)) / utterances.SAMPLE_RATE_HZ > 20


def test_voices_are_spread_evenly_and_not_by_shard():
    voices = {"a": 1.0, "b": 0.9, "c": 1.1, "d": 1.2}
    chosen = [utterances.voice_of(f"train-{index:06d}", voices) for index in range(2000)]
    assert all(420 < chosen.count(name) < 580 for name in voices)
    assert chosen[:50] == [utterances.voice_of(f"train-{i:06d}", dict(reversed(voices.items()))) for i in range(50)]
    of_one_shard = [voice for index, voice in enumerate(chosen) if shard_of(f"train-{index:06d}", 4) == 0]
    assert all(85 < of_one_shard.count(name) < 165 for name in voices)


def told(split: str, **speech: Any) -> str:
    return json.dumps({"speech": speech, "corpus": "tiny", "split": split})


def test_another_engine_speaks_each_story_in_one_of_its_voices(tmp_path, monkeypatch):
    said = []

    class StandIn:
        def __init__(self, model: Path) -> None:
            assert model == tmp_path / "model"

        def say(self, text: str, voice: str) -> np.ndarray:
            said.append((text, voice))
            return np.full(8000, 0.5, np.float32)

    monkeypatch.setattr(kokoro_speaker, "Kokoro", StandIn)
    stories = list(grammar.write_stories(0, "dev", 6))
    given = told("dev", engine="kokoro", voices=["bm_lewis", "af_heart"])
    rows, manifest = run(tmp_path, stories, given, "--model", str(tmp_path / "model"))
    assert [(row["text"], row["speaker"]) for row in rows] == said
    assert all(row["seconds"] == 0.5 for row in rows)
    by_story = {row["id"].split(".")[0]: set() for row in rows}
    for row in rows:
        by_story[row["id"].split(".")[0]].add(row["speaker"])
    assert all(len(voices) == 1 for voices in by_story.values())
    assert set.union(*by_story.values()) == {"af_heart", "bm_lewis"}
    assert manifest["settings"]["speech"]["engine"] == "kokoro"


def test_an_engine_without_its_folder(tmp_path):
    with pytest.raises(InputError, match="--model: the engine kokoro needs the folder"):
        run(tmp_path, [], told("dev", engine="kokoro", voices=["af_heart"]))
    with pytest.raises(InputError, match=r"no model\.onnx"):
        run(tmp_path, [], told("dev", engine="kokoro", voices=["af_heart"]), "--model", str(tmp_path))
    with pytest.raises(InputError, match="no Piper voice"):
        run(tmp_path, [], told("dev", engine="piper", voices=["joe"], model="x"), "--model", str(tmp_path))


@pytest.mark.skipif(not (KOKORO / "af_heart.bin").is_file(), reason="the asset kokoro was not fetched")
def test_the_real_kokoro_says_the_same_again(tmp_path):
    story = next(grammar.write_stories(0, "train", 1))
    given = told("train", engine="kokoro", voices=["af_heart"])
    rows, _ = run(tmp_path, [story], given, "--model", str(KOKORO))
    again, _ = run(tmp_path, [story], given, "--model", str(KOKORO))
    assert rows == again
    assert 0.15 < rows[0]["seconds"] / len(story["text"].split()) < 0.6
