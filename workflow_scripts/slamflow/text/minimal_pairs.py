"""Sentences that differ in one point of grammar, after BLiMP (Warstadt et al., 2020, arXiv:1912.00582) and its spoken
form sBLIMP (Nguyen et al., 2020, arXiv:2011.11588), in the words and constructions of the grammar's stories.

Pairs come by twos: what is right in the first pair of a group is wrong in the second. So what knows only the words,
how usual they are and how long they take, is right in one and wrong in the other.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from slamflow.errors import InputError
from slamflow.sharding import stable_hash
from slamflow.text import PairTextSettings
from slamflow.text.lexicon import BOYS, GIRLS, NAMES, OBJECTS, POOLS, USES
from slamflow.text.stories import Record


class SBlimpText(PairTextSettings):
    """Sentences that differ in one point of grammar."""

    # Measured in the pocket: 800 pairs are 3,794 s.
    seconds: ClassVar[float] = 4.74


SPLITS = ("dev", "test")
WORKED = ("picked apples", "swept the floor", "washed windows", "fed the hens")
FAILED = ("fell down", "gave up", "got lost", "made a mess")
TRIES = 2000
CHOICE = re.compile(r"\[([^|\]]*)\|([^|\]]*)\]")


@dataclass(frozen=True)
class Phenomenon:
    """One point of grammar. A frame names its slots in braces and, in brackets, the right and the wrong words."""

    name: str
    frames: tuple[tuple[str, str], ...]
    """Two frames a group. Neither is a sentence of the stories, but the stories have its construction."""
    paradigm: tuple[str, ...]
    """Slots with the words that the mistake is about: pairs that share them, and their frames, make a cluster."""


PHENOMENA = (
    # The pronoun that stands for the hero. In the stories: "{He} missed {his} {colour} {object}", "helped {him} buy".
    Phenomenon(
        "pronoun_gender",
        (
            (
                "{girl} loved [her|his] {colour} {object} {place}.",
                "{boy} loved [his|her] {colour} {object} {place}.",
            ),
            (
                "All {time} {girl} tried {place}, but [she|he] {failed}.",
                "All {time} {boy} tried {place}, but [he|she] {failed}.",
            ),
            (
                "Because {girl} {worked}, the {friend} helped [her|him] buy a {colour} {object}.",
                "Because {boy} {worked}, the {friend} helped [him|her] buy a {colour} {object}.",
            ),
            (
                "{girl} had a {object}, and [she|he] {used} it {place}.",
                "{boy} had a {object}, and [he|she] {used} it {place}.",
            ),
        ),
        ("girl", "boy"),
    ),
    # Subject and object forms. In the stories: "Then {he} saw a {friend}", "the {friend} helped {him} buy".
    Phenomenon(
        "pronoun_case",
        (
            (
                "Then [he|him] saw a {little} {friend} {place}.",
                "The {kind} {friend} helped [him|he] buy the {object}.",
            ),
            (
                "Then [she|her] saw a {little} {friend} {place}.",
                "The {kind} {friend} helped [her|she] buy the {object}.",
            ),
            ("All {time} [he|him] {used} the {object} {place}.", "So the {friend} helped [him|he] {use} the {object}."),
            (
                "All {time} [she|her] {used} the {object} {place}.",
                "So the {friend} helped [her|she] {use} the {object}.",
            ),
        ),
        ("object", "friend"),
    ),
    # The base form after "to" and "could not", the past elsewhere. In the stories: "could not {use} the {object}".
    Phenomenon(
        "verb_form",
        (
            ("{hero} could not [{use}|{used}] the {object} {place}.", "So {hero} [{used}|{use}] the {object} {place}."),
            (
                "{hero} wanted to [{use}|{used}] the {colour} {object}.",
                "One night {hero} [{used}|{use}] the {colour} {object}.",
            ),
            (
                "{hero} did not know how to [{use}|{used}] the {object}.",
                "One {weather} day {hero} [{used}|{use}] the {object}.",
            ),
        ),
        ("object",),
    ),
    # "to" after "wanted" and "wished", none after "could not". In the stories: "wanted to {use} a {object}".
    Phenomenon(
        "infinitive",
        (
            (
                "At first {hero} wanted [to {use}|{use}] a {object} {place}.",
                "At first {hero} could not [{use}|to {use}] a {object} {place}.",
            ),
            (
                "{hero} wished [to {use}|{use}] a {colour} {object}.",
                "{hero} could not [{use}|to {use}] a {colour} {object}.",
            ),
        ),
        ("object",),
    ),
    # "a" before a singular, a number before a plural. In the stories: "had a {object}", "gave {him} {number} coins".
    Phenomenon(
        "determiner_noun",
        (
            ("{hero} had [a|{number}] {object} {place}.", "The {friend} gave {hero} [{number}|a] coins {place}."),
            ("So {hero} made [a|{number}] {object}.", "All {time} {hero} tried [{number}|a] times."),
        ),
        ("object", "number"),
    ),
    # The adjective before its noun. In the stories: "had a {colour} {object}". Here both pairs have the same order.
    Phenomenon(
        "adjective_order",
        (
            (
                "{hero} found a [{colour} {object}|{object} {colour}] {place}.",
                "The {friend} saw a [{colour} {object}|{object} {colour}] {place}.",
            ),
        ),
        ("object", "colour"),
    ),
)


def write_minimal_pairs(seed: int, split: str, count: int) -> list[Record]:
    """The first `count` records of `split`, dev or test.

    Each record has `id`, `split`, `phenomenon`, `good` and `bad` (sentences) and `cluster`. As many of each phenomenon
    as can be; no sentence is in two groups. Asking for more changes none of the earlier ones. Raises InputError if
    there are fewer.
    """
    groups = [_groups(phenomenon, seed, split) for phenomenon in PHENOMENA]
    records = itertools.chain.from_iterable(next(groups[index % len(groups)]) for index in itertools.count())
    return [
        {"id": f"{split}-{index:06d}", "split": split, **record}
        for index, record in enumerate(itertools.islice(records, count))
    ]


def _groups(phenomenon: Phenomenon, seed: int, split: str) -> Iterator[list[dict[str, str]]]:
    """Groups of two pairs for one split. Both splits are made together, so that they share no sentence."""
    rng = random.Random(stable_hash(f"{seed} {phenomenon.name}"))
    seen: set[str] = set()
    for index in itertools.count():
        for _ in range(TRIES):
            group = _group(phenomenon, rng)
            sentences = {record[side] for record in group for side in ("good", "bad")}
            if not sentences & seen:
                break
        else:
            raise InputError(f"{phenomenon.name}: there are no more than {index} groups of pairs; ask for fewer")
        seen |= sentences
        if SPLITS[index % len(SPLITS)] == split:
            yield group


def _group(phenomenon: Phenomenon, rng: random.Random) -> list[dict[str, str]]:
    number = rng.randrange(len(phenomenon.frames))
    slots = {name: rng.choice(pool) for name, pool in POOLS.items()}
    slots["hero"] = rng.choice(NAMES)
    slots["object"] = rng.choice(OBJECTS)
    slots["use"], slots["used"] = USES[slots["object"]]
    slots["girl"], slots["boy"] = rng.choice(list(zip(GIRLS, BOYS, strict=False)))
    slots["worked"], slots["failed"] = rng.choice(WORKED), rng.choice(FAILED)
    cluster = " ".join((phenomenon.name, str(number), *(slots[name] for name in phenomenon.paradigm)))
    return [
        {
            "phenomenon": phenomenon.name,
            "good": CHOICE.sub(r"\1", frame).format_map(slots),
            "bad": CHOICE.sub(r"\2", frame).format_map(slots),
            "cluster": cluster,
        }
        for frame in phenomenon.frames[number]
    ]
