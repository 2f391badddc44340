"""Speech shards to frames for a codebook, and to unit shards."""

from __future__ import annotations

import heapq
import importlib.metadata
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow.audio import SAMPLE_RATE, AudioError, duration
from slamflow.commands import log
from slamflow.errors import InputError
from slamflow.files import atomic_path, sha256_file, write_json, write_jsonl
from slamflow.settings.units import Encoder, ExtractUnits
from slamflow.sharding import stable_hash
from slamflow.units.codebook import Codebook, Quantizer, fit_codebook
from slamflow.units.encoders import encoder_digest
from slamflow.units.workers import Frames, Units, Work, encoder_pool

SPEECH_COLUMNS = ("id", "speaker", "text", "audio", "source", "seconds", "start")
UNIT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("corpus", pa.string()),
        ("audio", pa.string()),
        ("speaker", pa.string()),
        ("split", pa.string()),
        ("text", pa.string()),
        ("start", pa.float32()),
        ("seconds", pa.float32()),
        ("units", pa.list_(pa.uint16())),
        ("durations", pa.list_(pa.uint16())),
    ]
)
"""A unit shard: `audio` names the source, `seconds` is what was decoded, `durations` counts frames."""
ROW_GROUP = 1000
ROWS_AT_A_TIME = 16
PACKAGES = ("numpy", "pyarrow", "soundfile", "soxr", "torch")


def versions() -> dict[str, str]:
    """Versions of the packages that decide about the numbers."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


@contextmanager
def open_parquet(path: Path, columns: Iterable[str], what: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file. Raises InputError, also from the body, if it is damaged or lacks a column."""
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            missing = set(columns) - set(file.schema_arrow.names)
            if missing:
                raise InputError(f"{path}: no column {', '.join(sorted(missing))}; not a {what}")
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, pa.ArrowIOError) as error:
        raise InputError(f"{path}: cannot be read ({error}); delete it and run again") from None


def read_speech(path: Path, columns: Iterable[str] = SPEECH_COLUMNS) -> Iterator[dict[str, Any]]:
    """Stream the rows of a speech shard."""
    columns = list(columns)
    with open_parquet(path, columns, "speech shard") as file:
        for batch in file.iter_batches(ROWS_AT_A_TIME, columns=columns, use_threads=False):
            yield from batch.to_pylist()


class Progress:
    """Logs utterances, seconds of audio per second, and the time left."""

    def __init__(self, what: str, total: int, every_seconds: float = 10.0) -> None:
        self.what, self.total, self.every_seconds = what, total, every_seconds
        self.done = 0
        self.audio = 0.0
        self.started = self.last = time.monotonic()

    def add(self, audio_seconds: float) -> None:
        """Count one utterance."""
        self.done += 1
        self.audio += audio_seconds
        now = time.monotonic()
        if now - self.last >= self.every_seconds or self.done == self.total:
            self.last = now
            elapsed = max(now - self.started, 1e-9)
            left = (self.total - self.done) * elapsed / self.done
            log.info(
                "%s: %d of %d utterances, %.0f s of audio per second, %.0f s left",
                self.what,
                self.done,
                self.total,
                self.audio / elapsed,
                left,
            )


def extract_shard(
    settings: ExtractUnits,
    audio: Path,
    codebook: Path,
    model: Path | None,
    output: Path,
    manifest: Path,
    quarantine: Path,
    workers: int = 1,
    batch_seconds: float | None = None,
) -> dict[str, Any]:
    """Encode one speech shard and write its unit shard, manifest and list of what was set aside.

    Rows keep their order. A recording that cannot be used, or whose id came before, goes to `quarantine` as
    {id, audio, reason}. `batch_seconds` overrides how much audio is encoded at once. Returns the manifest.
    """
    work = Work(settings.encoder, model, codebook, batch_seconds)
    rows: list[dict[str, Any]] = []
    set_aside: list[dict[str, Any]] = []
    counts = {"utterances": 0, "frames": 0, "units": 0, "near_ties": 0}
    samples = 0
    seen: set[str] = set()
    with ExitStack() as stack:
        encode = stack.enter_context(encoder_pool(work, workers))
        with open_parquet(audio, SPEECH_COLUMNS, "speech shard") as file:
            progress = Progress("extract_units", file.metadata.num_rows)
        temporary = stack.enter_context(atomic_path(output))
        writer = stack.enter_context(pq.ParquetWriter(temporary, UNIT_SCHEMA, compression="zstd"))
        waiting: deque[dict[str, Any]] = deque()

        def recordings() -> Iterator[bytes | None]:
            for row in read_speech(audio):
                waiting.append(row)
                yield row.pop("audio")

        for result in encode(recordings()):
            row = waiting.popleft()
            reason = result if isinstance(result, str) else None
            if row["id"] in seen:
                reason = "the id occurs twice in this shard"
            seen.add(row["id"])
            if reason is not None:
                set_aside.append({"id": row["id"], "audio": row["source"], "reason": reason})
                progress.add(0.0)
                continue
            assert isinstance(result, Units)
            samples += result.samples
            counts["utterances"] += 1
            counts["frames"] += int(result.durations.sum(dtype=np.int64))
            counts["units"] += len(result.units)
            counts["near_ties"] += result.near_ties
            rows.append(
                {
                    "id": row["id"],
                    "corpus": settings.corpus,
                    "audio": row["source"],
                    "speaker": row["speaker"],
                    "split": settings.split,
                    "text": row["text"],
                    "start": row["start"],
                    "seconds": result.samples / SAMPLE_RATE,
                    "units": result.units,
                    "durations": result.durations,
                }
            )
            if len(rows) == ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, UNIT_SCHEMA))
                rows.clear()
            progress.add(result.samples / SAMPLE_RATE)
        if rows or not counts["utterances"]:
            writer.write_table(pa.Table.from_pylist(rows, UNIT_SCHEMA))
    if set_aside:
        first = set_aside[0]
        log.warning("%d set aside, see %s; first: %s (%s)", len(set_aside), quarantine, first["id"], first["reason"])
    write_jsonl(quarantine, set_aside)
    seconds = samples / SAMPLE_RATE
    result_manifest = {
        **counts,
        "quarantined": len(set_aside),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(counts["units"] / seconds, 3) if seconds else None,
        "frame_rate_hz": settings.encoder.frame_rate_hz,
        "settings": settings.model_dump(),
        "codebook_sha256": sha256_file(codebook),
        "encoder_sha256": encoder_digest(model),
        "sha256": sha256_file(output),
        "versions": versions(),
    }
    write_json(manifest, result_manifest)
    return result_manifest


def choose_speech(shards: list[Path], hours: float) -> dict[Path, set[int]]:
    """Which rows of each shard to fit on: in the order of stable_hash(id), until `hours` are reached.

    Lengths come from the column `seconds`, or where that is null from the audio's header; what cannot be opened is
    passed over.
    """
    candidates: list[tuple[int, str, int, Path, float]] = []
    for shard in shards:
        unknown: list[int] = []
        for number, row in enumerate(read_speech(shard, ("id", "seconds"))):
            if row["seconds"] is None:
                unknown.append(number)
            else:
                candidates.append((stable_hash(row["id"]), row["id"], number, shard, row["seconds"]))
        if unknown:
            wanted = set(unknown)
            for number, row in enumerate(read_speech(shard, ("id", "audio"))):
                if number in wanted:
                    try:
                        seconds = duration(row["audio"] or b"")
                    except AudioError:
                        continue
                    candidates.append((stable_hash(row["id"]), row["id"], number, shard, seconds))
    heapq.heapify(candidates)
    chosen: dict[Path, set[int]] = {}
    left = hours * 3600
    while left > 0 and candidates:
        _, _, number, shard, seconds = heapq.heappop(candidates)
        chosen.setdefault(shard, set()).add(number)
        left -= seconds
    return chosen


def fit_units(
    settings: Encoder, shards: list[Path], model: Path | None, output: Path, manifest: Path, workers: int = 1
) -> dict[str, Any]:
    """Fit a codebook on the frames of some speech and write it with its manifest, which is returned.

    The frames lie in the order of stable_hash(id), whatever the order of the shards.
    """
    assert settings.fit is not None
    chosen = choose_speech(shards, settings.fit.hours)
    total = sum(len(numbers) for numbers in chosen.values())
    progress = Progress("fit_units", total)
    parts: list[tuple[int, str, Frames]] = []
    set_aside: list[dict[str, Any]] = []
    waiting: deque[str] = deque()

    def recordings() -> Iterator[bytes | None]:
        for shard in sorted(shards):
            numbers = chosen.get(shard, set())
            for number, row in enumerate(read_speech(shard, ("id", "audio")) if numbers else ()):
                if number in numbers:
                    waiting.append(row["id"])
                    yield row["audio"]

    with encoder_pool(Work(settings, model, None), workers) as encode:
        for result in encode(recordings()):
            item = waiting.popleft()
            if isinstance(result, Frames):
                parts.append((stable_hash(item), item, result))
                progress.add(result.samples / SAMPLE_RATE)
            else:
                set_aside.append({"id": item, "reason": str(result)})
                progress.add(0.0)
    if not parts:
        raise InputError(f"none of {total} recordings could be encoded; first reason: {set_aside[:1]}")
    parts.sort(key=lambda part: part[:2])
    seconds = sum(part.samples for _, _, part in parts) / SAMPLE_RATE
    if seconds < settings.fit.hours * 3600 * 0.99:
        log.warning("only %.2f h of speech for a codebook, %.2f h were asked", seconds / 3600, settings.fit.hours)
    frames = np.concatenate([part.frames for _, _, part in parts])
    parts.clear()
    log.info("k-means: %d frames of %.0f s, %d clusters", len(frames), seconds, settings.clusters)
    codebook = fit_codebook(frames, settings.clusters, settings.fit.seed, settings.standardize)
    codebook.save(output)
    extra = {
        "utterances": total - len(set_aside),
        "quarantined": set_aside,
        "seconds": round(seconds, 3),
        **describe_fit(codebook, frames),
    }
    return write_codebook_manifest(settings, model, codebook, output, manifest, extra)


def describe_fit(codebook: Codebook, frames: np.ndarray) -> dict[str, Any]:
    """How the fitting frames fall on the centroids: clusters in use, and the perplexity of the units."""
    import torch

    units, _ = Quantizer(codebook, torch.device("cpu")).assign(torch.from_numpy(frames))
    share = np.bincount(units, minlength=len(codebook.centroids)) / len(units)
    used = share[share > 0]
    return {
        "frames": len(frames),
        "clusters_used": len(used),
        "perplexity": round(float(np.exp(-(used * np.log(used)).sum())), 3),
    }


def write_codebook_manifest(
    settings: Encoder, model: Path | None, codebook: Codebook, output: Path, manifest: Path, extra: dict[str, Any]
) -> dict[str, Any]:
    """Write what is known about a codebook beside it."""
    clusters, dimension = codebook.centroids.shape
    value = {
        **extra,
        "clusters": clusters,
        "dimension": dimension,
        "frame_rate_hz": settings.frame_rate_hz,
        "standardized": codebook.mean is not None,
        "settings": settings.model_dump(),
        "encoder_sha256": None if model is None and settings.kind != "logmel" else encoder_digest(model),
        "sha256": sha256_file(output),
        "versions": versions(),
    }
    write_json(manifest, value)
    return value
