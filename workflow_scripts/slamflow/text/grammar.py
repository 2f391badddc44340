"""A grammar of short stories in simple English, in the manner of TinyStories (Eldan and Li, 2023, arXiv:2305.07759).

A story has a hero, an object and an event, and an ending that repeats what the story said. For benchmarks, an
ending can be told with one wrong detail: another object, place, animal, person or event than the story's, drawn from
the same pool in the same way, so that only the story tells which one is right.

Splits are disjoint in (hero, object, event). Wrong endings stay inside the split's own combinations: otherwise a
model that knows the training combinations by heart would prefer the wrong ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.errors import InputError
from slamflow.recipe.base import canonical
from slamflow.sharding import parse_shard, stable_hash
from slamflow.text import TextSettings
from slamflow.text.lexicon import BOYS, GIRLS, NAMES, OBJECTS, POOLS, USES
from slamflow.text.stories import Record, in_shard, shard_digests

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteStories
    from slamflow.jobs.sources import Sources


class GrammarText(TextSettings):
    """Short stories in simple English, written by a grammar."""

    # As hibari speaks a story, in one piece or with its endings apart and a wrong one. Measured in the pocket: 2,000
    # stories of train are 22,306 s, 400 of dev 5,620 s, 600 of preference 8,515 s.
    seconds_in_one: ClassVar[float] = 11.15
    seconds_with_endings: ClassVar[Mapping[str, float]] = {"dev": 14.05, "test": 14.05, "preference": 14.19}

    source: Literal["grammar"] = "grammar"
    """Stories of its own."""
    seed: int = 0
    """Seed of all choices."""

    def split_problems(self, stories: Mapping[str, int | None]) -> Iterator[str]:
        for split, count in stories.items():
            if count is None:
                yield f"splits.{split}.stories: a grammar needs a number"

    def items(self, job: WriteStories, sources: Sources) -> str:  # noqa: ARG002
        index, count = parse_shard(job.shard)
        return f"{canonical(self)} {digests(job.split, _number(job), count)[index]}"

    def hours(self, split: str, stories: int | None) -> float | None:
        seconds = self.seconds_with_endings.get(split, self.seconds_in_one)
        return stories * seconds / 3600 if stories else None


WITH_WRONG_DETAIL = ("dev", "test", "preference")
HELD_OUT_SHARE = 0.2
"""Share of the dev and test stories that have the held-out shape."""
SPLIT_SHARES = (("train", 64), ("validation", 6), ("dev", 10), ("test", 10), ("preference", 10))
"""Percent of the combinations. The split `text` has those of `train`."""
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
            ("{hero} met a {kind} {friend} {place}.", "One {weather} day {hero} met a {friend} {place}."),
            (
                "{He} had a {colour} {object}, but {he} {tell} it.",
                "{He} {used} a {colour} {object}, but {he} {tell} it.",
            ),
            ("{hero} was very {feeling}.", "{He} missed {his} {colour} {object}."),
            (
                "The {friend} helped {him} and found the {object}.",
                "Then the {friend} saw the {object} and picked it up.",
            ),
        ),
        (
            "The {friend} gave the {object} back to {hero} {place}.",
            "{hero} thanked the {friend} and {used} the {object} {place}.",
            "{hero} smiled at the {friend} and took the {object} home.",
        ),
    ),
    Shape(
        "wanted",
        _same("picked apples", "swept the floor", "washed windows", "fed the hens"),
        (
            ("{hero} helped a {kind} {friend} {place}.", "{hero} worked for a {friend} {place}."),
            ("All {time} {he} {tell}.", "Every {time} {he} {tell}."),
            ("{He} wanted to {use} a {object}.", "{He} wished to {use} a {object}."),
            ("The {friend} gave {him} {number} coins.", "The {friend} was happy and gave {him} {number} coins."),
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
            ("A {friend} saw {hero} with a {object} {place}.", "{hero} {used} a {object} with a {friend} {place}."),
            ("The {friend} wanted to {use} it and {tell}.", "The {friend} had no {object} and {tell}."),
            ("At first {hero} did not want to share the {object}.", "At first {hero} said no to the {friend}."),
            ("But the {friend} was so {feeling}.", "But {hero} felt sorry for the {friend}."),
        ),
        (
            "{hero} shared the {object}, and the {friend} {used} it {place}.",
            "So {hero} and the {friend} {used} the {object} together {place}.",
            "{hero} gave the {object} to the {friend} {place}.",
        ),
    ),
    Shape(
        "afraid",
        {
            "noise": "heard a loud noise",
            "shadow": "saw a big shadow",
            "growl": "heard a deep growl",
            "storm": "saw a dark storm",
        },
        (
            ("One night {hero} {used} a {object} {place}.", "One night {hero} took a {object} and hid {place}."),
            ("Suddenly {he} {tell} and was {feeling}.", "Then {he} {tell}."),
            ("But it was only a {little} {friend}.", "Then {he} saw a {little} {friend}."),
            ("The {friend} wanted to see the {object}.", "The {friend} liked the {object}."),
        ),
        (
            "{hero} laughed about the {event} and showed the {friend} the {object}.",
            "{hero} was not afraid anymore and gave the {friend} the {object}.",
            "{hero} and the {friend} forgot the {event} and {used} the {object} {place}.",
        ),
    ),
    Shape(
        "fixed",
        _same("broke", "cracked", "bent", "snapped"),
        (
            ("{hero} and a {friend} had a {object} {place}.", "{hero} and a {friend} {used} a {object} {place}."),
            ("But the {object} hit a {barrier} and {tell}.", "But the {object} fell off a {barrier} and {tell}."),
            ("{hero} was very {feeling}.", "{He} was so {feeling}."),
            ("The {friend} had some {tool}.", "The {friend} came back with some {tool}."),
        ),
        (
            "The {friend} fixed the {object} with the {tool}, and {hero} smiled.",
            "{hero} thanked the {friend} and {used} the {object} again {place}.",
            "{hero} and the {friend} fixed the {object} with the {tool}.",
        ),
    ),
    Shape(
        "gift",
        _same("picnic", "party", "birthday", "wedding"),
        (
            ("A {kind} {friend} had a {tell} {place}.", "It was the {tell} of a {friend} {place}."),
            (
                "{hero} made a {colour} {object} for the {friend}.",
                "{hero} bought a {colour} {object} for the {friend}.",
            ),
            ("{He} took the {object} to the {tell}.", "{hero} came to the {tell} with the {object}."),
            ("{He} gave the {object} to the {friend}.", "The {friend} was so happy to see {hero}."),
        ),
        (
            "The {friend} loved the {object} and {used} it {place}.",
            "The {friend} {used} the {object} at the {event} and thanked {hero}.",
            "The {friend} thanked {hero} and {used} the {object} {place}.",
        ),
    ),
    Shape(
        "learned",
        _same("fell down", "gave up", "got lost", "made a mess"),
        (
            ("{hero} met a {friend} with a {object} {place}.", "A {kind} {friend} gave {hero} a {object} {place}."),
            ("But {hero} could not {use} the {object}.", "{hero} did not know how to {use} it."),
            ("{He} tried {number} times, but {he} {tell}.", "All {time} {he} tried, but {he} {tell}."),
            ("The {friend} wanted to help {him}.", "The {friend} showed {him} what to do."),
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
            ("{hero} met a {little} {friend} {place}.", "{hero} and a {friend} had a {object} {place}."),
            ("The {friend} {tell} {his} {colour} {object}.", "But the {friend} {tell} the {object}."),
            ("{hero} was very {feeling}.", "{hero} was {feeling} and wanted to cry."),
            ("Then the {friend} said sorry to {hero}.", "But the {friend} felt sorry and came back."),
        ),
        (
            "The {friend} gave the {object} back to {hero} {place}.",
            "So {hero} and the {friend} {used} the {object} together {place}.",
            "{hero} laughed and showed the {friend} how to {use} the {object}.",
        ),
        held_out=True,
    ),
)


def records(text: GrammarText, job: WriteStories, paths: list[Path]) -> list[Record]:  # noqa: ARG001
    """The records of one shard. Raises InputError without a number of stories."""
    stories = write_stories(text.seed, job.split, _number(job))
    return [record for record in stories if in_shard(str(record["id"]), job)]


def _number(job: WriteStories) -> int:
    if job.stories is None:
        raise InputError(f"corpora.{job.corpus}.splits.{job.split}.stories: a grammar needs a number")
    return job.stories


@cache
def digests(split: str, stories: int, count: int) -> list[str]:
    """Hex digest of the stories of a split in each of `count` shards."""
    return shard_digests((_story_id(split, index) for index in range(stories)), count)


def _story_id(split: str, index: int) -> str:
    return f"{split}-{index:06d}"


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


def write_stories(seed: int, split: str, count: int) -> Iterator[Record]:
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
        yield {"id": _story_id(split, index), **record}


def _write_story(rng: random.Random, split: str) -> Record:
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
