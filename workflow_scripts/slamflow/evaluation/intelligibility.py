"""How intelligible held-out speech is after units and vocoder, and how well its units agree with phones."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow import commands, files
from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.evaluation.bootstrap import interval, mean_interval
from slamflow.evaluation.dnsmos import SCALES, Dnsmos
from slamflow.evaluation.phone_purity import Spans, phones_of_ticks, purity
from slamflow.recognition.error_rates import errors, words
from slamflow.recognition.phones import PhoneRecognizer, Pronouncer
from slamflow.recognition.whisper import WhisperRecognizer
from slamflow.sharding import stable_hash
from slamflow.shards.speech import encode_flac, read_speech
from slamflow.vocoders.fitting import read_waves
from slamflow.vocoders.vocoder import UnitVocoder

EXAMPLES = 8
"""Pairs that are kept to listen to."""
PACKAGES = ("ctranslate2", "faster-whisper", "hama", "torch")
EXAMPLE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("speaker", pa.string()),
        ("text", pa.string()),
        ("transcript_original", pa.string()),
        ("transcript_resynthesis", pa.string()),
        ("original", pa.binary()),
        ("resynthesis", pa.binary()),
    ]
)

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Utterance:
    """A held-out utterance: who said what, its waveform and its units."""

    id: str
    speaker: str
    text: str
    wave: np.ndarray
    units: np.ndarray
    durations: np.ndarray
    """In ticks."""


@dataclass(frozen=True)
class Heard:
    """What was said and what recognizers heard, as words and as phones: in the original and in its resynthesis."""

    utterance: Utterance
    resynthesis: np.ndarray
    words: tuple[list[str], list[str], list[str]]
    """Of the text, in the original, in the resynthesis."""
    phones: tuple[list[str], list[str], list[str]]
    spans: Spans | None = None
    """When the phones of the text are said in the original; None if they do not fit it."""


def choose(audio: list[Path], units: list[Path], count: int) -> list[Utterance]:
    """The first `count` utterances with a text, in the order of stable_hash(id). Raises InputError without any."""
    rows = (row for shard in units for row in read_speech(shard, ("id", "speaker", "text", "units", "durations")))
    usable = (row for row in rows if row["text"] and row["units"] and words(row["text"]))
    chosen = heapq.nsmallest(count, usable, key=lambda row: (stable_hash(row["id"]), row["id"]))
    waves = dict(read_waves(audio, {row["id"] for row in chosen}))
    result = [
        Utterance(
            row["id"],
            str(row["speaker"]),
            row["text"],
            waves[row["id"]],
            np.asarray(row["units"]),
            np.asarray(row["durations"]),
        )
        for row in chosen
        if row["id"] in waves
    ]
    if not result:
        raise InputError("no held-out utterance has a text, units and audio; give the three of the same corpora")
    return result


def listen(utterances: list[Utterance], vocoder: UnitVocoder, whisper: WhisperRecognizer) -> list[Heard]:
    """Resynthesize utterances with predicted durations, and let Whisper and hama transcribe both.

    Phones are compared with the pronunciation of the text, so the original has errors of its own.
    """
    speeches = [vocoder(utterance.units) for utterance in utterances]
    waves = [utterance.wave for utterance in utterances] + speeches
    heard = list(commands.progress(whisper.transcribe_all(waves), len(waves), "utterances recognized by Whisper"))
    phones = list(
        commands.progress(
            in_threads(whisper.workers, PhoneRecognizer, waves), len(waves), "utterances recognized by hama"
        )
    )
    pronounce, recognizer = Pronouncer(), PhoneRecognizer()
    said = [pronounce(utterance.text) for utterance in utterances]
    count = len(utterances)
    return [
        Heard(
            utterance,
            speeches[index],
            (words(utterance.text), words(heard[index]), words(heard[count + index])),
            (said[index], phones[index], phones[count + index]),
            recognizer.align(utterance.wave, said[index]),
        )
        for index, utterance in enumerate(utterances)
    ]


def in_threads(
    count: int, make: Callable[[], Callable[[Argument], Result]], items: Sequence[Argument]
) -> Iterator[Result]:
    """Map with one worker object a thread, in order."""
    local = threading.local()

    def work(item: Argument) -> Result:
        if not hasattr(local, "worker"):
            local.worker = make()
        result: Result = local.worker(item)
        return result

    with ThreadPoolExecutor(count) as pool:
        yield from pool.map(work, items)


def summarize(heard: list[Heard]) -> dict[str, Any]:
    """Error rates of original and resynthesis, over all and by the voice of the original; all of them fractions."""
    speakers = sorted({item.utterance.speaker for item in heard})
    return {
        **rates(heard),
        "voices": {name: rates([item for item in heard if item.utterance.speaker == name]) for name in speakers},
    }


def rates(heard: list[Heard]) -> dict[str, Any]:
    """Word and phone error rates: errors of all utterances over words or phones of all texts."""
    result: dict[str, Any] = {"n": len(heard)}
    for name, triples in (("wer", [item.words for item in heard]), ("per", [item.phones for item in heard])):
        length = sum(len(said) for said, _, _ in triples)
        result[f"{name}_gap_ci95"] = gap_interval(triples)
        result[f"{name}_original"] = sum(errors(said, original) for said, original, _ in triples) / length
        result[f"{name}_resynthesis"] = sum(errors(said, again) for said, _, again in triples) / length
    return result


def gap_interval(triples: list[tuple[list[str], list[str], list[str]]]) -> tuple[float, float]:
    """95 % bootstrap interval, over utterances, of the resynthesis's error rate less the original's."""
    columns = np.array(
        [[errors(said, again) - errors(said, original), len(said)] for said, original, again in triples], dtype=float
    )
    return interval(columns, lambda sums: sums[:, 0] / sums[:, 1])


def phone_purity(heard: list[Heard], tick_hz: float) -> dict[str, float | int] | None:
    """How well the units of the originals agree with the phones of the texts; None if no text could be aligned."""
    pairs = []
    for item in heard:
        if item.spans is not None:
            units = np.repeat(item.utterance.units, item.utterance.durations)
            phones = phones_of_ticks(item.spans, units.size, tick_hz)
            pairs += [(int(unit), phone) for unit, phone in zip(units, phones, strict=True) if phone is not None]
    return purity(pairs)


def ratings(heard: list[Heard], rate: Dnsmos, workers: int) -> dict[str, dict[str, Any]]:
    """DNSMOS of original and resynthesis, from 1 to 5, by what is rated, and the 95 % interval of the difference."""
    waves = [item.utterance.wave for item in heard] + [item.resynthesis for item in heard]
    found = np.stack(list(commands.progress(in_threads(workers, lambda: rate, waves), len(waves), "utterances rated")))
    before, after = found[: len(heard)], found[len(heard) :]
    return {
        scale: {
            "original": float(before[:, index].mean()),
            "resynthesis": float(after[:, index].mean()),
            "gap_ci95": mean_interval(after[:, index] - before[:, index]),
        }
        for index, scale in enumerate(SCALES)
    }


def write_examples(path: Path, heard: list[Heard]) -> None:
    """Write the first pairs of original and resynthesis, with Whisper's transcripts, to listen to."""
    rows = [
        {
            "id": item.utterance.id,
            "speaker": item.utterance.speaker,
            "text": item.utterance.text,
            "transcript_original": " ".join(item.words[1]),
            "transcript_resynthesis": " ".join(item.words[2]),
            "original": encode_flac(item.utterance.wave, SAMPLE_RATE),
            "resynthesis": encode_flac(item.resynthesis, SAMPLE_RATE),
        }
        for item in heard[:EXAMPLES]
    ]
    with files.atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, EXAMPLE_SCHEMA), temporary, compression="none")


def versions() -> dict[str, str]:
    """Versions of the packages that the figures depend on."""
    return {name: version(name) for name in PACKAGES}
