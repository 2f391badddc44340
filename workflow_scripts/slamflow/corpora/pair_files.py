"""Benchmarks that were published as speech: which recordings belong together, from a folder or from the hub."""

from __future__ import annotations

import csv
import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from slamflow import files
from slamflow.corpora import CORPORA
from slamflow.corpora.collect import write_shard
from slamflow.corpora.folders import open_file
from slamflow.corpora.hub_tables import audio_of, shard_files, table_rows
from slamflow.corpora.listing import Listed, in_share, scan
from slamflow.corpora.recordings import Recording
from slamflow.errors import InputError
from slamflow.sharding import parse_shard, shard_of

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import CollectPairs
    from slamflow.corpora.spoken_pairs import SpokenPairCorpus

GOLD = "gold.csv"
GOLD_COLUMNS = ("filename", "id", "voice", "correct")
SIDES = ("good", "bad")
RIGHT, WRONG = "_correct", "_incorrect"
NEVER_CUT = 3600.0


@dataclass(frozen=True)
class SpokenPair:
    """A right and a wrong recording."""

    cluster: str
    """What the voices of a pair share."""
    voice: str | None
    phenomenon: str | None
    texts: tuple[str, str]
    """What is said, right and wrong; empty if not known."""
    sources: tuple[str, str]
    open: tuple[Callable[[], BinaryIO], Callable[[], BinaryIO]]

    @property
    def id(self) -> str:
        """The cluster and the voice."""
        return self.cluster if self.voice is None else f"{self.cluster}.{self.voice}"

    def recordings(self) -> Iterator[Recording]:
        """Its two recordings, {id}.good and {id}.bad."""
        for side, text, source, opened in zip(SIDES, self.texts, self.sources, self.open, strict=True):
            yield Recording(
                id=f"{self.id}.{side}",
                source=source,
                speaker=self.voice or "unknown",
                text=lambda text=text: text or None,  # type: ignore[misc]
                open=opened,
            )

    def record(self) -> dict[str, Any]:
        """What the benchmark is built from."""
        right, wrong = self.texts
        pair = {"id": self.id, "good": right, "bad": wrong}
        return {**pair, "cluster": self.cluster, "phenomenon": self.phenomenon}


def collect_pairs(
    settings: CollectPairs,
    source: Path | None,
    output: Path,
    text: Path,
    manifest: Path,
    quarantine: Path,
    downloads: Path,
) -> dict[str, Any]:
    """Write one shard: the utterances, which of them are a pair, what was set aside, and the manifest.

    A recording that cannot be used is set aside; its pair stays in the list and is left out when the benchmark is
    built. Returns the manifest. Raises InputError if there are no pairs at all, or the hub or the folder is not right.
    """
    found: Iterable[SpokenPair] = CORPORA.module(settings.pairs.kind).pairs(settings.pairs, settings, source, downloads)
    records = []
    chosen = settings.pairs.splits[settings.split]  # type: ignore[index]
    shared = (pair for pair in found if in_share(pair.cluster, *chosen.percent))

    def recordings() -> Iterator[Recording]:
        for pair in itertools.islice(shared, chosen.pairs):
            records.append(pair.record())
            yield from pair.recordings()

    about = write_shard(recordings(), NEVER_CUT, output, quarantine)
    files.write_jsonl(text, records)
    result = {"corpus": settings.corpus, "split": settings.split, "pairs": len(records), **about}
    result["settings"] = settings.model_dump()
    files.write_json(manifest, result)
    return result


def of_shard(pairs: Iterable[SpokenPair], shard: str) -> Iterator[SpokenPair]:
    """The pairs of one shard: all voices of a pair are in the same."""
    index, count = parse_shard(shard)
    return (pair for pair in pairs if shard_of(pair.cluster, count) == index)


def hub_pairs(corpus: SpokenPairCorpus, shard: str, downloads: Path) -> Iterator[SpokenPair]:
    """Yield the pairs of one shard of a dataset of the hub, whose rows are pairs."""
    columns = corpus.columns
    names = [columns.good, columns.bad, *columns.id, columns.voice, columns.phenomenon, *columns.texts]
    for path, name in shard_files(str(corpus.repo), str(corpus.revision), corpus.files, shard, downloads):
        for place, row in table_rows(path, name, [column for column in names if column is not None]):
            texts = [str(row[column] or "") for column in columns.texts] or ["", ""]
            yield SpokenPair(
                cluster=".".join(str(row[column]) for column in columns.id) or place,
                voice=None if columns.voice is None else str(row[columns.voice]),
                phenomenon=None if columns.phenomenon is None else str(row[columns.phenomenon]),
                texts=(texts[0], texts[1]),
                sources=(f"{place}/{columns.good}", f"{place}/{columns.bad}"),
                open=(
                    functools.partial(audio_of, row[columns.good]),
                    functools.partial(audio_of, row[columns.bad]),
                ),
            )


def folder_pairs(root: Path) -> Iterator[SpokenPair]:
    """Yield the pairs of a folder: by the gold.csv files in it, or else by the names of its files.

    Raises InputError if it holds no pair, or a list that does not fit its files.
    """
    listed = scan(str(root), "folder", ())
    lists = sorted(root.rglob(GOLD))
    found = False
    for pair in _named(listed) if not lists else (pair for path in lists for pair in _listed(root, path, listed)):
        found = True
        yield pair
    if not found:
        raise InputError(f"{root}: no pairs; there is neither a {GOLD} nor a file NAME{RIGHT}.wav with NAME{WRONG}.wav")


def _named(listed: tuple[Listed, ...]) -> Iterator[SpokenPair]:
    """Pairs of NAME_correct and NAME_incorrect."""
    by_stem = {item.id.rpartition(".")[0]: item for item in listed}
    for stem, right in by_stem.items():
        name = stem.removesuffix(RIGHT)
        wrong = by_stem.get(name + WRONG)
        if name != stem and wrong is not None:
            opened = functools.partial(open_file, right), functools.partial(open_file, wrong)
            yield SpokenPair(name, None, None, ("", ""), (right.id, wrong.id), opened)


def _listed(root: Path, gold: Path, listed: tuple[Listed, ...]) -> Iterator[SpokenPair]:
    """Pairs of a gold.csv of ZeroSpeech 2021: a row for each recording, which has its pair's id and its voice.

    Where ids are counted afresh for each kind of sentence, `type` and `subtype` tell them apart.
    """
    folder = gold.parent.relative_to(root).as_posix()
    by_stem = {item.id.rpartition(".")[0]: item for item in listed}
    groups: dict[tuple[str, ...], dict[bool, dict[str, str]]] = defaultdict(dict)
    with open(gold, encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        if missing := [name for name in GOLD_COLUMNS if name not in (rows.fieldnames or [])]:
            raise InputError(f"{gold}: no column {missing[0]}; ZeroSpeech's list has {', '.join(GOLD_COLUMNS)}")
        for number, row in enumerate(rows, start=2):
            key = tuple(row.get(name) or "" for name in ("type", "subtype", "id", "voice"))
            right = row["correct"].strip().lower() in ("1", "1.0", "true")
            if right in groups[key]:
                raise InputError(f"{gold}, line {number}: a second {row['correct']} of id {row['id']}, {row['voice']}")
            groups[key][right] = row
    for (kind, subtype, number_of, voice), rows_of in groups.items():
        if len(rows_of) != 2:
            raise InputError(f"{gold}: id {number_of}, voice {voice} has no pair of a right and a wrong recording")
        both = []
        for row in (rows_of[True], rows_of[False]):
            stem = row["filename"].removesuffix(".wav")
            item = by_stem.get(stem if folder == "." else f"{folder}/{stem}")
            if item is None:
                raise InputError(f"{gold}: {row['filename']} is not among its files")
            both.append((item, row.get("transcription") or row.get("word") or ""))
        (right_item, right_text), (wrong_item, wrong_text) = both
        yield SpokenPair(
            cluster=".".join(part for part in (kind, subtype, number_of) if part),
            voice=voice or None,
            phenomenon=kind or None,
            texts=(right_text, wrong_text),
            sources=(right_item.id, wrong_item.id),
            open=(functools.partial(open_file, right_item), functools.partial(open_file, wrong_item)),
        )
