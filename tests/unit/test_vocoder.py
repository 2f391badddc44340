"""The vocoder against slow loops, and on a language of tones in which every unit has a pitch and a length."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

import score_vocoder
import train_vocoder
from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.evaluation import intelligibility
from slamflow.evaluation.intelligibility import Heard, Utterance, choose, in_threads, rates, summarize
from slamflow.evaluation.phone_purity import Spans
from slamflow.recognition import phones, whisper
from slamflow.shards.speech import SCHEMA as SPEECH_SCHEMA
from slamflow.shards.units import SCHEMA as UNIT_SCHEMA
from slamflow.vocoders.fitting import batches, choose_utterances, cut, rate
from slamflow.vocoders.job_settings import TrainVocoder
from slamflow.vocoders.network import held, repeat
from slamflow.vocoders.spectrogram import HOP, WINDOW, Spectrogram
from slamflow.vocoders.synthesis import PEAK, MelVocoder, new_network
from slamflow.vocoders.trained import TrainedVocoder, VocoderTraining
from slamflow.vocoders.vocoder import load_vocoder

FRAME = 640
"""Samples of a unit's frame at 25 Hz."""
PITCHES = [300, 500, 800, 1200, 1800, 2700]
LENGTHS = [1, 2, 3, 4, 6, 8]
"""Pitch in Hz and length in frames of each unit of the tone language."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def say(units: list[int]) -> np.ndarray:
    time = np.arange(sum(LENGTHS[unit] for unit in units) * FRAME) / SAMPLE_RATE
    pitch = np.concatenate([np.full(LENGTHS[unit] * FRAME, PITCHES[unit]) for unit in units])
    return (0.3 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


def sentence(seed: int, length: int = 30) -> list[int]:
    rng = np.random.default_rng(seed)
    units = [int(rng.integers(len(PITCHES)))]
    while len(units) < length:
        unit = int(rng.integers(len(PITCHES)))
        if unit != units[-1]:
            units.append(unit)
    return units


def write_corpus(folder: Path, count: int, speakers: tuple[str, ...] = ("flute",)) -> tuple[Path, Path]:
    """A speech shard and a unit shard of the tone language."""
    spoken, encoded = [], []
    for index in range(count):
        units = sentence(index)
        data = io.BytesIO()
        soundfile.write(data, say(units), SAMPLE_RATE, format="FLAC")
        seconds = len(say(units)) / SAMPLE_RATE
        common = {"id": f"s{index}", "speaker": speakers[index % len(speakers)], "text": "one day", "start": 0.0}
        spoken.append({**common, "audio": data.getvalue(), "source": f"s{index}", "seconds": seconds})
        encoded.append(
            {
                **common,
                "corpus": "tones",
                "split": "train",
                "audio": f"s{index}",
                "seconds": seconds,
                "units": units,
                "durations": [LENGTHS[unit] for unit in units],
            }
        )
    pq.write_table(pa.Table.from_pylist(spoken, SPEECH_SCHEMA), folder / "audio.parquet")
    pq.write_table(pa.Table.from_pylist(encoded, UNIT_SCHEMA), folder / "units.parquet")
    return folder / "audio.parquet", folder / "units.parquet"


def settings(**training: Any) -> TrainVocoder:
    small = {"width": 32, "blocks": 2, "steps": 3, "hours": 0.1, "batch_seconds": 40.0, **training}
    vocoder = TrainedVocoder(corpora=["c/train"], held_out=["c/test"], training=VocoderTraining(**small))
    return TrainVocoder(vocoder=vocoder, units=len(PITCHES), frame_rate_hz=25.0)


def run_training(folder: Path, output: Path, **training: Any) -> Path:
    train_vocoder.main(
        [
            *("--settings", settings(**training).model_dump_json(), "--output", str(output)),
            *("--audio", str(folder / "audio.parquet"), "--units", str(folder / "units.parquet")),
        ]
    )
    return output


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> MelVocoder:
    """A vocoder that had a few seconds to learn the tone language."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tones")
    write_corpus(folder, 24)
    return load_vocoder(run_training(folder, folder / "vocoder", steps=400, learning_rate=5e-3))


# The tone language


@pytest.mark.slow
def test_speaks_a_new_sentence_at_the_right_pitches_and_lengths(trained: MelVocoder) -> None:
    units = sentence(1000)
    durations = trained.durations(units)
    lengths = np.array([LENGTHS[unit] for unit in units])
    assert abs(durations.sum() - lengths.sum()) <= 0.05 * lengths.sum()
    assert np.abs(durations - lengths).max() <= 1
    wave = trained(units)
    assert wave.dtype == np.float32
    assert len(wave) == durations.sum() * FRAME
    spectrogram = Spectrogram()
    loudest = spectrogram.mel(torch.from_numpy(wave)).argmax(dim=1).numpy()
    truth = spectrogram.mel(torch.from_numpy(say(units))).argmax(dim=1).numpy()
    middles, true_middles = ((np.cumsum(d) * 4 - d * 2) for d in (durations, lengths))
    assert np.mean(np.abs(loudest[middles] - truth[true_middles]) <= 1) >= 0.9


@pytest.mark.slow
def test_given_durations_are_kept(trained: MelVocoder) -> None:
    assert len(trained([0, 3, 1], [2, 7, 1])) == 10 * FRAME
    assert not np.array_equal(trained([0, 3], [2, 7]), trained([0, 3], [7, 2]))


def test_training_twice_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    write_corpus(tmp_path, 4)
    first, again, other = (
        run_training(tmp_path, tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    for name in ("vocoder.safetensors", "vocoder.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    assert (first / "vocoder.safetensors").read_bytes() != (other / "vocoder.safetensors").read_bytes()


def test_the_order_of_the_shards_changes_nothing(tmp_path: Path) -> None:
    audio, units = write_corpus(tmp_path, 6)
    for path in (audio, units):
        table = pq.read_table(path)
        pq.write_table(table.take(list(range(6))[::-1]), tmp_path / f"reversed-{path.name}")
    run_training(tmp_path, tmp_path / "a")
    train_vocoder.main(
        [
            *("--settings", settings().model_dump_json(), "--output", str(tmp_path / "b")),
            *("--audio", str(tmp_path / "reversed-audio.parquet")),
            *("--units", str(tmp_path / "reversed-units.parquet")),
        ]
    )
    assert (tmp_path / "a/vocoder.safetensors").read_bytes() == (tmp_path / "b/vocoder.safetensors").read_bytes()


# Wrong input


@pytest.mark.parametrize(
    ("units", "durations", "message"),
    [
        ([0, 6], None, "unit 6 is not among the vocoder's 6"),
        ([-1], None, "not among"),
        ([0, 1], [3], "1 durations for 2 units"),
        ([0, 1], [3, 0], "at least 1"),
    ],
)
def test_wrong_units_and_durations_are_refused(units: list[int], durations: list[int] | None, message: str) -> None:
    vocoder = MelVocoder(new_network(len(PITCHES), 8, 1, 25.0), 25.0)
    with pytest.raises(InputError, match=message):
        vocoder(units, durations)


def test_no_units_make_no_sound() -> None:
    assert MelVocoder(new_network(2, 8, 1, 25.0), 25.0)([]).shape == (0,)


def test_frame_rate_must_fit_the_mels() -> None:
    assert new_network(2, 8, 1, 50.0).mel.out_features == 2 * 80
    with pytest.raises(InputError, match="does not divide"):
        new_network(2, 8, 1, 30.0)


def test_folder_without_a_vocoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"vocoder\.json"):
        load_vocoder(tmp_path)
    (tmp_path / "vocoder.json").write_text('{"units": 2, "width": 8, "blocks": 1, "frame_rate_hz": 25.0}')
    (tmp_path / "vocoder.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="train it again"):
        load_vocoder(tmp_path)


def test_units_of_other_speech_are_left_out_or_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, path = write_corpus(tmp_path, 4)
    rows = pq.read_table(path).to_pylist()
    rows[0]["durations"] = [duration + 1 for duration in rows[0]["durations"]]
    pq.write_table(pa.Table.from_pylist(rows, UNIT_SCHEMA), path)
    run_training(tmp_path, tmp_path / "a")
    assert "1 utterances are left out" in caplog.text
    for row in rows:
        row["durations"] = [1] * len(row["units"])
    pq.write_table(pa.Table.from_pylist(rows, UNIT_SCHEMA), path)
    with pytest.raises(InputError, match="of 4 utterances with units, 4 last longer or shorter"):
        run_training(tmp_path, tmp_path / "b")


def test_units_beyond_the_codebook_are_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path, 4)
    few = settings().model_copy(update={"units": 3})
    arguments = ["--settings", few.model_dump_json(), "--output", str(tmp_path / "a")]
    with pytest.raises(InputError, match="the encoder has 3"):
        train_vocoder.main(
            [*arguments, "--audio", str(tmp_path / "audio.parquet"), "--units", str(tmp_path / "units.parquet")]
        )


# Choosing speech


def test_one_voice_is_chosen(tmp_path: Path) -> None:
    _, units = write_corpus(tmp_path, 7, ("flute", "horn"))
    speaker, rows = choose_utterances([units], None, 1.0)
    assert speaker == "flute"
    assert set(rows) == {"s0", "s2", "s4", "s6"}
    assert set(choose_utterances([units], "horn", 1.0)[1]) == {"s1", "s3", "s5"}
    with pytest.raises(InputError, match="'oboe'; there are flute, horn"):
        choose_utterances([units], "oboe", 1.0)


def test_hours_limit_what_is_chosen(tmp_path: Path) -> None:
    _, units = write_corpus(tmp_path, 7)
    rows = choose_utterances([units], None, 1e-4)[1]
    assert len(rows) == 1
    assert list(choose_utterances([units], None, 1.0)[1])[:1] == list(rows)


@pytest.mark.parametrize("seed", range(20))
def test_pieces_cover_the_utterance(seed: int) -> None:
    durations = np.random.default_rng(seed).integers(1, 14, size=50)
    pieces = list(cut(durations, 10))
    covered = [index for first, end in pieces for index in range(first, end)]
    assert covered == [index for index in range(50) if durations[index] <= 10]
    sums = [int(durations[first:end].sum()) for first, end in pieces]
    assert max(sums) <= 10
    # No piece could have taken the unit after it.
    for (_, end), total in zip(pieces, sums, strict=True):
        assert end == 50 or total + durations[end] > 10


def test_batches_see_everything_before_anything_twice() -> None:
    seen = torch.cat(list(batches(10, 4, 5, seed=3))).tolist()
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]
    assert seen == torch.cat(list(batches(10, 4, 5, seed=3))).tolist()


def test_learning_rate_rises_and_falls() -> None:
    rates_ = [rate(step, 100, 1.0) for step in range(100)]
    assert rates_.index(max(rates_)) in (4, 5)
    assert rates_[0] == pytest.approx(0.2)
    assert rates_[-1] < 0.001


# The network


def test_units_are_repeated_as_their_durations_say() -> None:
    durations = torch.tensor([[2, 1, 3], [1, 4, 0]])
    owner, place, inside = repeat(durations, 7)
    for row, lengths in enumerate(([2, 1, 3], [1, 4])):
        total = sum(lengths)
        assert owner[row, :total].tolist() == np.repeat(np.arange(len(lengths)), lengths).tolist()
        assert place[row, :total, 0].tolist() == [before for length in lengths for before in range(length)]
        assert place[row, :total, 1].tolist() == [after for length in lengths for after in reversed(range(length))]
        assert inside[row, :, 0].tolist() == [1.0] * total + [0.0] * (7 - total)


def test_a_padded_batch_gives_what_each_row_gives_alone() -> None:
    torch.manual_seed(0)
    network = new_network(9, 16, 2, 25.0).eval()
    units, durations = torch.randint(9, (2, 8)), torch.randint(1, 4, (2, 8))
    durations[1, 5:] = units[1, 5:] = 0
    with torch.inference_mode():
        hidden, extra = network.read(units, (durations > 0)[:, :, None].float())
        mels = network.speak(hidden, *repeat(durations, 30))
        alone, extra_alone = network.read(units[1:, :5], torch.ones(1, 5, 1))
        frames = int(durations[1].sum())
        mels_alone = network.speak(alone, *repeat(durations[1:, :5], frames))
    torch.testing.assert_close(extra[1, :5], extra_alone[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mels[1, : 4 * frames], mels_alone[0], atol=1e-5, rtol=1e-5)


def test_rounded_durations_keep_the_tempo() -> None:
    torch.manual_seed(1)
    vocoder = MelVocoder(new_network(9, 16, 2, 25.0), 25.0)
    units = np.random.default_rng(0).integers(9, size=400)
    expected = held(vocoder._read(units)[1][0]).double().detach().numpy()
    durations = vocoder.durations(units)
    assert durations.min() >= 1
    assert np.abs(np.cumsum(durations) - np.cumsum(expected)).max() <= 0.5 + 1e-9
    assert len(set(durations.tolist())) > 1


# Spectra and phases


def test_mel_frame_is_that_of_a_slow_transform() -> None:
    wave = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    spectrogram = Spectrogram()
    mel = spectrogram.mel(torch.from_numpy(wave))
    assert mel.shape == (4000 // HOP, 80)
    t = 12
    first = t * HOP + HOP // 2 - WINDOW // 2
    n = np.arange(WINDOW)
    segment = wave[first : first + WINDOW] * (0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW))
    bins = np.exp(-2j * np.pi * np.outer(np.arange(WINDOW // 2 + 1), n) / WINDOW) @ segment
    slow = np.log(np.abs(bins) @ spectrogram.filters.numpy())
    np.testing.assert_allclose(mel[t].numpy(), slow, rtol=1e-4, atol=1e-4)


def test_analysis_and_synthesis_are_inverse() -> None:
    wave = torch.from_numpy(np.random.default_rng(0).normal(size=20 * HOP).astype(np.float32))
    spectrogram = Spectrogram()
    back = spectrogram._synthesize(spectrogram._analyze(wave), len(wave))
    torch.testing.assert_close(back, wave, atol=1e-4, rtol=1e-4)


def test_griffin_lim_comes_nearer_with_each_iteration() -> None:
    spectrogram = Spectrogram()
    mel = spectrogram.mel(torch.from_numpy(say(sentence(5, 12))))
    target = spectrogram.magnitudes(mel)

    def distance(iterations: int) -> float:
        wave = spectrogram.wave(mel, iterations)
        assert len(wave) == len(mel) * HOP
        return float((spectrogram._analyze(wave).abs() - target).norm() / target.norm())

    distances = [distance(iterations) for iterations in (0, 2, 32)]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.2


def test_loud_speech_is_not_clipped() -> None:
    vocoder = MelVocoder(new_network(4, 16, 1, 25.0), 25.0)
    vocoder.network.mel_mean.fill_(3.0)
    wave = vocoder([0, 1, 2, 3] * 3)
    assert np.abs(wave).max() == pytest.approx(PEAK, abs=1e-3)


# Evaluation


def heard(said: str, original: str, again: str, speaker: str = "a") -> Heard:
    utterance = Utterance("x", speaker, said, np.zeros(16, np.float32), np.zeros(2, np.uint16), np.ones(2))
    triple = (said.split(), original.split(), again.split())
    return Heard(utterance, np.zeros(16, np.float32), triple, triple)


def test_rates_weigh_utterances_by_their_length() -> None:
    items = [heard("a b c", "a b c", "a x c"), heard("d", "e", "d e", speaker="b")]
    found = summarize(items)
    assert found["n"] == 2
    assert found["wer_original"] == pytest.approx(1 / 4)
    assert found["wer_resynthesis"] == pytest.approx(2 / 4)
    assert found["per_resynthesis"] == pytest.approx(2 / 4)
    assert found["voices"]["a"]["wer_resynthesis"] == pytest.approx(1 / 3)
    assert found["voices"]["b"]["n"] == 1


def test_gap_interval_holds_the_gap() -> None:
    items = [heard("a b c d", "a b c d", "a b c x" if index % 2 else "a b c d") for index in range(40)]
    low, high = rates(items)["wer_gap_ci95"]
    assert low < 1 / 8 < high
    assert high - low < 0.1


def test_what_has_no_text_is_not_evaluated(tmp_path: Path) -> None:
    audio, units = write_corpus(tmp_path, 5)
    rows = pq.read_table(units).to_pylist()
    rows[1]["text"], rows[2]["text"], rows[3]["units"] = None, "?!", []
    pq.write_table(pa.Table.from_pylist(rows, UNIT_SCHEMA), units)
    assert {utterance.id for utterance in choose([audio], [units], 10)} == {"s0", "s4"}
    assert len(choose([audio], [units], 1)) == 1
    for row in rows:
        row["text"] = None
    pq.write_table(pa.Table.from_pylist(rows, UNIT_SCHEMA), units)
    with pytest.raises(InputError, match="no held-out utterance"):
        choose([audio], [units], 10)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_threads_keep_the_order(count: int) -> None:
    assert list(in_threads(count, lambda: lambda item: item * 2, list(range(7)))) == [2 * item for item in range(7)]


class Parrot:
    """Hears "one day" in all that is loud enough."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.workers = 2

    def transcribe_all(self, waves: list[np.ndarray]) -> Iterator[str]:
        for wave in waves:
            yield "One day." if np.abs(wave).max() > 0.01 else ""


class OnePhone:
    """Hears "a" in everything, from its beginning to its end."""

    def __call__(self, _: np.ndarray) -> list[str]:
        return ["a"]

    def align(self, wave: np.ndarray, _phones: list[str]) -> Spans:
        return Spans(["a"], np.array([0.0]), np.array([wave.size / SAMPLE_RATE]))


@pytest.mark.slow
def test_command_writes_score_and_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: MelVocoder
) -> None:
    audio, units = write_corpus(tmp_path, 12)
    monkeypatch.setattr(score_vocoder, "WhisperRecognizer", Parrot)
    monkeypatch.setattr(score_vocoder, "load_vocoder", lambda _: trained)
    monkeypatch.setattr(intelligibility, "PhoneRecognizer", OnePhone)
    monkeypatch.setattr(intelligibility, "Pronouncer", lambda: lambda _: ["a", "b"])
    (tmp_path / "vocoder.safetensors").write_bytes(b"weights")
    arguments = [
        "--settings",
        '{"encoder": "e", "utterances": 10, "tick_hz": 25}',
        "--vocoder",
        str(tmp_path),
        "--recognizer",
        "unused",
    ]
    score_vocoder.main(
        [
            *(*arguments, "--audio", str(audio), "--units", str(units), "--workers", "2"),
            *("--output", str(tmp_path / "score.json"), "--examples", str(tmp_path / "examples.parquet")),
        ]
    )
    score = json.loads((tmp_path / "score.json").read_text())
    assert (score["n"], score["wer_original"], score["per_original"], score["per_resynthesis"]) == (10, 0.0, 0.5, 0.5)
    assert score["phone_purity"]["phone_purity"] == 1.0  # all frames are one phone
    assert score["phone_purity"]["frames"] > 10
    rows = pq.read_table(tmp_path / "examples.parquet").to_pylist()
    assert len(rows) == 8
    again, rate_hz = soundfile.read(io.BytesIO(rows[0]["resynthesis"]))
    assert rate_hz == SAMPLE_RATE
    number = int(rows[0]["id"].removeprefix("s"))
    assert len(again) == trained.durations(sentence(number)).sum() * FRAME


def test_the_command_uses_the_real_recognizers() -> None:
    assert score_vocoder.WhisperRecognizer is whisper.WhisperRecognizer
    assert intelligibility.PhoneRecognizer is phones.PhoneRecognizer
