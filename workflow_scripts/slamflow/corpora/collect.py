"""Recordings of any kind into one speech shard, with a list of those that cannot be used."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterable, Iterator, Sized
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from slamflow import commands, files
from slamflow.audio import AudioError
from slamflow.corpora import CORPORA
from slamflow.corpora.recordings import Recording
from slamflow.corpora.segments import pieces, spoken_pieces
from slamflow.shards.speech import write_speech

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import CollectAudio

log = logging.getLogger("slamflow")

ROW_GROUP_BYTES = 32 << 20
"""Recordings may be long: with this much audio a row group is complete."""
LOG_EVERY_S = 10.0


def recordings_of(settings: CollectAudio, sources: list[Path], downloads: Path) -> Iterable[Recording]:
    """The recordings of one shard. sources: the corpus folder, or the archives of the split; none for the hub."""
    corpus = settings.recordings
    found: Iterable[Recording] = CORPORA.module(corpus.kind).recordings(corpus, settings, sources, downloads)
    limit = corpus.splits[settings.split].recordings
    return found if limit is None else itertools.islice(found, limit)


def speech_rows(
    recordings: Iterable[Recording], max_seconds: float, set_aside: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a speech shard; what cannot be used goes to `set_aside` as {id, audio, reason}."""
    seen: set[str] = set()
    for item in logged(recordings):
        good = 0
        try:
            if item.id in seen:
                raise AudioError("the id occurs twice in this shard")
            seen.add(item.id)
            text = item.text()
            with item.open() as file:
                speech = item.speech() if item.speech else None
                found = pieces(file, max_seconds) if speech is None else spoken_pieces(file, speech, max_seconds)
                for piece in found:
                    yield {
                        "id": item.id if piece.whole else f"{item.id}#{good:04d}",
                        "speaker": item.speaker,
                        "text": text if piece.whole else None,
                        "audio": piece.audio,
                        "source": item.source,
                        "seconds": piece.seconds,
                        "start": piece.start,
                    }
                    good += 1
        except AudioError as error:
            kept = f"; the {good} pieces before that are kept" if good else ""
            set_aside.append({"id": item.id, "audio": item.source, "reason": f"{error}{kept}"})


def logged(recordings: Iterable[Recording]) -> Iterator[Recording]:
    """`recordings`, logging at intervals how many were taken, and the time left where their number is known."""
    if isinstance(recordings, Sized):
        yield from commands.progress(recordings, len(recordings), "recordings")
        return
    started = last = time.monotonic()
    for number, item in enumerate(recordings, start=1):
        yield item
        now = time.monotonic()
        if now - last >= LOG_EVERY_S:
            last = now
            log.info("recordings: %d, %.1f/s", number, number / (now - started))


def collect_audio(
    settings: CollectAudio, sources: list[Path], output: Path, manifest: Path, quarantine: Path, downloads: Path
) -> dict[str, Any]:
    """Write one speech shard, its manifest and the list of what was set aside, as {id, audio, reason}.

    Rows come in the order of the recordings; the pieces of a long one have ids `{id}#0000`, `{id}#0001`, ... and no
    text, since it is not known which words fall into which. Returns the manifest. Raises InputError for sources that
    are missing or hold nothing.
    """
    recordings = recordings_of(settings, sources, downloads)
    about = write_shard(recordings, settings.recordings.max_seconds, output, quarantine)
    result = {"corpus": settings.corpus, "split": settings.split, **about, "settings": settings.model_dump()}
    files.write_json(manifest, result)
    return result


def write_shard(recordings: Iterable[Recording], max_seconds: float, output: Path, quarantine: Path) -> dict[str, Any]:
    """Write a speech shard and the list of what was set aside; returns what its manifest says of it."""
    set_aside: list[dict[str, Any]] = []
    counts = {"recordings": 0, "utterances": 0}
    seconds = 0.0
    source = None

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal seconds, source
        for row in speech_rows(recordings, max_seconds, set_aside):
            counts["recordings"] += row["source"] != source
            source = row["source"]
            counts["utterances"] += 1
            seconds += row["seconds"]
            yield row

    write_speech(output, counted(), ROW_GROUP_BYTES)
    files.write_jsonl(quarantine, set_aside)
    if set_aside:
        first = set_aside[0]
        log.warning("%d set aside, see %s; first: %s (%s)", len(set_aside), quarantine, first["id"], first["reason"])
    return {
        **counts,
        "quarantined": len(set_aside),
        "seconds": round(seconds, 3),
        "sha256": files.sha256_file(output),
        "versions": {
            **{name: version(name) for name in ("numpy", "pyarrow", "soundfile")},
            "libsndfile": soundfile.__libsndfile_version__,
        },
    }
