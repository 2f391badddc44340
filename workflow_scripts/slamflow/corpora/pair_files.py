"""Benchmarks and preference pairs that were published as speech: which recordings belong together."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from slamflow import files
from slamflow.corpora import CORPORA
from slamflow.corpora.collect import write_shard
from slamflow.corpora.hub_tables import audio_of, cell, shard_files, table_rows
from slamflow.corpora.recordings import Recording, known_text
from slamflow.sharding import in_share, parse_shard, shard_of

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import CollectPairs
    from slamflow.corpora.spoken_pairs import SpokenPairCorpus, SpokenPairSplit
    from slamflow.corpora.spoken_preferences import SpokenPreference, SpokenPreferenceSplit

SIDES = ("good", "bad")
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
    number: int = 0
    """Which one it is of several with this cluster and voice."""

    @property
    def id(self) -> str:
        """The cluster, the voice, and the number of all but the first."""
        voice = [] if self.voice is None else [self.voice]
        return ".".join((self.cluster, *voice, *([str(self.number)] if self.number else [])))

    def recordings(self) -> Iterator[Recording]:
        """Its two recordings, {id}.good and {id}.bad."""
        for side, text, source, opened in zip(SIDES, self.texts, self.sources, self.open, strict=True):
            yield Recording(
                id=f"{self.id}.{side}",
                source=source,
                speaker=self.voice or "unknown",
                text=known_text(text),
                open=opened,
            )

    def record(self) -> dict[str, Any]:
        """What the benchmark is built from."""
        right, wrong = self.texts
        pair = {"id": self.id, "good": right, "bad": wrong}
        return {**pair, "cluster": self.cluster, "phenomenon": self.phenomenon}


def collect_pairs(
    settings: CollectPairs,
    sources: list[Path],
    output: Path,
    text: Path,
    manifest: Path,
    quarantine: Path,
    downloads: Path,
) -> dict[str, Any]:
    """Write one shard: the utterances, which of them are a pair, what was set aside, and the manifest.

    A recording that cannot be used is set aside; its pair stays in the list and is left out when the benchmark, or
    the preferences, are built. Returns the manifest. Raises InputError if there are no pairs at all, or the hub or the
    folder is not right.
    """
    corpus = settings.pairs
    found: Iterable[SpokenPair | SpokenPreference] = CORPORA.module(corpus.kind).pairs(
        corpus, settings, sources, downloads
    )
    records = []
    splits: Mapping[Any, SpokenPairSplit | SpokenPreferenceSplit] = corpus.splits
    chosen = splits[settings.split]
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
    """Yield the pairs of one shard of a dataset of the hub, whose rows are pairs.

    Several rows of one id and voice, such as a word with several pseudo-words, are numbered in their order.
    """
    met: Counter[tuple[str, str | None]] = Counter()
    columns = corpus.columns
    names = [columns.good, columns.bad, *columns.id, columns.voice, columns.phenomenon, *columns.texts]
    for path, name in shard_files(str(corpus.repo), str(corpus.revision), corpus.files, shard, downloads):
        for place, row in table_rows(path, name, [column for column in names if column is not None]):
            texts = [cell(row, column) or "" for column in columns.texts] or ["", ""]
            cluster = ".".join(str(row[column]) for column in columns.id) or place
            voice = cell(row, columns.voice)
            met[cluster, voice] += 1
            yield SpokenPair(
                cluster=cluster,
                voice=voice,
                number=met[cluster, voice] - 1,
                phenomenon=cell(row, columns.phenomenon),
                texts=(texts[0], texts[1]),
                sources=(f"{place}/{columns.good}", f"{place}/{columns.bad}"),
                open=(
                    functools.partial(audio_of, row[columns.good]),
                    functools.partial(audio_of, row[columns.bad]),
                ),
            )
