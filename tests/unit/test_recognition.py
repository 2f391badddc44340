"""Recognizers and error rates: slow oracles, and speech of which it is known what was said."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soxr
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.feature_extractor import FeatureExtractor
from hibari import Hibari
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

from slamflow.assets.ctranslate2_model import read_model, read_shapes
from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.recognition import whisper
from slamflow.recognition.error_rates import error_rate, errors, words
from slamflow.recognition.phones import PhoneRecognizer, Pronouncer
from slamflow.recognition.whisper import WhisperRecognizer

ASSET = Path(__file__).parents[2] / "resources" / "assets" / "whisper_tiny_en"
SENTENCES = ("The rabbit found a red kite under the tree.", "Lily was very happy and hugged the old dog.")


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    """The sentences, spoken, at 16 kHz."""
    voice = Hibari()
    return [soxr.resample(voice(text, seed=0), 24000, 16000).astype(np.float32) for text in SENTENCES]


# Error rates


def slow_distance(first: list[str], second: list[str]) -> int:
    """Edit distance by its definition."""
    if not first or not second:
        return len(first) + len(second)
    if first[-1] == second[-1]:
        return slow_distance(first[:-1], second[:-1])
    shorter = ((first[:-1], second), (first, second[:-1]), (first[:-1], second[:-1]))
    return 1 + min(slow_distance(*pair) for pair in shorter)


@pytest.mark.parametrize("seed", range(30))
def test_errors_are_the_edit_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (list(rng.choice(["ab", "b", "c"], size=rng.integers(0, 7))) for _ in range(2))
    assert errors(first, second) == slow_distance(first, second)


def test_rate_is_over_all_utterances() -> None:
    references = [list("abcdef"), ["no"]]
    recognized = [list("abcdxf"), ["oh", "no", "no"]]
    assert error_rate(references, recognized) == pytest.approx(3 / 7)
    assert error_rate(references, [[], []]) == 1.0
    with pytest.raises(ValueError, match="no reference"):
        error_rate([[]], [["a"]])
    with pytest.raises(ValueError, match="shorter"):
        error_rate(references, recognized[:1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom's dog, Rex, ran!", "tom is dog rex ran"),
        ("It cost twenty-five coins.", "it cost 25 coins"),
        ("He didn't [noise] go.", "he did not go"),
        ("...", ""),
    ],
)
def test_words_are_what_is_said_whatever_the_spelling(text: str, expected: str) -> None:
    assert " ".join(words(text)) == expected


# Phones


def test_phones_of_clear_speech_are_those_of_its_text(speech: list[np.ndarray]) -> None:
    pronounce, recognize = Pronouncer(), PhoneRecognizer()
    said = [pronounce(text) for text in SENTENCES]
    heard = [recognize(wave) for wave in speech]
    assert error_rate(said, heard) < 0.15
    assert error_rate(said, heard[::-1]) > 0.6


def test_phones_of_damaged_speech_are_not(speech: list[np.ndarray]) -> None:
    pronounce, recognize = Pronouncer(), PhoneRecognizer()
    backwards = [np.ascontiguousarray(wave[::-1]) for wave in speech]
    assert error_rate([pronounce(text) for text in SENTENCES], [recognize(wave) for wave in backwards]) > 0.5


def test_pronunciation_is_by_word() -> None:
    pronounce = Pronouncer()
    assert pronounce("Kite!") == ["k", "aɪ", "t"]
    assert pronounce("The kite, the DOG.") == [
        *pronounce("the"),
        *pronounce("kite"),
        *pronounce("the"),
        *pronounce("dog"),
    ]
    assert pronounce("...") == []


def test_too_short_a_sound_has_no_phones() -> None:
    assert PhoneRecognizer()(np.zeros(10, np.float32)) == []
    assert PhoneRecognizer()(np.zeros(16000, np.float32)) == []


# Words


class Segment(NamedTuple):
    text: str


class Model:
    """Stands in for faster-whisper's: hears the length of a sound, and remembers how it was asked."""

    asked: list[dict[str, Any]] = []

    def __init__(self, *_: Any, **options: Any) -> None:
        self.options = options

    def transcribe(self, wave: np.ndarray, **options: Any) -> tuple[list[Segment], None]:
        self.asked.append(options)
        return ([Segment(f" {len(wave)} "), Segment(" samples.")] if len(wave) > 10 else []), None


def test_transcripts_keep_their_order_and_are_greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "WhisperModel", Model)
    monkeypatch.setattr(Model, "asked", [])
    recognizer = WhisperRecognizer(Path("anywhere"), workers=3)
    waves = [np.zeros(length, np.float32) for length in (100, 5, 700, 300, 40 * 16000)]
    assert list(recognizer.transcribe_all(waves)) == [
        *("100 samples.", "", "700 samples.", "300 samples.", "640000 samples.")
    ]
    for options in Model.asked:
        assert (options["language"], options["temperature"], options["beam_size"]) == ("en", 0.0, 1)
        assert options["condition_on_previous_text"] is False
    # Only what is longer than Whisper's window has to be cut, which needs times.
    assert sorted(options["without_timestamps"] for options in Model.asked) == [False, True, True, True, True]


class WithoutCublas(Model):
    """What CTranslate2 does where its libraries are missing: it loads, and fails when it computes."""

    def transcribe(self, wave: np.ndarray, **options: Any) -> tuple[list[Segment], None]:
        if self.options["device"] == "cuda":
            raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")
        return super().transcribe(wave, **options)


def test_without_the_libraries_of_cuda_the_recognizer_takes_the_cpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(whisper.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(whisper, "load_cublas", lambda: None)
    wave = np.zeros(100, np.float32)
    for kind, device, number in ((WithoutCublas, "cpu", "int8_float32"), (Model, "cuda", "float16")):
        caplog.clear()
        monkeypatch.setattr(whisper, "WhisperModel", kind)
        recognizer = WhisperRecognizer(Path("anywhere"))
        assert recognizer.transcribe(wave) == "100 samples."
        assert (recognizer.device, recognizer.model.options["device"]) == (device, device)
        assert recognizer.model.options["compute_type"] == number
        assert ("pip install -r requirements-gpu.txt" in caplog.text) == (device == "cpu")
    monkeypatch.setattr(whisper.torch.cuda, "is_available", lambda: False)
    assert WhisperRecognizer(Path("anywhere")).device == "cpu"


def test_the_cublas_that_pip_installed_is_loaded_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site/nvidia/cublas/lib"
    folder.mkdir(parents=True)
    loaded: list[str] = []
    monkeypatch.setattr(whisper.sys, "path", [str(tmp_path / "site"), str(tmp_path / "nowhere")])
    monkeypatch.setattr(whisper.ctypes, "CDLL", lambda path, **_: loaded.append(Path(path).name))
    whisper.load_cublas()
    assert loaded == []
    for name in ("libcublas.so.12", "libcublasLt.so.12"):
        (folder / name).touch()
    whisper.load_cublas()
    assert loaded == ["libcublasLt.so.12", "libcublas.so.12"]


@pytest.mark.parametrize(("seconds", "frames"), [(0.0, 1500), (1.0, 1500), (12.4, 1500), (12.6, 3000), (31.0, 3000)])
def test_speech_that_leaves_silence_behind_is_heard_in_half_a_window(
    seconds: float, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[np.ndarray] = []
    monkeypatch.setattr(WhisperModel, "encode", lambda _, features: asked.append(features))
    noise = np.random.default_rng(0).normal(size=round(seconds * SAMPLE_RATE)).astype(np.float32)
    features = FeatureExtractor()(noise) if noise.size else np.zeros((80, 0), np.float32)
    window = pad_or_trim(features[:, : round(seconds * 100)])  # what faster-whisper makes of it
    object.__new__(whisper.ShortWindowWhisper).encode(window)
    assert asked[0].shape == (80, frames)
    np.testing.assert_array_equal(asked[0], window[:, :frames])


@pytest.mark.parametrize(("width", "tiny"), [(384, True), (512, False)])
def test_only_a_tiny_model_hears_half_a_window(width: int, tiny: bool, tmp_path: Path) -> None:
    """Models as CTranslate2's own converter writes them, with the states of tiny and of base."""
    converters = pytest.importorskip("ctranslate2.converters")
    config = WhisperConfig(
        vocab_size=1000,
        d_model=width,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        **{f"{name}_token_id": 257 for name in ("pad", "bos", "eos", "decoder_start")},
    )
    WhisperForConditionalGeneration(config).save_pretrained(tmp_path / "original")
    specials = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(["<unk>", *specials])}, "<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(tmp_path / "original")
    converter = converters.TransformersConverter(str(tmp_path / "original"), copy_files=["tokenizer.json"])
    converter.convert(str(tmp_path / "any_name"))
    path = tmp_path / "any_name/model.bin"
    assert read_shapes(path) == {name: tuple(tensor.shape) for name, tensor in read_model(path).variables.items()}
    assert whisper.is_tiny(tmp_path / "any_name") == tiny
    kind = type(WhisperRecognizer(tmp_path / "any_name").model)
    assert kind is (whisper.ShortWindowWhisper if tiny else WhisperModel)


def test_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a CTranslate2 Whisper folder"):
        WhisperRecognizer(tmp_path)


@pytest.mark.skipif(not (ASSET / "model.bin").is_file(), reason="the asset whisper_tiny_en has not been fetched")
def test_whisper_hears_what_was_said(speech: list[np.ndarray]) -> None:
    recognizer = WhisperRecognizer(ASSET, workers=2)
    heard = list(recognizer.transcribe_all(speech))
    assert error_rate([words(text) for text in SENTENCES], [words(text) for text in heard]) < 0.1
    assert heard == list(WhisperRecognizer(ASSET).transcribe_all(speech))
