"""Single sentences in the words of the grammar's stories, and words said alone.

Stories follow one another closely: after "Lucy had a red" comes one of eight objects, and then "but". A model of
stories alone has seen no other way, and after one surprise it predicts badly for the rest of the sentence. Here the
same words come in many orders, as English has them.

No sentence is one of the benchmarks' (slamflow.text.minimal_pairs, slamflow.text.pseudo_words): none has one of their
frames, whatever the words in it. None names an object and an event of a story, so that the splits of the stories stay
disjoint in (hero, object, event).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from slamflow.errors import InputError
from slamflow.recipe.base import canonical
from slamflow.sharding import parse_shard, stable_hash
from slamflow.text import TextSettings
from slamflow.text.lexicon import BOYS, GIRLS, NAMES, OBJECTS, POOLS, USES
from slamflow.text.stories import NOT_TOLD, Record, in_shard, shard_digests

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteStories
    from slamflow.jobs.sources import Sources


class SentencesText(TextSettings):
    """Single sentences in the words of the grammar's stories, and words said alone."""

    # Measured in the pocket: 6,000 are 15,639 s as hibari speaks them.
    seconds: ClassVar[float] = 2.61

    source: Literal["sentences"] = "sentences"
    """Single sentences in the words of the grammar, and words said alone. Each counts as a story; the splits are
    `train`, `text` and `validation`."""
    seed: int = 0
    """Seed of all choices."""
    words: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of those that say words without a sentence around them."""

    def split_problems(self, stories: Mapping[str, int | None]) -> Iterator[str]:
        for split, count in stories.items():
            if split not in SPLITS:
                yield f"splits.{split}: sentences have no endings; give {', '.join(SPLITS)}"
            elif count is None:
                yield f"splits.{split}.stories: sentences need a number"

    def items(self, job: WriteStories, sources: Sources) -> str:  # noqa: ARG002
        index, count = parse_shard(job.shard)
        return f"{canonical(self)} {digests(job.split, _number(job), count)[index]}"

    def hours(self, split: str, stories: int | None) -> float | None:  # noqa: ARG002
        return stories * self.seconds / 3600 if stories else None


SPLITS = ("train", "text", "validation")
SLOT = re.compile(r"\{(\w+)\}")

RULES: dict[str, tuple[str, ...]] = {
    "sentence": (
        "{Subject} {deed}.",
        "{Subject} {deed} {place}.",
        "{opening} {subject} {deed}.",
        "{opening} {subject} {deed} {place}.",
        "{hero} {deed}, {and} {he} {deed}.",
        "{hero} {deed} {place}, {and} {he} {deed}.",
        "Because {hero} {deed}, {he} {deed}.",
        "Because {hero} {deed}, the {someone} {kindness}.",
        "When {he} {deed}, the {someone} {kindness}.",
        "The {someone} {kindness}.",
        "The {someone} {kindness} {place}.",
        "{opening} the {someone} {kindness}.",
        "The {someone} {kindness}, and {he} {deed}.",
    ),
    "Subject": ("{hero}", "{hero}", "{He}", "The {someone}", "A {someone}"),
    "subject": ("{hero}", "{hero}", "{he}", "{he}", "the {someone}", "a {someone}"),
    "opening": (
        *("Then", "So", "But", "At first", "At last", "Suddenly", "One night", "One day"),
        *("All {time}", "Every {time}", "One {weather} day", "One {weather} {time}"),
    ),
    "and": ("and", "and", "but", "so", "because"),
    "someone": ("{friend}", "{kind} {friend}", "{little} {friend}", "{feeling} {friend}"),
    # With an object.
    "thing_deed": (
        *("{did} {thing}", "{did} {thing}", "had {thing}", "{used} {thing} with a {someone}"),
        *("wanted to {do} {thing}", "wished to {do} {thing}", "could not {do} {thing}", "did not {do} {thing}"),
        *("did not know how to {do} {thing}", "never {did} {thing} again", "came to {do} {thing}"),
        *("gave {thing} to a {someone}", "showed the {someone} {thing}", "helped the {someone} {do} {thing}"),
        *("tried to {do} {thing}", "was happy to {do} {thing}", "took {thing} home"),
    ),
    "thing_kindness": (
        *("helped {him} {do} {thing}", "helped {hero} {do} {thing}", "gave {him} {thing}", "gave {hero} {thing}"),
        *("showed {him} how to {use} {thing}", "showed {hero} {thing}", "{used} {thing} with {him}"),
        *("wanted {him} to {do} {thing}", "saw {him} with {thing}", "found {thing} for {hero}"),
    ),
    "do": ("{use}", "{use}", "{use}", "find", "see", "buy", "make", "take", "share"),
    "did": ("{used}", "{used}", "{used}", "found", "saw", "bought", "made", "took", "shared", "liked", "loved"),
    "thing": (
        *("a {object}", "a {colour} {object}", "the {object}", "the {colour} {object}", "it"),
        *("{his} {object}", "{his} {colour} {object}", "a {object} and some {tool}"),
    ),
    # Without one.
    "event_deed": (
        *("was {feeling}", "was very {feeling}", "felt {feeling}", "met a {someone}", "saw a {someone}", "liked {him}"),
        *("thanked the {someone}", "smiled at the {someone}", "laughed", "began to cry", "sat alone", "came home"),
        *("fell down", "gave up", "got lost", "made a mess", "swept the floor", "washed windows", "tried"),
        *("fed {number} hens", "picked {number} apples", "washed {number} windows", "had {number} coins"),
        *("tried {number} times", "wanted {number} coins", "had some {tool}", "did not cry", "could not laugh"),
        *("wanted to cry", "could not see the {someone}", "saw a {barrier}", "hid {place}", "heard a storm"),
    ),
    "event_kindness": (
        *("helped {him}", "thanked {hero}", "saw {him}", "smiled at {him}", "gave {him} {number} coins"),
        *("gave {hero} {number} apples", "liked {hero}", "showed {him} what to do", "told {him} to come home"),
    ),
    # A word alone: it may be any of the stories'.
    "words": (
        *("{hero} said {word}.", "The {friend} said {word}.", "{He} said {word}.", "{word}.", "{word} and {word}."),
        *("{hero} said {word} and {word}.", "{hero} said {word}, {word} and {word}.", "{word}, {word}, {word}."),
        *("{hero} {told} a {word}.", "{He} {told} a {word}.", "The {friend} {told} a {word}."),
        *("{hero} {told} the {word}.", "{hero} {told} a {word} and a {word}."),
        *("A {word} and a {word}.", "The {word}, the {word} and a {word}."),
    ),
    "told": ("said", "saw", "found", "made", "liked", "drew", "heard", "knew"),
    **POOLS,
}
"""What each name in braces may become; those that are not here are the same in the whole sentence."""


def records(text: SentencesText, job: WriteStories, paths: list[Path]) -> list[Record]:  # noqa: ARG001
    """The records of one shard. Raises InputError without a number of sentences."""
    return [
        record
        for record in write_sentences(text.seed, job.split, _number(job), text.words)
        if in_shard(str(record["id"]), job)
    ]


def _number(job: WriteStories) -> int:
    if job.stories is None:
        raise InputError(f"corpora.{job.corpus}.splits.{job.split}.stories: sentences need a number")
    return job.stories


@cache
def digests(split: str, sentences: int, count: int) -> list[str]:
    """Hex digest of the sentences of a split in each of `count` shards."""
    return shard_digests((_id(split, index) for index in range(sentences)), count)


def _id(split: str, index: int) -> str:
    return f"{split}-{index:06d}"


def write_sentences(seed: int, split: str, count: int, words: float = 0.3) -> Iterator[Record]:
    """Yield the first `count` records of `split`, all with different texts; train and validation share none.

    A share `words` of them says words alone. Each record has the keys of a story; `text` is the sentence, and `prompt`
    and `ending` are None. Asking for more changes none of the earlier ones.
    """
    seen: set[str] = set()
    for index in range(count):
        rng = random.Random(stable_hash(f"{seed} sentences {split} {index}"))
        start = "words" if rng.random() < words else "sentence"
        while True:
            text = _sentence(rng, start)
            belongs = _split(text) == ("validation" if split == "validation" else "train")
            if belongs and text not in seen and not is_of_a_benchmark(text):
                break
        seen.add(text)
        yield {"id": _id(split, index), **NOT_TOLD, "split": split, "text": text, "prompt": None, "ending": None}


def _split(text: str) -> str:
    return "validation" if stable_hash(f"sentence {text}") % 10 == 0 else "train"


def _sentence(rng: random.Random, start: str) -> str:
    hero, object_ = rng.choice(NAMES), rng.choice(OBJECTS)
    girl = hero in GIRLS
    topic = rng.choice(("thing", "thing", "event"))
    use, used = USES[object_]
    fixed = {
        "hero": hero,
        "he": "she" if girl else "he",
        "He": "She" if girl else "He",
        "his": "her" if girl else "his",
        "him": "her" if girl else "him",
        "object": object_,
        "use": use,
        "used": used,
        "deed": f"{{{topic}_deed}}",
        "kindness": f"{{{topic}_kindness}}",
    }

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name == "word":
            return rng.choice(story_words())
        return SLOT.sub(fill, fixed.get(name) or rng.choice(RULES[name]))

    text = SLOT.sub(fill, f"{{{start}}}")
    return text[0].upper() + text[1:]


@cache
def story_words() -> tuple[str, ...]:
    """The words of three letters or more of the grammar's stories, sorted."""
    from slamflow.text.grammar import write_stories

    stories = write_stories(0, "train", 500)
    return tuple(sorted({word for story in stories for word in re.findall(r"[a-z]{3,}", str(story["text"]).lower())}))


@cache
def _frames() -> re.Pattern[str]:
    """The right sentences of the benchmarks, with all words that may stand in their frames."""
    from slamflow.text.minimal_pairs import CHOICE, FAILED, PHENOMENA, WORKED
    from slamflow.text.pseudo_words import CARRIER

    uses, used = zip(*USES.values(), strict=True)
    pools = {**POOLS, "hero": NAMES, "girl": GIRLS, "boy": BOYS, "object": OBJECTS, "use": uses, "used": used}
    pools |= {"worked": WORKED, "failed": FAILED}
    right = [CHOICE.sub(r"\1", frame) for point in PHENOMENA for group in point.frames for frame in group]
    patterns = [SLOT.sub(lambda slot: f"(?:{'|'.join(pools[slot[1]])})", frame) for frame in right]
    return re.compile("|".join([*patterns, rf"{CARRIER} \w+."]))


def is_of_a_benchmark(text: str) -> bool:
    """Whether a sentence has the frame of a right sentence of sBLIMP or sWUGGY, whatever the words in it."""
    return _frames().fullmatch(text) is not None
