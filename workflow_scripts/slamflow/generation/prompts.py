"""Spoken prompts and their true continuations."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slamflow.audio import SAMPLE_RATE, AudioError, decode, duration
from slamflow.commands import log
from slamflow.errors import InputError
from slamflow.files import sha256_json
from slamflow.recipe.generation import ContinueSpeech, Sampling
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


@dataclass(frozen=True)
class Utterance:
    """What a prompt is cut from."""

    id: str
    text: str | None
    wave: np.ndarray
    """float32 [samples], 16 kHz."""
    sha256: str
    """Of the audio as it lies in the shards, the parts of a story joined."""


def place_of(utterance: str, holds: str) -> tuple[str, str] | None:
    """The item that an utterance of the corpus belongs to, and which part of it; None for one that is not continued.

    Not continued are the wrong ending of a story and the wrong recording of a pair.
    """
    if holds == "recordings":
        return utterance, PARTS[0]
    item, _, part = utterance.rpartition(".")
    if holds == "pairs":
        return (item, PARTS[0]) if part == "good" else None
    if part in PARTS:
        return item, part
    return None if part == "wrong_detail" else (utterance, PARTS[0])


def by_name(name: str) -> tuple[str, bool, int, str]:
    """Sorts ids by the number that they begin with, those without one behind, folder by folder.

    As SlamKit sorts the files of a benchmark: by the number before the first `_` or `+` of their names
    (slp-rl/slamkit@388b402, slamkit/metric/modelling_metric.py:21-25).
    """
    folder, _, last = name.rpartition("/")
    number = re.match(r"\d+(?=[_+.]|$)", last)
    return folder, number is None, int(number[0]) if number else 0, last


def by_hash(name: str) -> tuple[int, str]:
    """Sorts ids as if they were drawn at random, the same on every machine."""
    return stable_hash(name), name


def choose_utterances(shards: list[Path], sampling: Sampling, holds: str) -> tuple[list[Utterance], dict[str, int]]:
    """The first `sampling.prompts` utterances in the order `sampling.order`, and how many before them are left out.

    These are counted by reason: too short (a prompt and one second more are wanted) or unreadable; another takes their
    place, unless audio is found to be broken only beyond its header. Neither the order of the shards nor that
    of their rows matters. A story whose parts were spoken apart is put together. Raises InputError if fewer than two
    are left.
    """
    shortest = sampling.prompt_seconds + MIN_CONTINUATION_SECONDS
    seconds: dict[str, float] = {}
    unreadable = set()
    for name, _, audio in _parts(shards, holds):
        try:
            seconds[name] = seconds.get(name, 0.0) + duration(audio)
        except AudioError as error:
            log.warning("%s is left out: %s", name, error)
            unreadable.add(name)
    order: Callable[[str], Any] = by_name if sampling.order == "name" else by_hash
    chosen: list[str] = []
    left_out = {"too_short": 0, "unreadable": 0}
    for name in sorted(seconds.keys() | unreadable, key=order):
        if len(chosen) == sampling.prompts:
            break
        if name in unreadable:
            left_out["unreadable"] += 1
        elif seconds[name] < shortest:
            left_out["too_short"] += 1
        else:
            chosen.append(name)
    parts: dict[str, dict[str, tuple[str, bytes, np.ndarray]]] = {name: {} for name in chosen}
    wanted = set(chosen)
    for shard in shards:
        for row in read_speech(shard, ("id", "text", "audio")):
            place = place_of(row["id"], holds)
            if place is None or place[0] not in wanted:
                continue
            name, part = place
            try:
                parts[name][part] = row["text"] or "", row["audio"], decode(row["audio"])
            except AudioError as error:
                log.warning("%s is left out: %s", row["id"], error)
                wanted.discard(name)
                left_out["unreadable"] += 1
    if len(wanted) < 2:
        raise InputError(f"{len(wanted)} utterances last {shortest:g} s or longer; at least 2 are wanted")
    return [_joined(name, parts[name]) for name in chosen if name in wanted], left_out


def _joined(name: str, parts: dict[str, tuple[str, bytes, np.ndarray]]) -> Utterance:
    told = [parts[part] for part in PARTS if part in parts]
    text = " ".join(text for text, _, _ in told if text) or None
    digest = hashlib.sha256(b"".join(audio for _, audio, _ in told)).hexdigest()
    return Utterance(name, text, np.concatenate([wave for _, _, wave in told]), digest)


def _parts(shards: list[Path], holds: str) -> Iterator[tuple[str, str, bytes]]:
    """Item, part and audio of every utterance that may be continued."""
    for shard in shards:
        for row in read_speech(shard, ("id", "audio")):
            place = place_of(row["id"], holds)
            if place is not None:
                yield *place, row["audio"] or b""


def prompt_list(
    settings: ContinueSpeech, utterances: list[Utterance], prompts: list[Prompt], left_out: dict[str, int]
) -> dict[str, Any]:
    """What was continued, to be written beside the continuations, so that another can continue the same.

    `sha256` is of the ids and the SHA-256 of the audio, in their order: two lists are the same if these are.
    """
    encoded = {prompt.id for prompt in prompts}
    chosen = [utterance for utterance in utterances if utterance.id in encoded]
    listed = [{"id": one.id, "sha256": one.sha256, "seconds": round(len(one.wave) / SAMPLE_RATE, 3)} for one in chosen]
    return {
        "corpus": settings.corpus,
        "order": settings.sampling.order,
        "asked": settings.sampling.prompts,
        "prompt_seconds": settings.sampling.prompt_seconds,
        "n": len(listed),
        "left_out": {**left_out, "no_units": len(utterances) - len(chosen)},
        "sha256": sha256_json([[one["id"], one["sha256"]] for one in listed]),
        "prompts": listed,
    }


def encode_prompts(
    utterances: list[Utterance], prompt_seconds: float, tokenizer: SpeechTokenizer, with_rest: bool
) -> list[Prompt]:
    """Cut each utterance after `prompt_seconds`, then encode what comes before, and `with_rest` what comes after.

    Cut first: an encoder that saw the whole file would leak the rest into the prompt's units. An utterance that
    the tokenizer has no units for is left out. Raises InputError for prompts that are too short.
    """
    samples = round(prompt_seconds * SAMPLE_RATE)
    try:
        tokenizer.check(samples)
    except AudioError:
        raise InputError(f"prompt_seconds: {prompt_seconds:g} s are too short for one unit") from None
    prompts = tokenizer.encode([utterance.wave[:samples] for utterance in utterances])
    rests = (
        tokenizer.encode([utterance.wave[samples:] for utterance in utterances])
        if with_rest
        else [None] * len(utterances)
    )
    found = []
    for utterance, prompt, rest in zip(utterances, prompts, rests, strict=True):
        name, text = utterance.id, utterance.text
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
