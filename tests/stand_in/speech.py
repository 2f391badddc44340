"""Short recordings and the layouts that corpora come in."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from slamflow.text.grammar import write_stories
from slamflow.tts.hibari_speaker import Speaker
from slamflow.tts.utterances import SAMPLE_RATE_HZ

PAUSE_S = 0.5


@functools.cache
def stories(count: int) -> list[dict[str, Any]]:
    """Stories of the grammar, the same each time."""
    return list(write_stories(7, "train", count))


@functools.cache
def sentences(count: int) -> list[tuple[str, np.ndarray]]:
    """Sentences and their speech at 16 kHz, float32 [samples]."""
    speaker = Speaker()
    texts = [str(story["ending"]) for story in stories(count)]
    return [(text, speaker.say(text, 0.9 + 0.05 * (number % 5), number)) for number, text in enumerate(texts)]


def flac(wave: np.ndarray, kind: str = "FLAC") -> bytes:
    """A sound file of `wave`."""
    file = io.BytesIO()
    soundfile.write(file, wave, SAMPLE_RATE_HZ, format=kind, subtype="PCM_16")
    return file.getvalue()


@functools.cache
def joined(number: int, count: int) -> tuple[str, np.ndarray, list[list[float]]]:
    """Three sentences with pauses between, about eight seconds, and where each begins and ends, in seconds."""
    texts, pieces, spans, at = [], [], [], 0.0
    pause = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), np.float32)
    for offset in range(3):
        text, wave = sentences(count)[(number + offset) % count]
        texts.append(text)
        pieces += [pause, wave]
        spans.append([round(at + PAUSE_S, 3), round(at + PAUSE_S + len(wave) / SAMPLE_RATE_HZ, 3)])
        at += PAUSE_S + len(wave) / SAMPLE_RATE_HZ
    return " ".join(texts), np.concatenate(pieces), spans


@functools.cache
def recording(number: int, count: int, pieces: int = 1, kind: str = "FLAC") -> bytes:
    """A sound file of one sentence or of three; many archives have the same."""
    return flac(sentences(count)[number][1] if pieces == 1 else joined(number, count)[1], kind)


def librispeech(archive: str, count: int) -> dict[str, bytes]:
    """Members of an archive of LibriSpeech: {subset}/{speaker}/{chapter}/*.flac, and the texts of each chapter."""
    subset = archive.split(".")[0]
    members: dict[str, bytes] = {}
    for number, (text, _) in enumerate(sentences(count)):
        if number % 2:  # some are long enough to be continued
            text = joined(number, count)[0]
        speaker, chapter = 100 + number % 4, 1000 + number % 4
        folder = f"LibriSpeech/{subset}/{speaker}/{chapter}/{speaker}-{chapter}"
        members[f"{folder}-{number:04d}.flac"] = recording(number, count, 3 if number % 2 else 1)
        line = f"{speaker}-{chapter}-{number:04d} {text.upper()}\n".encode()
        members[f"{folder}.trans.txt"] = members.get(f"{folder}.trans.txt", b"") + line
    return members


def folders(archive: str, count: int) -> dict[str, bytes]:
    """Members of an archive in Libri-Light's layout: {part}/{speaker}/{book}/*.flac, each with its .json."""
    part = archive.split(".")[0]
    members: dict[str, bytes] = {}
    for number in range(count):
        spans = joined(number, count)[2]
        name = f"{part}/{200 + number % 4}/book_{number % 8}/chapter_{number:02d}"
        members[f"{name}.flac"] = recording(number, count, 3)
        about = {"speaker": str(200 + number % 4), "book_meta": {"id": number % 8}, "snr": 12.0}
        members[f"{name}.json"] = json.dumps({**about, "voice_activity": spans}).encode()
    return members


def talks(folder: str, count: int) -> dict[str, bytes]:
    """Members of an archive as TED-LIUM has them: long recordings in NIST's format, all in one folder."""
    return {f"{folder}/Speaker{number}_2010.sph": recording(number, count, 3, "NIST") for number in range(count)}


def archive(name: str, corpus: Any, split: Any, count: int) -> bytes:
    """An archive of recordings for a split of a corpus, in the layout that the corpus says."""
    if corpus.layout == "librispeech":
        return tar(name, librispeech(name, count))
    return tar(name, talks(split.folders[0], count) if split.folders else folders(name, count))


def tar(name: str, members: dict[str, bytes]) -> bytes:
    """A tar archive, compressed as its name says; the same bytes each time."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gz": functools.partial(gzip.compress, compresslevel=1, mtime=0),
        "tgz": functools.partial(gzip.compress, compresslevel=1, mtime=0),
        "bz2": bz2.compress,
        "xz": lzma.compress,
    }
    suffix = name.rpartition(".")[2]
    return compress[suffix](plain.getvalue()) if suffix in compress else plain.getvalue()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    """A Parquet file."""
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def hub_audio(columns: dict[str, str | None], part: int, count: int) -> bytes:
    """One Parquet file of an audio dataset of the hub."""
    rows = []
    for number, (text, _) in enumerate(sentences(count)):
        name = f"{part}-{number:04d}"
        row: dict[str, Any] = {str(columns["audio"]): {"bytes": recording(number, count), "path": f"{name}.flac"}}
        values = {"text": text, "speaker": f"speaker{number % 4}", "id": name}
        row.update({str(columns[key]): value for key, value in values.items() if columns.get(key)})
        rows.append(row)
    return parquet(rows)


def spoken_pairs(columns: dict[str, Any], part: int, count: int) -> bytes:
    """One Parquet file of a dataset of spoken pairs."""
    rows = []
    spoken = sentences(count)
    names = columns["id"] if isinstance(columns["id"], list) else [columns["id"]]
    for number, (text, _) in enumerate(spoken):
        other = (number + 1 + part) % count
        wrong_text = spoken[other][0]
        row: dict[str, Any] = {columns["good"]: {"bytes": recording(number, count, 1, "WAV"), "path": f"{number}.wav"}}
        row[columns["bad"]] = {"bytes": recording(other, count, 1, "WAV"), "path": f"{number}_wrong.wav"}
        row.update({name: f"kind{number % 3}" for name in names if name})
        row.update({names[-1]: f"{part}-{number}"} if names[-1] else {})
        values = {"voice": f"voice{number % 2}", "phenomenon": f"kind{number % 3}"}
        row.update({columns[key]: value for key, value in values.items() if columns.get(key)})
        row.update(dict(zip(columns.get("texts") or [], (text, wrong_text), strict=False)))
        rows.append(row)
    return parquet(rows)


def spoken_preferences(columns: dict[str, Any], part: int, count: int) -> bytes:
    """One Parquet file of a dataset of preference pairs, with SpokenSwag's columns: audio of 24 kHz, auto_bleu2."""
    rows = []
    spoken = sentences(count)
    for number in range(count):
        places = [(number + offset) % count for offset in (0, 1, 2 + part)]
        row: dict[str, Any] = {"auto_bleu2": 0.0}
        for key, text, place in zip(("prompt", "chosen", "rejected"), columns["texts"], places, strict=True):
            audio = io.BytesIO()
            # Read as 24 kHz, the speech is only higher and faster.
            soundfile.write(audio, spoken[place][1], 24_000, format="WAV", subtype="PCM_16")
            row[columns[key]] = {"bytes": audio.getvalue(), "path": f"{number}_{key}.wav"}
            row[text] = spoken[place][0]
        row.update({columns["speaker"]: f"voice{number % 4}"} if columns["speaker"] else {})
        row.update({columns["id"]: f"{part}-{number}"} if columns["id"] else {})
        rows.append(row)
    return parquet(rows)


def pair_folder(count: int) -> dict[str, bytes]:
    """The files of a benchmark that is published as a folder of pairs, long enough to be continued."""
    files = {}
    for number in range(count):
        files[f"{number}_correct.wav"] = recording(number, count, 3, "WAV")
        files[f"{number}_incorrect.wav"] = recording((number + 5) % count, count, 3, "WAV")
    return files


def swag(count: int) -> bytes:
    """SWAG's CSV of the training part: a sentence, the beginning of the next one, and four ends for it."""
    lines = [",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label"]
    told = stories(count)
    for number, story in enumerate(told):
        first = str(story["prompt"]).split(". ")[0] + "."
        words = str(story["ending"]).split()
        ends = [" ".join(words[1:])]
        ends += [" ".join(str(told[(number + offset) % count]["ending"]).split()[1:]) for offset in (1, 2, 3)]
        label = number % 4
        ends.insert(label, ends.pop(0))
        cells = [number, f"lsmdc_{number}", number, f"{first} {words[0]}", first, words[0], "gold", *ends, label]
        lines.append(",".join('"' + str(cell).replace('"', '""') + '"' for cell in cells))
    return "\n".join([*lines, ""]).encode()
