"""Kokoro: what the model is fed with, how long texts are cut, what comes out. The model itself is a stand-in here."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import soundfile

from slamflow.errors import InputError
from slamflow.tts.kokoro_speaker import CHUNK_PHONEMES, MAX_PHONEMES, Kokoro, chunks
from slamflow.tts.utterances import Unspeakable

ASSET = Path(__file__).parents[2] / "resources/assets/kokoro"
EXAMPLES = Path(__file__).parents[2] / "examples"


class StandIn:
    """Answers each token with 600 samples of a tone of 1 kHz, and remembers what it was fed."""

    def __init__(self, model: bytes, *_: Any, **__: Any) -> None:
        self.model = model
        self.fed: list[dict[str, np.ndarray]] = []

    def run(self, _names: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.fed.append(feed)
        samples = np.arange(600 * feed["tokens"].shape[1])
        return [(2.0 * np.sin(2 * np.pi * 1000 * samples / 24_000)).astype(np.float32)]


@pytest.fixture
def kokoro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kokoro:
    monkeypatch.setattr(onnxruntime, "InferenceSession", StandIn)
    for number, part in enumerate((b"one", b"two", b"three"), start=1):
        (tmp_path / f"model.onnx.{number}").write_bytes(part)
    for number, voice in enumerate(("af_heart", "bm_lewis")):
        pack = np.repeat(np.arange(MAX_PHONEMES, dtype="<f4") + 1000 * number, 256)
        pack.tofile(tmp_path / f"{voice}.bin")
    return Kokoro(tmp_path)


def test_the_parts_of_the_model_are_joined(kokoro: Kokoro) -> None:
    assert kokoro.session.model == b"onetwothree"
    assert kokoro.voices == ["af_heart", "bm_lewis"]


def test_the_model_is_fed_with_phonemes_and_the_style_for_their_number(kokoro: Kokoro) -> None:
    kokoro.say("Hello there.", "af_heart")
    kokoro.say("Hello there.", "bm_lewis")
    american, british = kokoro.session.fed
    phonemes = "həlˈO ðˈɛɹ."
    assert american["tokens"].tolist() == [[0, *(kokoro.token_of[phoneme] for phoneme in phonemes), 0]]
    assert kokoro.phonemes("Hello there.", british=True) == ["həlˈQ ðˈɛː."]
    # Row n - 1 of the pack is for n phonemes.
    assert american["style"].shape == (1, 256)
    assert (american["style"] == len(phonemes) - 1).all()
    assert (british["style"] == 1000 + len("həlˈQ ðˈɛː.") - 1).all()
    assert american["speed"].tolist() == [1.0]


def test_speech_is_16_khz_in_range_and_the_same_each_time(kokoro: Kokoro) -> None:
    speech = kokoro.say("Hello there.", "af_heart")
    assert speech.dtype == np.float32
    assert len(speech) == 600 * (len("həlˈO ðˈɛɹ.") + 2) * 2 // 3
    spectrum = np.abs(np.fft.rfft(speech))
    assert np.argmax(spectrum) * 16_000 / len(speech) == pytest.approx(1000, abs=4)
    assert np.abs(speech).max() <= 1.0
    np.testing.assert_array_equal(kokoro.say("Hello there.", "af_heart"), speech)


def test_long_texts_are_spoken_in_pieces_that_fit(kokoro: Kokoro) -> None:
    text = "Mr. Brown of No. 10 had a cat, a dog, and two hens. " * 40
    kokoro.say(text, "af_heart")
    lengths = [feed["tokens"].shape[1] - 2 for feed in kokoro.session.fed]
    assert len(lengths) > 5
    assert max(lengths) <= CHUNK_PHONEMES
    # The full stop of `Mr.` ends nothing: each piece is a whole number of sentences.
    stop = kokoro.token_of["."]
    assert all(feed["tokens"][0, -2] == stop for feed in kokoro.session.fed)


@pytest.mark.parametrize("text", ["", " \n", "...", "?! -", "Привет."])
def test_what_cannot_be_said_is_refused(kokoro: Kokoro, text: str) -> None:
    with pytest.raises(Unspeakable):
        kokoro.say(text, "af_heart")
    assert kokoro.session.fed == []


def test_missing_and_wrong_files_are_named(kokoro: Kokoro, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no voice 'zz_top'; there are af_heart, bm_lewis"):
        kokoro.say("Hello.", "zz_top")
    (tmp_path / "af_sky.bin").write_bytes(bytes(100))
    with pytest.raises(InputError, match=r"af_sky\.bin: no voice pack"):
        kokoro.say("Hello.", "af_sky")
    with pytest.raises(InputError, match=r"no model\.onnx\.1"):
        Kokoro(tmp_path / "elsewhere")


def test_chunks_lose_no_phoneme_and_keep_sentences_whole() -> None:
    rng = random.Random(0)
    for _ in range(300):
        sentences = []
        for _ in range(rng.randrange(1, 9)):
            words = ["".join(rng.choices("abɹˈə", k=rng.randrange(1, 9))) + "a" for _ in range(rng.randrange(1, 12))]
            words = [word + rng.choice(["", "", ","]) for word in words]
            sentences.append(" ".join(words) + rng.choice([".", "?", "!”", "…"]))
        text = rng.choice([" ", "  "]).join(sentences)
        longest = rng.choice([12, 40, 120])
        found = chunks(text, longest)
        assert "".join(found).replace(" ", "") == text.replace(" ", "")
        assert all(0 < len(chunk) <= longest for chunk in found)
        for sentence in sentences:
            if len(sentence) <= longest:
                assert any(sentence in chunk for chunk in found)
        # As few as a greedy reader makes: no chunk could have taken in the next one.
        assert all(len(left) + 1 + len(right) > longest for left, right in pairwise(found))


def test_a_word_longer_than_a_chunk_is_cut() -> None:
    assert chunks("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]
    assert chunks("aaa, bbb ccc. ddd", 9) == ["aaa,", "bbb ccc.", "ddd"]
    assert chunks("aa. ?! bb.", 4) == ["aa.", "bb."]


@pytest.mark.skipif(not (ASSET / "model.onnx.4").is_file(), reason="the asset kokoro was not fetched")
def test_the_real_model_speaks_the_examples() -> None:
    rows = [line.split("\t") for line in (EXAMPLES / "sentences.tsv").read_text(encoding="utf-8").splitlines()]
    name, sentence = rows[0]
    speaker, chapter, _ = name.split("-")
    shipped, _ = soundfile.read(EXAMPLES / "speech" / speaker / chapter / f"{name}.flac", dtype="float32")
    speech = Kokoro(ASSET).say(sentence, speaker)
    overlap = np.correlate(speech, shipped[8000:24000], mode="valid").max()
    assert overlap > 0.95 * np.square(shipped[8000:24000]).sum()
