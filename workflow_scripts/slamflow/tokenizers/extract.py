"""Speech shards to frames for a codebook, and to unit shards."""

from __future__ import annotations

import heapq
import importlib.metadata
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slamflow.audio import SAMPLE_RATE, AudioError, duration
from slamflow.commands import log
from slamflow.errors import InputError
from slamflow.files import sha256_file, write_json, write_jsonl
from slamflow.sharding import stable_hash
from slamflow.shards.parquet import open_parquet
from slamflow.shards.speech import SPEECH_COLUMNS, read_speech
from slamflow.shards.units import write_units
from slamflow.tokenizers import FrameTokenizerSettings
from slamflow.tokenizers.codebook import Codebook, Quantizer, fit_codebook, read_codebook
from slamflow.tokenizers.job_settings import ExtractUnits, FitUnits
from slamflow.tokenizers.precision import COMPARED_SECONDS, EXACT, compared, difference, precision_of
from slamflow.tokenizers.tokenizer import Encoded, FrameTokenizer, encoder_digest
from slamflow.tokenizers.workers import Frames, Pool, Work, encoder_pool

PACKAGES = ("numpy", "pyarrow", "soundfile", "soxr", "torch")


def versions() -> dict[str, str]:
    """Versions of the packages that the numbers depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


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
    pool: Pool,
    audio: Path,
    output: Path,
    manifest: Path,
    quarantine: Path,
) -> dict[str, Any]:
    """Encode one speech shard and write its unit shard, manifest and list of what was set aside.

    Rows keep their order. A recording that cannot be used, or whose id came before, goes to `quarantine` as
    {id, audio, reason}. `pool` is what `encoder_pool` yields. Returns the manifest; with another
    precision than fp32 it says how far the units of some recordings are from those in fp32.
    """
    work = pool.work
    assert work.codebook is not None
    precision = precision_of(settings.encoder)
    sample: list[bytes | None] = []
    sampled: set[int] = set()
    warn_of_other_precision(work.codebook, precision)
    if precision != EXACT:
        sampled = compared([stable_hash(row["id"]) for row in read_speech(audio, ("id",))])
    set_aside: list[dict[str, Any]] = []
    counts = {"utterances": 0, "frames": 0, "units": 0, "near_ties": 0}
    samples = 0
    with open_parquet(audio, SPEECH_COLUMNS, "speech shard") as file:
        progress = Progress("extract_units", file.metadata.num_rows)

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal samples
        seen: set[str] = set()
        waiting: deque[dict[str, Any]] = deque()

        def recordings() -> Iterator[bytes | None]:
            for number, row in enumerate(read_speech(audio)):
                data = row.pop("audio")
                if number in sampled:
                    sample.append(data)
                waiting.append(row)
                yield data

        for result in pool.encode(recordings()):
            row = waiting.popleft()
            reason = result.reason
            if row["id"] in seen:
                reason = "the id occurs twice in this shard"
            seen.add(row["id"])
            if reason is not None:
                set_aside.append({"id": row["id"], "audio": row["source"], "reason": reason})
                progress.add(0.0)
                continue
            assert isinstance(result.encoded, Encoded)
            samples += result.samples
            counts["utterances"] += 1
            counts["frames"] += int(result.encoded.durations.sum(dtype=np.int64))
            counts["units"] += len(result.encoded.units)
            counts["near_ties"] += result.encoded.near_ties
            yield {
                "id": row["id"],
                "corpus": settings.corpus,
                "audio": row["source"],
                "speaker": row["speaker"],
                "split": settings.split,
                "text": row["text"],
                "start": row["start"],
                "seconds": result.samples / SAMPLE_RATE,
                "units": result.encoded.units,
                "durations": result.encoded.durations,
            }
            progress.add(result.samples / SAMPLE_RATE)

    write_units(output, rows())
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
        "frame_rate_hz": pool.tick_hz,
        **({"against_fp32": against_fp32(pool, sample)} if precision != EXACT else {}),
        "settings": settings.model_dump(),
        "codebook_sha256": sha256_file(work.codebook),
        "encoder_sha256": encoder_digest(settings.encoder, work.model),
        "sha256": sha256_file(output),
        "versions": versions(),
    }
    write_json(manifest, result_manifest)
    return result_manifest


def warn_of_other_precision(codebook: Path, precision: str) -> None:
    """Say that a codebook was fitted on frames of another precision, as far as it tells."""
    fitted = read_codebook(codebook).precision
    if fitted != precision:
        log.warning("%s: fitted on frames in %s; now they are in %s", codebook, fitted, precision)


def against_fp32(pool: Pool, recordings: list[bytes | None]) -> dict[str, float | int | None]:
    """How far the units of the beginnings of recordings are from those in float32 (see `difference`)."""
    waves = [wave for data in recordings if not isinstance(wave := pool.here.decode(data), str)]
    waves = [wave[: round(COMPARED_SECONDS * SAMPLE_RATE)] for wave in waves]
    found, exact = pool.here.tokenizer, pool.exact.tokenizer
    assert isinstance(found, FrameTokenizer) and isinstance(exact, FrameTokenizer)  # noqa: PT018
    units = [[units for units, _ in tokenizer.assign(waves)] for tokenizer in (exact, found)]
    return difference(*units)


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
    settings: FitUnits, shards: list[Path], model: Path | None, output: Path, manifest: Path, workers: int = 1
) -> dict[str, Any]:
    """Fit a codebook on the frames of some speech and write it with its manifest, which is returned.

    The frames lie in the order of stable_hash(id), whatever the order of the shards.
    """
    encoder = settings.encoder
    assert isinstance(encoder, FrameTokenizerSettings) and encoder.fit is not None  # noqa: PT018
    chosen = choose_speech(shards, encoder.fit.hours)
    total = sum(len(numbers) for numbers in chosen.values())
    progress = Progress("fit_units", total)
    parts: list[tuple[int, str, int, np.ndarray]] = []
    set_aside: list[dict[str, Any]] = []
    waiting: deque[str] = deque()

    def recordings() -> Iterator[bytes | None]:
        for shard in sorted(shards):
            numbers = chosen.get(shard, set())
            for number, row in enumerate(read_speech(shard, ("id", "audio")) if numbers else ()):
                if number in numbers:
                    waiting.append(row["id"])
                    yield row["audio"]

    with encoder_pool(Work(encoder, model, None), workers) as pool:
        tick_hz = pool.tick_hz
        for result in pool.encode(recordings()):
            item = waiting.popleft()
            if isinstance(result.encoded, Frames):
                parts.append((stable_hash(item), item, result.samples, result.encoded.frames))
                progress.add(result.samples / SAMPLE_RATE)
            else:
                set_aside.append({"id": item, "reason": str(result.reason)})
                progress.add(0.0)
    if not parts:
        raise InputError(f"none of {total} recordings could be encoded; first reason: {set_aside[:1]}")
    parts.sort(key=lambda part: part[:2])
    seconds = sum(samples for _, _, samples, _ in parts) / SAMPLE_RATE
    if seconds < encoder.fit.hours * 3600 * 0.99:
        log.warning("only %.2f h of speech for a codebook, %.2f h were asked", seconds / 3600, encoder.fit.hours)
    frames = np.concatenate([frames for _, _, _, frames in parts])
    parts.clear()
    log.info("k-means: %d frames of %.0f s, %d clusters", len(frames), seconds, encoder.clusters)
    codebook = fit_codebook(frames, encoder.clusters, encoder.fit.seed, encoder.standardize)
    codebook = replace(codebook, precision=precision_of(encoder))
    codebook.save(output)
    extra = {
        "utterances": total - len(set_aside),
        "quarantined": set_aside,
        "seconds": round(seconds, 3),
        **describe_fit(codebook, frames),
    }
    return write_codebook_manifest(settings, model, codebook, tick_hz, output, manifest, extra)


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
    settings: FitUnits,
    model: Path | None,
    codebook: Codebook,
    tick_hz: float,
    output: Path,
    manifest: Path,
    extra: dict[str, Any],
) -> dict[str, Any]:
    """Write what is known about a saved codebook beside it."""
    clusters, dimension = codebook.centroids.shape
    value = {
        **extra,
        "clusters": clusters,
        "dimension": dimension,
        "frame_rate_hz": tick_hz,
        "standardized": codebook.mean is not None,
        "settings": settings.model_dump(),
        "encoder_sha256": encoder_digest(settings.encoder, model),
        "sha256": sha256_file(output),
        "versions": versions(),
    }
    write_json(manifest, value)
    return value
