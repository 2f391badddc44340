"""A grammar of short stories in simple English, in the manner of TinyStories (Eldan and Li, 2023, arXiv:2305.07759).

A story has a hero, an object and an event, and an ending that repeats what the story said. For benchmarks, an
ending can be told with one wrong detail: another object, place, animal, person or event than the story's, drawn from
the same pool in the same way, so that only the story tells which one is right.

Splits are disjoint in (hero, object, event). Wrong endings stay inside the split's own combinations: otherwise a
model that knows the training combinations by heart would prefer the wrong ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from slamflow.sharding import stable_hash
from slamflow.stories.vocabulary import ADJECTIVES, BOYS, GIRLS, NAMES, NOUNS, OBJECTS, POOLS, USES, VERBS

__all__ = ["ADJECTIVES", "NAMES", "NOUNS", "OBJECTS", "SHAPES", "VERBS", "Shape", "combination_split", "write_stories"]

WITH_WRONG_DETAIL = ("dev", "test", "preference")
HELD_OUT_SHARE = 0.2
"""Share of the dev and test stories that have the held-out shape."""
SPLIT_SHARES = (("train", 64), ("validation", 6), ("dev", 10), ("test", 10), ("preference", 10))
"""Per cent of the combinations. The split `text` has those of `train`."""
DETAILS = ("hero", "object", "event", "place", "friend")
"""Slots that an ending may get wrong."""


@dataclass(frozen=True)
class Shape:
    """One way for a story to go. Templates name their slots in braces; `tell` is the event as the story tells it."""

    name: str
    events: dict[str, str]
    """The event as an ending names it, and as the story tells it."""
    sentences: tuple[tuple[str, ...], ...]
    """The prompt: for each sentence, the ways to say it."""
    endings: tuple[str, ...]
    """Ways to end. Every detail in them was said in the prompt."""
    held_out: bool = False
    """Whether only dev and test have it."""


def _same(*events: str) -> dict[str, str]:
    return {event: event for event in events}


SHAPES = (
    Shape(
        "lost",
        _same("lost", "dropped", "forgot", "left"),
        (
            ("{hero} had a {colour} {object}.", "{hero} loved {his} {colour} {object}."),
            ("One {weather} day {hero} {tell} the {object} {place}.", "But {hero} {tell} the {object} {place}."),
            ("{He} was so {feeling}.", "{He} felt {feeling}."),
            ("A {kind} {friend} went {place} and found it.", "Then a {kind} {friend} saw it {place}."),
        ),
        (
            "{hero} thanked the {friend} and {used} the {object} {place}.",
            "The {friend} gave the {object} to {hero} {place}.",
            "{hero} hugged the {friend} and took the {object} home.",
        ),
    ),
    Shape(
        "wanted",
        _same("picked apples", "swept the floor", "washed windows", "fed the hens"),
        (
            ("{hero} wanted to {use} a {object} {place}.", "{hero} wished to {use} a {object} {place}."),
            ("But a {object} cost too much.", "But {hero} had no {object}."),
            ("So {he} {tell} for a {friend}.", "All {time} {he} {tell} for a {friend}."),
            ("The {friend} gave {hero} {number} coins.", "The {friend} thanked {hero}."),
        ),
        (
            "{hero} bought the {object} and {used} it {place}.",
            "{hero} thanked the {friend} and {used} the {object} {place}.",
            "Because {hero} {event}, the {friend} helped {him} buy the {object}.",
        ),
    ),
    Shape(
        "shared",
        _same("asked for a turn", "began to cry", "watched", "sat alone"),
        (
            ("{hero} {used} a {colour} {object} {place}.", "{hero} had a {colour} {object} {place}."),
            ("A {feeling} {friend} came {place} and {tell}.", "A {feeling} {friend} had no {object} and {tell}."),
            ("{hero} did not want to share the {object}.", "At first {hero} said no to the {friend}."),
            ("But the {friend} was so {feeling}.", "But {hero} felt sorry for the {friend}."),
        ),
        (
            "{hero} shared the {object}, and the {friend} {used} it {place}.",
            "So {hero} and the {friend} {used} the {object} {place}.",
            "{hero} gave the {object} to the {friend} {place}.",
        ),
    ),
    Shape(
        "afraid",
        {
            "noise": "heard a loud noise",
            "shadow": "saw a tall shadow",
            "growl": "heard a deep growl",
            "storm": "saw a dark storm",
        },
        (
            ("One night {hero} {used} a {object} {place}.", "One night {hero} took a {object} and hid {place}."),
            ("Suddenly {hero} {tell} {place}.", "Then {hero} {tell} and felt {feeling}."),
            ("But it was only a {little} {friend}.", "Then {he} saw a {little} {friend}."),
            ("The {friend} liked the {object}.", "The {friend} looked at {hero}."),
        ),
        (
            "{hero} laughed about the {event} and showed the {friend} the {object}.",
            "{hero} was not afraid any more and gave the {friend} the {object}.",
            "{hero} and the {friend} forgot the {event} and {used} the {object} {place}.",
        ),
    ),
    Shape(
        "fixed",
        _same("broke", "cracked", "bent", "snapped"),
        (
            ("{hero} {used} a {colour} {object} {place}.", "{hero} had a {colour} {object} {place}."),
            ("The {object} hit a {barrier} and {tell}.", "The {object} fell off a {barrier} and {tell}."),
            ("{hero} was so {feeling}.", "{hero} felt {feeling}."),
            ("A {kind} {friend} came {place} with {tool}.", "A {kind} {friend} came, and the {friend} had {tool}."),
        ),
        (
            "The {friend} fixed the {object} with the {tool}, and {hero} smiled.",
            "{hero} thanked the {friend} and {used} the {object} again {place}.",
            "With the {tool} {hero} and the {friend} fixed the {object}.",
        ),
    ),
    Shape(
        "gift",
        _same("picnic", "party", "birthday", "wedding"),
        (
            ("The {friend} had a {tell} {place}.", "It was the {tell} of the {friend} {place}."),
            ("{hero} made a {colour} {object}.", "{hero} painted a {object} {colour}."),
            ("{He} took the {object} {place}.", "{hero} carried the {object} to the {tell}."),
            ("Then {he} gave it to the {friend}.", "The {friend} saw {hero} with the {object}."),
        ),
        (
            "The {friend} loved the {object} and {used} it {place}.",
            "The {friend} {used} the {object} at the {event} and hugged {hero}.",
            "The {friend} thanked {hero} and {used} the {object} {place}.",
        ),
    ),
    Shape(
        "learned",
        _same("fell down", "gave up", "got lost", "made a mess"),
        (
            ("{hero} could not {use} a {object}.", "{hero} did not know how to {use} a {object}."),
            ("{He} tried {number} times {place} and {tell}.", "All {time} {he} tried {place}, but {he} {tell}."),
            ("A {kind} {friend} saw {hero} {place}.", "Then a {friend} watched {hero} {place}."),
            ("The {friend} showed {hero} what to do.", "The {friend} helped {hero} with the {object}."),
        ),
        (
            "At last {hero} {used} the {object}, and the {friend} cheered.",
            "{hero} and the {friend} {used} the {object} together {place}.",
            "{hero} never {event} again and {used} the {object} {place}.",
        ),
    ),
    Shape(
        "tricked",
        _same("hid", "buried", "stole", "grabbed"),
        (
            ("{hero} {used} a {colour} {object} {place}.", "{hero} had a {colour} {object} {place}."),
            ("A {little} {friend} came {place} and {tell} it.", "Then a {little} {friend} {tell} the {object}."),
            ("{hero} was so {feeling}.", "{hero} felt {feeling} and cried."),
            ("Then the {friend} said sorry to {hero}.", "But the {friend} felt sorry and came back."),
        ),
        (
            "The {friend} gave the {object} to {hero} {place}.",
            "So {hero} and the {friend} {used} the {object} {place}.",
            "{hero} laughed and showed the {friend} how to {use} the {object}.",
        ),
        held_out=True,
    ),
)


@cache
def combination_split(hero: str, object_: str, event: str, held_out: bool = False) -> str:
    """The split that (hero, object, event) belongs to; for a held-out shape's event, dev or test.

    It depends on nothing else: corpora with other seeds have the same splits.
    """
    value = stable_hash(f"{hero} {object_} {event}")
    if held_out:
        return ("dev", "test")[value % 2]
    value %= 100
    for split, share in SPLIT_SHARES:
        if value < share:
            return split
        value -= share
    raise AssertionError("the shares make 100")


def write_stories(seed: int, split: str, count: int) -> Iterator[dict[str, str | None]]:
    """Yield the first `count` story records of `split`, all with different texts.

    Each record has `id`, `split`, `shape`, `hero`, `object`, `event`, `text`, `prompt`, `ending` and `wrong_detail`
    (None unless the split is dev, test or preference). Asking for more stories changes none of the earlier ones.
    """
    seen: set[str] = set()
    for index in range(count):
        rng = random.Random(stable_hash(f"{seed} {split} {index}"))
        while True:
            record = _write_story(rng, split)
            text = record["text"]
            assert text is not None
            if text not in seen:
                break
        seen.add(text)
        yield {"id": f"{split}-{index:06d}", **record}


def _write_story(rng: random.Random, split: str) -> dict[str, str | None]:
    held_out = split in ("dev", "test") and rng.random() < HELD_OUT_SHARE
    shape = rng.choice([shape for shape in SHAPES if shape.held_out == held_out])
    combinations = "train" if split == "text" else split
    while True:
        hero, object_, event = rng.choice(NAMES), rng.choice(OBJECTS), rng.choice(list(shape.events))
        if combination_split(hero, object_, event, shape.held_out) == combinations:
            break
    choices = {"hero": hero, "object": object_, "event": event}
    choices.update((name, rng.choice(pool)) for name, pool in POOLS.items())
    slots = _slots(shape, choices)
    prompt = " ".join(rng.choice(ways).format_map(slots) for ways in shape.sentences)
    template = rng.choice(shape.endings)
    ending = template.format_map(slots)
    wrong = _wrong_detail(rng, shape, choices, template, combinations) if split in WITH_WRONG_DETAIL else None
    return {
        "split": split,
        "shape": shape.name,
        "hero": hero,
        "object": object_,
        "event": event,
        "text": f"{prompt} {ending}",
        "prompt": prompt,
        "ending": ending,
        "wrong_detail": wrong,
    }


def _slots(shape: Shape, choices: dict[str, str]) -> dict[str, str]:
    """All words that a template may ask for, from the choices made."""
    girl = choices["hero"] in GIRLS
    use, used = USES[choices["object"]]
    return {
        **choices,
        "tell": shape.events[choices["event"]],
        "use": use,
        "used": used,
        "he": "she" if girl else "he",
        "He": "She" if girl else "He",
        "his": "her" if girl else "his",
        "him": "her" if girl else "him",
    }


def _wrong_detail(rng: random.Random, shape: Shape, choices: dict[str, str], template: str, combinations: str) -> str:
    """The ending with one detail changed, to one that another story of this split may have."""
    details = [detail for detail in DETAILS if f"{{{detail}}}" in template]
    for detail in rng.sample(details, len(details)):
        options = []
        for value in _alternatives(shape, detail, choices[detail]):
            changed = {**choices, detail: value}
            combination = (changed["hero"], changed["object"], changed["event"])
            if combination_split(*combination, shape.held_out) == combinations:
                options.append(changed)
        if options:
            return template.format_map(_slots(shape, rng.choice(options)))
    raise AssertionError(f"no detail to change in {template!r}: every ending names one beside hero, object and event")


def _alternatives(shape: Shape, detail: str, value: str) -> list[str]:
    pool: tuple[str, ...]
    if detail == "hero":  # of the same gender, so that pronouns stay right
        pool = GIRLS if value in GIRLS else BOYS
    elif detail == "object":
        pool = OBJECTS
    elif detail == "event":
        pool = tuple(shape.events)
    else:
        pool = POOLS[detail]
    return [other for other in pool if other != value]
