"""From speech shards to spoken continuations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow import commands, files
from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.evaluation.likelihood import load_model
from slamflow.generation.prompts import SCHEMA, Prompt, choose_waves, encode_prompts, shuffled
from slamflow.generation.sampling import Continuation, continue_units
from slamflow.settings.generation import ContinueSpeech, Sampling
from slamflow.speech.shards import encode_flac
from slamflow.units.codebook import Quantizer, read_codebook
from slamflow.units.encoders import load_encoder, prepare_torch
from slamflow.vocoder.synthesis import UnitVocoder, load_vocoder

CUDA_BATCH_SECONDS = 600.0


def continue_speech(
    settings: ContinueSpeech,
    source: Path | str,
    audio: list[Path],
    codebook: Path,
    encoder_model: Path | None,
    vocoder: Path,
    output: Path,
    workers: int,
) -> None:
    """Continue prompts by `source` (a model's folder, or "truth" or "shuffled") and write what is spoken."""
    device = prepare_torch()
    speaker = load_vocoder(vocoder)
    # Alone, as everything is encoded on a CPU, a file has the same units in whatever company.
    encoder = load_encoder(
        settings.encoder, encoder_model, device, CUDA_BATCH_SECONDS if device.type == "cuda" else 0.0
    )
    quantizer = Quantizer(read_codebook(codebook), device)
    sampling = settings.sampling
    waves = choose_waves(audio, sampling.prompts, sampling.prompt_seconds)
    if len(waves) < sampling.prompts:
        commands.log.warning("only %d prompts, %d were asked", len(waves), sampling.prompts)
    prompts = encode_prompts(waves, sampling.prompt_seconds, encoder, quantizer, with_rest=isinstance(source, str))
    commands.log.info("%d prompts encoded", len(prompts))
    continuations = continue_prompts(source, prompts, sampling)

    def speak(index: int) -> dict[str, Any]:
        return spoken(prompts[index], continuations[index], speaker)

    with ThreadPoolExecutor(workers) as pool:
        numbers = range(len(prompts))
        rows = list(commands.progress(pool.map(speak, numbers), len(prompts), "continuations spoken"))
    with files.atomic_path(output) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), temporary, compression="none")
    lengths = [len(continuation.units) for continuation in continuations]
    commands.log.info(
        "%d continuations of %.0f units on average, %d ended",
        len(rows),
        np.mean(lengths),
        sum(continuation.ended for continuation in continuations),
    )


def continue_prompts(source: Path | str, prompts: list[Prompt], sampling: Sampling) -> list[Continuation]:
    """What follows each prompt: sampled from the model in a folder, the true rest, or its units in disorder."""
    if isinstance(source, Path):
        model = load_model(source)
        return continue_units(model, [prompt.id for prompt in prompts], [prompt.units for prompt in prompts], sampling)
    if source not in ("truth", "shuffled"):
        raise InputError(f"{source}: neither a model's folder nor truth nor shuffled")
    result = []
    for prompt in prompts:
        units = prompt.rest[: sampling.max_new_tokens]
        ended = len(units) == len(prompt.rest)
        result.append(Continuation(units if source == "truth" else shuffled(units, sampling.seed, prompt.id), ended))
    return result


def spoken(prompt: Prompt, continuation: Continuation, vocoder: UnitVocoder) -> dict[str, Any]:
    """A row of SCHEMA: prompt and continuation, spoken in one breath."""
    units = np.concatenate([prompt.units, continuation.units])
    durations = vocoder.durations(units)
    wave = vocoder(units, durations)
    return {
        "id": prompt.id,
        "text": prompt.text,
        "prompt": prompt.units,
        "continuation": continuation.units,
        "ended": continuation.ended,
        "prompt_seconds": durations[: len(prompt.units)].sum() / vocoder.frame_rate_hz,
        "seconds": len(wave) / SAMPLE_RATE,
        "audio": encode_flac(wave, SAMPLE_RATE),
    }
