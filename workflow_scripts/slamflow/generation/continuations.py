"""From speech shards to spoken continuations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from slamflow import commands, files
from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.generation.prompts import Prompt, choose_utterances, encode_prompts, prompt_list, shuffled
from slamflow.generation.sampling import Continuation, continue_units
from slamflow.recipe.generation import ContinueSpeech, Sampling
from slamflow.scorers.language_model import load_model, read_vocabulary
from slamflow.shards.continuations import write_continuations
from slamflow.shards.speech import encode_flac
from slamflow.tokenizers.tokenizer import load_tokenizer, prepare_torch
from slamflow.vocoders.vocoder import UnitVocoder, load_vocoder

CUDA_BATCH_SECONDS = 600.0


def continue_speech(
    settings: ContinueSpeech,
    model: Path | None,
    audio: list[Path],
    codebook: Path,
    tokenizer_model: Path | None,
    vocoder: Path,
    output: Path,
    prompts_output: Path,
    workers: int,
) -> None:
    """Continue prompts and write what is spoken, and which prompts they were.

    By the model in a folder or, without one, as `settings.model` says: "truth", the true rest, or "shuffled", the units
    of the true rest shuffled.
    """
    device = prepare_torch()
    speaker = load_vocoder(vocoder)
    # Alone, as everything is encoded on a CPU, a file has the same units regardless of batch composition.
    batch_seconds = CUDA_BATCH_SECONDS if device.type == "cuda" else 0.0
    tokenizer = load_tokenizer(settings.encoder, tokenizer_model, codebook, device, batch_seconds)
    sampling = settings.sampling
    utterances, left_out = choose_utterances(audio, sampling, settings.holds)
    if len(utterances) < sampling.prompts:
        commands.log.warning("only %d prompts, %d were asked", len(utterances), sampling.prompts)
    prompts = encode_prompts(utterances, sampling.prompt_seconds, tokenizer, with_rest=model is None)
    about = prompt_list(settings, utterances, prompts, left_out)
    commands.log.info("%d prompts encoded, list %s", len(prompts), about["sha256"][:12])
    if model is None:
        continuations = continue_by_reference(settings.model, prompts, sampling)
    else:
        continuations = continue_by_model(model, prompts, sampling)

    def speak(index: int) -> dict[str, Any]:
        return spoken(prompts[index], continuations[index], speaker)

    with ThreadPoolExecutor(workers) as pool:
        numbers = range(len(prompts))
        rows = list(commands.progress(pool.map(speak, numbers), len(prompts), "continuations spoken"))
    write_continuations(output, settings.model, rows)
    files.write_json(prompts_output, about)
    lengths = [len(continuation.units) for continuation in continuations]
    commands.log.info(
        "%d continuations of %.0f units on average, %d ended",
        len(rows),
        np.mean(lengths),
        sum(continuation.ended for continuation in continuations),
    )


def continue_by_model(folder: Path, prompts: list[Prompt], sampling: Sampling) -> list[Continuation]:
    """What the model in a folder samples behind each prompt."""
    model = load_model(folder)
    ids, units = [prompt.id for prompt in prompts], [prompt.units for prompt in prompts]
    return continue_units(model, read_vocabulary(folder, model), ids, units, sampling)


def continue_by_reference(name: str, prompts: list[Prompt], sampling: Sampling) -> list[Continuation]:
    """The true rest of each prompt, as it is ("truth") or shuffled ("shuffled")."""
    orders = {
        "truth": lambda units, _: units,
        "shuffled": lambda units, prompt: shuffled(units, sampling.seed, prompt.id),
    }
    if name not in orders:
        raise InputError(f"{name}: give the folder of the model by --model; without one there are {', '.join(orders)}")
    result = []
    for prompt in prompts:
        units = prompt.rest[: sampling.max_new_tokens]
        result.append(Continuation(orders[name](units, prompt), ended=len(units) == len(prompt.rest)))
    return result


def spoken(prompt: Prompt, continuation: Continuation, vocoder: UnitVocoder) -> dict[str, Any]:
    """A row of continuations: prompt and continuation, spoken as one utterance."""
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
