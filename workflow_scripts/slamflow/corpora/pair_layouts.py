"""The layouts in which benchmarks of spoken pairs were published: which recordings belong together.

gold.csv        ZeroSpeech 2021: a list beside the recordings
names           NAME_correct.wav and NAME_incorrect.wav, after NAME_mutual.wav if there is one
order           N_....wav or N+....wav: in each folder in the order of N, a right one and its wrong one in turn
"""

from __future__ import annotations

import csv
import functools
import io
import logging
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from slamflow.audio import SAMPLE_RATE, AudioError, decode
from slamflow.corpora.pair_files import SpokenPair
from slamflow.corpora.published_files import PublishedFiles
from slamflow.errors import InputError

log = logging.getLogger("slamflow")

GOLD_COLUMNS = ("filename", "id", "voice", "correct")
CORRECT = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
RIGHT, WRONG, PROMPT = "_correct", "_incorrect", "_mutual"
NUMBERED = re.compile(r"(\d+)[_+](.*)")
IN_VOCABULARY, OUT_OF_VOCABULARY = "in_vocabulary", "oov"
Opener = Callable[[], BinaryIO]
Row = dict[str, str]


def folder_pairs(files: PublishedFiles) -> Iterator[SpokenPair]:
    """Yield the pairs of a published set, by whichever of the layouts it has.

    A recording without its partner makes a pair all the same, whose other side is set aside with the reason. Raises
    InputError if there is no whole pair, or a list is not right.
    """
    if lists := files.lists():
        pairs = [pair for name in lists for pair in listed_pairs(files, name)]
    else:
        stems = list(files.by_stem)
        numbered = all(NUMBERED.fullmatch(posixpath.basename(stem)) for stem in stems)
        named = any(stem.endswith((RIGHT, WRONG)) for stem in stems)
        pairs = list(named_pairs(files) if named else ordered_pairs(files) if numbered else [])
    if not any(_is_whole(pair) for pair in pairs):
        first = next((source for pair in pairs for source in pair.sources if source not in files.recordings), None)
        hint = f"; the first of them misses {first}" if first else ""
        raise InputError(
            f"{files.place}: no pairs{hint}; there is no gold.csv that fits its files, no NAME{RIGHT}.wav with "
            f"NAME{WRONG}.wav, and not all files are called N_NAME.wav or N+NAME.wav"
        )
    incomplete = sum(not _is_whole(pair) for pair in pairs)
    if incomplete:
        log.warning("%s: %d of %d pairs lack a recording and are left out", files.place, incomplete, len(pairs))
    yield from pairs


@dataclass(frozen=True)
class Missing:
    """In place of what opens a recording that is not there: raises AudioError with the reason."""

    reason: str

    def __call__(self) -> BinaryIO:
        raise AudioError(self.reason)


def _is_whole(pair: SpokenPair) -> bool:
    return not any(isinstance(opened, Missing) for opened in pair.open)


# gold.csv


def listed_pairs(files: PublishedFiles, name: str) -> Iterator[SpokenPair]:
    """Pairs of a gold.csv of ZeroSpeech 2021: a row for each recording, which has its pair's id and its voice.

    Where ids are counted afresh for each kind of sentence, `type` and `subtype` tell them apart. Several words or
    pseudo-words of one id and voice are paired in their order, or a single one with each; they share a cluster, over
    which ZeroSpeech takes the mean (zerospeech2021/lexical.py:121-164 at 0d7aa7e). `frequency` is how often LibriSpeech
    has the word; 0 is out of vocabulary (lexical.py:202-206), the rest is in it. Raises InputError for a list that
    lacks a column or has a broken line.
    """
    where = f"{files.place}/{name}"
    folder = posixpath.dirname(name)
    groups: dict[tuple[str, str, str, str], dict[bool, list[Row]]] = defaultdict(lambda: {True: [], False: []})
    for number, row in _rows(files.read(name), where):
        right = CORRECT.get(row["correct"].strip().lower())
        if right is None:
            raise InputError(f"{where}, line {number}: correct is {row['correct']!r}, neither 1 nor 0")
        key = (row.get("type", ""), row.get("subtype", ""), row["id"], row["voice"])
        groups[key][right].append({**row, "band": _band(row, f"{where}, line {number}") if right else ""})
    for (kind, subtype, pair_id, voice), rows in groups.items():
        cluster = ".".join(part for part in (kind, subtype, pair_id) if part)
        for index, (right_row, wrong_row) in enumerate(_matched(rows[True], rows[False])):
            sides = [_listed_side(files, folder, row) for row in (right_row, wrong_row)]
            yield SpokenPair(
                cluster=cluster,
                voice=voice or None,
                number=index,
                phenomenon=kind or (right_row or {}).get("band") or None,
                texts=(_said(right_row), _said(wrong_row)),
                sources=(sides[0][0], sides[1][0]),
                open=(sides[0][1], sides[1][1]),
            )


def _rows(data: bytes, where: str) -> Iterator[tuple[int, Row]]:
    """Yield the number of each line of a list, and its cells by column."""
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        header = rows.fieldnames or []
        if missing := [column for column in GOLD_COLUMNS if column not in header]:
            raise InputError(f"{where}: no column {missing[0]}; ZeroSpeech's list has {', '.join(GOLD_COLUMNS)}")
        for row in rows:
            if None in row or None in row.values():
                raise InputError(f"{where}, line {rows.line_num}: not as many cells as the first line, {len(header)}")
            yield rows.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not a list in UTF-8 ({error})") from None


def _band(row: Row, where: str) -> str:
    """Whether a word is in LibriSpeech's vocabulary; empty where the list does not tell."""
    frequency = row.get("frequency", "").strip().lower()
    if frequency in ("", "nan"):
        return ""
    if frequency == OUT_OF_VOCABULARY:
        return OUT_OF_VOCABULARY
    try:
        return OUT_OF_VOCABULARY if float(frequency) < 1 else IN_VOCABULARY
    except ValueError:
        raise InputError(f"{where}: frequency is {row['frequency']!r}, no number") from None


def _matched(rights: Sequence[Row], wrongs: Sequence[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Right and wrong rows of one id and voice as pairs; None where there is no partner."""
    if len(rights) == 1 and len(wrongs) > 1:
        rights = [rights[0]] * len(wrongs)
    elif len(wrongs) == 1 and len(rights) > 1:
        wrongs = [wrongs[0]] * len(rights)
    for index in range(max(len(rights), len(wrongs))):
        yield (
            rights[index] if index < len(rights) else None,
            wrongs[index] if index < len(wrongs) else None,
        )


def _listed_side(files: PublishedFiles, folder: str, row: Row | None) -> tuple[str, Opener]:
    """The name of the recording of a row, and what opens it."""
    if row is None:
        return "", Missing("the list has no partner for it")
    stem = posixpath.join(folder, row["filename"].removesuffix(".wav"))
    name = files.by_stem.get(stem)
    if name is None:
        return row["filename"], Missing(f"{row['filename']} is not among the files")
    return name, files.recordings[name]


def _said(row: Row | None) -> str:
    return (row or {}).get("transcription") or (row or {}).get("word") or ""


# Names


def named_pairs(files: PublishedFiles) -> Iterator[SpokenPair]:
    """Pairs of NAME_correct and NAME_incorrect, as in Spoken StoryCloze.

    Where no file has the same NAME, one with the same name behind a number will do: N_ID_correct and M_ID_incorrect.
    Where there is NAME_mutual, both are endings of it, and are put behind it as SlamKit does
    (slamkit/metric/cross_modal_metric.py:47-60 at 4279266). The folder that a pair lies in is its voice, as in the
    multi-speaker sets; a name that occurs in several is one cluster.
    """
    known = files.by_stem
    side_of = {stem: side for stem in known for side in (RIGHT, WRONG) if stem.endswith(side)}
    by_id: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for stem, side in side_of.items():
        folder, base = posixpath.split(stem.removesuffix(side))
        if numbered := NUMBERED.fullmatch(base):
            by_id[folder, numbered[2], side].append(stem)
    paired: set[str] = set()
    for stem, side in side_of.items():
        if stem in paired:
            continue
        other_side = WRONG if side == RIGHT else RIGHT
        common = stem.removesuffix(side)
        folder, name = posixpath.split(common)
        other = common + other_side
        numbered = NUMBERED.fullmatch(name)
        if other not in known and numbered:
            alike = [by_id[folder, numbered[2], one] for one in (side, other_side)]
            if [len(stems) for stems in alike] == [1, 1]:
                other, name = alike[1][0], numbered[2]
        paired |= {stem, other}
        prompt = known.get(common + PROMPT)
        before = [] if prompt is None else [common + PROMPT]
        right, wrong = (stem, other) if side == RIGHT else (other, stem)
        sides = [_named_side(files, one, prompt) for one in (right, wrong)]
        yield SpokenPair(
            cluster=name,
            voice=folder or None,
            phenomenon=None,
            texts=(_text(files, *before, right), _text(files, *before, wrong)),
            sources=(sides[0][0], sides[1][0]),
            open=(sides[0][1], sides[1][1]),
        )


def _named_side(files: PublishedFiles, stem: str, prompt: str | None) -> tuple[str, Opener]:
    """The name of a recording, and what opens it, behind its prompt if there is one."""
    name = files.by_stem.get(stem)
    if name is None:
        return stem, Missing(f"there is no {stem}")
    if prompt is None:
        return name, files.recordings[name]
    return name, functools.partial(joined, files.recordings[prompt], files.recordings[name])


def _text(files: PublishedFiles, *stems: str) -> str:
    """What is said in recordings, by the .txt files beside them; empty if one is missing or not UTF-8."""
    names = [f"{stem}.txt" for stem in stems]
    if not all(name in files.texts for name in names):
        return ""
    try:
        return " ".join(" ".join(files.read(name).decode("utf-8-sig") for name in names).split())
    except UnicodeDecodeError:
        return ""


def joined(prompt: Opener, ending: Opener) -> BinaryIO:
    """One recording behind another, as WAV: mono, 16 kHz. Raises AudioError if one cannot be used."""
    import numpy as np
    import soundfile

    waves = []
    for opened in (prompt, ending):
        with opened() as file:
            waves.append(decode(file.read()))
    stream = io.BytesIO()
    soundfile.write(stream, np.concatenate(waves), SAMPLE_RATE, format="WAV", subtype="FLOAT")
    stream.seek(0)
    return stream


# Order


def ordered_pairs(files: PublishedFiles) -> Iterator[SpokenPair]:
    """Pairs of SlamKit's own folders, whose files begin with a number and _ or +.

    In each folder, in the order of the numbers, every second one is wrong and belongs to the one before it
    (slamkit/metric/modelling_metric.py:18-30 at a17faf6). Raises InputError for a number that comes twice, whose order
    would be that of the file system, and for an odd count.
    """
    folders: dict[str, dict[int, str]] = defaultdict(dict)
    for stem in files.by_stem:
        folder, base = posixpath.split(stem)
        numbered = NUMBERED.fullmatch(base)
        assert numbered is not None
        number = int(numbered[1])
        if number in folders[folder]:
            first, second = (files.by_stem[one] for one in (folders[folder][number], stem))
            raise InputError(f"{files.place}: {first} and {second} have one number, so it is not told which is right")
        folders[folder][number] = stem
    for folder, by_number in sorted(folders.items()):
        stems = [by_number[number] for number in sorted(by_number)]
        if len(stems) % 2:
            raise InputError(f"{files.place}: {len(stems)} recordings in {folder or 'it'}, so they are no pairs")
        for right, wrong in zip(stems[::2], stems[1::2], strict=True):
            names = files.by_stem[right], files.by_stem[wrong]
            yield SpokenPair(
                cluster=right,
                voice=None,
                phenomenon=None,
                texts=(_text(files, right), _text(files, wrong)),
                sources=names,
                open=(files.recordings[names[0]], files.recordings[names[1]]),
            )
