"""Spoken prompts and their true continuations."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slamflow.audio import SAMPLE_RATE, AudioError, decode, duration
from slamflow.commands import log
from slamflow.errors import InputError
from slamflow.sharding import stable_hash
from slamflow.shards.speech import read_speech
from slamflow.tokenizers.sequences import deduplicate, join
from slamflow.tokenizers.tokenizer import SpeechTokenizer

PARTS = ("prompt", "ending")
MIN_CONTINUATION_SECONDS = 1.0
"""What must be left after the prompt."""


@dataclass(frozen=True)
class Prompt:
    """A prompt, cut from an utterance: its deduplicated units, and those of the rest, encoded apart."""

    id: str
    text: str | None
    units: np.ndarray
    rest: np.ndarray


def story_of(utterance: str) -> tuple[str, str] | None:
    """Story and part of an utterance's id; None for a part that is not told (a wrong ending)."""
    story, _, part = utterance.rpartition(".")
    if part in PARTS:
        return story, part
    if part == "wrong_detail":
        return None
    return utterance, PARTS[0]


def choose_waves(shards: list[Path], count: int, prompt_seconds: float) -> list[tuple[str, str | None, np.ndarray]]:
    """The first `count` long enough utterances in the order of stable_hash(id): id, text and waveform.

    A story whose parts were spoken apart is put together. Raises InputError if fewer than two are left.
    """
    seconds: dict[str, float] = {}
    for name, _, audio in _parts(shards):
        try:
            seconds[name] = seconds.get(name, 0.0) + duration(audio)
        except AudioError as error:
            log.warning("%s is left out: %s", name, error)
            seconds[name] = -np.inf
    usable = (name for name, length in seconds.items() if length >= prompt_seconds + MIN_CONTINUATION_SECONDS)
    chosen = heapq.nsmallest(count, usable, key=lambda name: (stable_hash(name), name))
    texts: dict[str, dict[str, str]] = {name: {} for name in chosen}
    waves: dict[str, dict[str, np.ndarray]] = {name: {} for name in chosen}
    wanted = set(chosen)
    for shard in shards:
        for row in read_speech(shard, ("id", "text", "audio")):
            place = story_of(row["id"])
            if place is None or place[0] not in wanted:
                continue
            name, part = place
            try:
                waves[name][part] = decode(row["audio"])
            except AudioError as error:
                log.warning("%s is left out: %s", row["id"], error)
                wanted.discard(name)
            texts[name][part] = row["text"] or ""
    told = [name for name in chosen if name in wanted]
    if len(told) < 2:
        shortest = prompt_seconds + MIN_CONTINUATION_SECONDS
        raise InputError(f"{len(told)} utterances last {shortest:g} s or longer; at least 2 are wanted")
    return [
        (
            name,
            " ".join(texts[name][part] for part in PARTS if texts[name].get(part)) or None,
            np.concatenate([waves[name][part] for part in PARTS if part in waves[name]]),
        )
        for name in told
    ]


def _parts(shards: list[Path]) -> Iterator[tuple[str, str, bytes]]:
    """Story, part and audio of every utterance that is told."""
    for shard in shards:
        for row in read_speech(shard, ("id", "audio")):
            place = story_of(row["id"])
            if place is not None:
                yield *place, row["audio"] or b""


def encode_prompts(
    waves: list[tuple[str, str | None, np.ndarray]],
    prompt_seconds: float,
    tokenizer: SpeechTokenizer,
    with_rest: bool,
) -> list[Prompt]:
    """Cut each waveform after `prompt_seconds`, then encode what comes before, and `with_rest` what comes after.

    Cut first: an encoder that saw the whole file would leak the rest into the prompt's units. An utterance that
    the tokenizer has no units for is left out. Raises InputError for prompts that are too short.
    """
    samples = round(prompt_seconds * SAMPLE_RATE)
    try:
        tokenizer.check(samples)
    except AudioError:
        raise InputError(f"prompt_seconds: {prompt_seconds:g} s are too short for one unit") from None
    prompts = tokenizer.encode([wave[:samples] for _, _, wave in waves])
    rests = tokenizer.encode([wave[samples:] for _, _, wave in waves]) if with_rest else [None] * len(waves)
    found = []
    for (name, text, _), prompt, rest in zip(waves, prompts, rests, strict=True):
        if isinstance(prompt, str) or isinstance(rest, str):
            log.warning("%s is left out: %s", name, prompt if isinstance(prompt, str) else rest)
        elif rest is None:
            found.append(Prompt(name, text, prompt.units, prompt.units[:0]))
        else:
            # A unit that is held over the seam between prompt and rest is one unit.
            found.append(Prompt(name, text, prompt.units, join(prompt.units, rest.units)[len(prompt.units) :]))
    return found


def shuffled(units: np.ndarray, seed: int, name: str) -> np.ndarray:
    """The same units in an order drawn for this item, deduplicated again."""
    order = np.random.default_rng([seed, stable_hash(name)]).permutation(len(units))
    return deduplicate(units[order])[0]
