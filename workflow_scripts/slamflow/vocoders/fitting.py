"""Training a vocoder on the speech of one voice and its units."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from slamflow import files
from slamflow.arithmetic import multiplies_bf16
from slamflow.audio import SAMPLE_RATE, AudioError, decode
from slamflow.commands import log
from slamflow.errors import InputError
from slamflow.sharding import stable_hash
from slamflow.shards.speech import read_speech
from slamflow.vocoders.job_settings import TrainVocoder
from slamflow.vocoders.network import repeat
from slamflow.vocoders.spectrogram import HOP, Spectrogram
from slamflow.vocoders.synthesis import MelVocoder, new_network
from slamflow.vocoders.trained import TrainedVocoder, VocoderTraining
from slamflow.vocoders.vocoder import DESCRIPTION, WEIGHTS

PIECE_SECONDS = 5.12
"""Utterances are trained on in pieces of about this length."""
MISMATCH = 3
"""By how many frames units may outlast their speech, or fall short: encoders drop what fills no frame."""
WARMUP = 0.05
GRADIENT_CLIP = 1.0
DURATION_WEIGHT = 0.2
UNIT_COLUMNS = ("id", "speaker", "seconds", "units", "durations")


@dataclass(frozen=True)
class Pieces:
    """Training examples, padded: units int64 [n, u], durations int64 [n, u] (0 is padding), mels float32 [n, m, b]."""

    units: torch.Tensor
    durations: torch.Tensor
    mels: torch.Tensor


def choose_utterances(shards: list[Path], speaker: str | None, hours: float) -> tuple[str, dict[str, dict[str, Any]]]:
    """Utterances of one voice, in the order of stable_hash(id), until `hours` are reached.

    Without a `speaker`, the voice with most speech. Returns the voice, and the rows of the unit shards by id.
    Raises InputError if there is no speech of that voice.
    """
    rows = [row for shard in shards for row in read_speech(shard, UNIT_COLUMNS) if row["units"]]
    spoken: Counter[str] = Counter()
    for row in rows:
        spoken[str(row["speaker"])] += row["seconds"]
    if speaker is None:
        speaker = min(spoken, key=lambda name: (-spoken[name], name), default=None)
    if speaker is None or speaker not in spoken:
        raise InputError(f"no units of the speaker {speaker!r}; there are {', '.join(sorted(spoken)) or 'none'}")
    chosen: dict[str, dict[str, Any]] = {}
    left = hours * 3600
    for row in sorted(rows, key=lambda row: (stable_hash(row["id"]), row["id"])):
        if left <= 0:
            break
        if str(row["speaker"]) == speaker:
            chosen[row["id"]] = row
            left -= row["seconds"]
    if left > 0.01 * hours * 3600:
        log.warning("only %.2f h of speech by %s, %.2f h were asked", hours - left / 3600, speaker, hours)
    return speaker, chosen


def read_waves(shards: list[Path], ids: set[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Waveforms of the utterances `ids`, in the order of the shards. What cannot be decoded is passed over."""
    for shard in shards:
        for row in read_speech(shard, ("id", "audio")):
            if row["id"] in ids:
                try:
                    yield row["id"], decode(row["audio"] or b"")
                except AudioError as error:
                    log.warning("%s is left out: %s", row["id"], error)


def cut(durations: np.ndarray, longest: int) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of runs of units that last at most `longest` frames together; a longer unit is left out."""
    first = frames = 0
    for index, duration in enumerate(durations.tolist()):
        if frames + duration > longest:
            if first < index:
                yield first, index
            first, frames = index, 0
            if duration > longest:
                first = index + 1
                continue
        frames += duration
    if first < len(durations):
        yield first, len(durations)


def make_pieces(utterances: dict[str, dict[str, Any]], audio: list[Path], settings: TrainVocoder) -> Pieces:
    """Cut utterances in pieces, with the mel spectra of their speech. Raises InputError if there are none."""
    spectrogram = Spectrogram()
    ratio = round(SAMPLE_RATE / HOP / settings.frame_rate_hz)
    longest = round(PIECE_SECONDS * settings.frame_rate_hz)
    found: dict[str, list[tuple[np.ndarray, np.ndarray, torch.Tensor]]] = {}
    unequal = 0
    for item, wave in read_waves(audio, set(utterances)):
        units = np.asarray(utterances[item]["units"], dtype=np.int64)
        durations = np.asarray(utterances[item]["durations"], dtype=np.int64)
        if units.max() >= settings.units:
            raise InputError(
                f"{item}: unit {units.max()}, but the encoder has {settings.units}; extract its units again"
            )
        mel = spectrogram.mel(torch.from_numpy(wave))
        starts = ratio * np.concatenate([[0], np.cumsum(durations)])
        if abs(len(mel) - starts[-1]) > MISMATCH * ratio:
            unequal += 1
            continue
        mel = torch.cat([mel, mel[-1:].expand(max(0, starts[-1] - len(mel)), -1)])
        found[item] = [
            (units[first:end], durations[first:end], mel[starts[first] : starts[end]])
            for first, end in cut(durations, longest)
        ]
    if unequal:
        log.warning("%d utterances are left out: their units do not last as long as their speech", unequal)
    pieces = [piece for item in utterances for piece in found.get(item, [])]
    if not pieces:
        raise InputError(
            f"nothing to train on: of {len(utterances)} utterances with units, {unequal} last longer or shorter than "
            "their speech and the others are not among the audio; give the audio that the units were made from"
        )
    size = (len(pieces), max(len(piece[0]) for piece in pieces))
    result = Pieces(
        torch.zeros(size, dtype=torch.int64),
        torch.zeros(size, dtype=torch.int64),
        torch.zeros(len(pieces), longest * ratio, pieces[0][2].shape[1]),
    )
    for index, (units, durations, mel) in enumerate(pieces):
        result.units[index, : len(units)] = torch.from_numpy(units)
        result.durations[index, : len(durations)] = torch.from_numpy(durations)
        result.mels[index, : len(mel)] = mel
    return result


def batches(count: int, size: int, steps: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield `steps` batches of indices below `count`; all are seen before one comes again."""
    generator = torch.Generator().manual_seed(seed)
    waiting = torch.zeros(0, dtype=torch.int64)
    for _ in range(steps):
        while len(waiting) < size:
            waiting = torch.cat([waiting, torch.randperm(count, generator=generator)])
        yield waiting[:size]
        waiting = waiting[size:]


def rate(step: int, steps: int, peak: float) -> float:
    """Learning rate of a step, counted from 0: a linear rise, then a cosine to 0."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def training_of(settings: TrainVocoder) -> VocoderTraining:
    """How the vocoder is trained."""
    assert isinstance(settings.vocoder, TrainedVocoder)
    return settings.vocoder.training


def train(settings: TrainVocoder, audio: list[Path], units: list[Path]) -> tuple[MelVocoder, dict[str, Any]]:
    """Train a vocoder on speech shards and the unit shards made from them.

    The loss of the mels is their absolute error, that of the durations a Poisson likelihood, whose optimum is their
    expectation. The same inputs and number of threads give the same weights. Returns the vocoder and a record.
    """
    training = training_of(settings)
    torch.manual_seed(training.seed)
    network = new_network(settings.units, training.width, training.blocks, settings.frame_rate_hz)
    speaker, utterances = choose_utterances(units, training.speaker, training.hours)
    started = time.monotonic()
    pieces = make_pieces(utterances, audio, settings)
    frames = int(pieces.durations.sum())
    ratio = network.mel.out_features // network.bands
    spoken = (torch.arange(pieces.mels.shape[1]) < pieces.durations.sum(1, keepdim=True) * ratio)[:, :, None]
    mean = pieces.mels.sum((0, 1)) / spoken.sum()
    deviation = ((pieces.mels - mean).square() * spoken).sum((0, 1)).div(spoken.sum()).sqrt().clamp(min=1e-3)
    network.mel_mean.copy_(mean)
    network.mel_deviation.copy_(deviation)
    log.info(
        "train_vocoder: %d pieces, %.2f h of %s", len(pieces.units), frames / settings.frame_rate_hz / 3600, speaker
    )

    optimizer = torch.optim.AdamW(
        network.parameters(), lr=training.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    size = max(1, round(training.batch_seconds / PIECE_SECONDS))
    sums = {"mel_error": 0.0, "duration_error": 0.0}
    history: list[dict[str, float]] = []
    since = 0
    last = time.monotonic()
    for step, batch in enumerate(batches(len(pieces.units), size, training.steps, training.seed)):
        optimizer.param_groups[0]["lr"] = rate(step, training.steps, training.learning_rate)
        durations = pieces.durations[batch]
        inside = (durations > 0)[:, :, None].float()
        owner, place, heard = repeat(durations, pieces.mels.shape[1] // ratio)
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16()):
            hidden, log_extra = network.read(pieces.units[batch], inside)
            predicted = network.speak(hidden, owner, place, heard)
        predicted, log_extra = predicted.float(), log_extra.float()
        target = (pieces.mels[batch] - mean) / deviation
        weight = heard.repeat_interleave(ratio, dim=1)
        mel_error = ((predicted - target).abs() * weight).sum() / (weight.sum() * network.bands)
        poisson = F.poisson_nll_loss(log_extra, (durations - 1).clamp(min=0).float(), reduction="none")
        duration_error = (poisson * inside[:, :, 0]).sum() / inside.sum()
        optimizer.zero_grad(set_to_none=True)
        (mel_error + DURATION_WEIGHT * duration_error).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_CLIP)
        optimizer.step()
        latest = {"mel_error": mel_error.item(), "duration_error": duration_error.item()}
        sums = {name: value + latest[name] for name, value in sums.items()}
        since += 1
        if (step + 1) % max(1, training.steps // 20) == 0 or step + 1 == training.steps:
            history.append({"step": step + 1, **{name: round(value / since, 5) for name, value in sums.items()}})
            sums, since = dict.fromkeys(sums, 0.0), 0
        if time.monotonic() - last > 10 or step + 1 == training.steps:
            last = time.monotonic()
            left = (training.steps - step - 1) * (last - started) / (step + 1)
            log.info(
                "train_vocoder: step %d of %d, mel error %.3f, %.0f s left",
                step + 1,
                training.steps,
                latest["mel_error"],
                left,
            )
    record = {
        "speaker": speaker,
        "utterances": len(utterances),
        "seconds": round(frames / settings.frame_rate_hz, 3),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "history": history,
    }
    return MelVocoder(network, settings.frame_rate_hz), record


def train_to_folder(settings: TrainVocoder, audio: list[Path], units: list[Path], threads: int, output: Path) -> None:
    """Train a vocoder and write vocoder.safetensors and vocoder.json (shape, voice, course of the training)."""
    torch.set_num_threads(threads)
    vocoder, record = train(settings, audio, units)
    vocoder.save_weights(output / WEIGHTS)
    files.write_json(
        output / DESCRIPTION,
        {
            "kind": settings.vocoder.kind,
            "units": settings.units,
            "frame_rate_hz": settings.frame_rate_hz,
            "width": training_of(settings).width,
            "blocks": training_of(settings).blocks,
            "training": record,
            "settings": settings.model_dump(),
            "sha256": files.sha256_file(output / WEIGHTS),
            "versions": {name: version(name) for name in ("numpy", "soundfile", "soxr", "torch")},
        },
    )
