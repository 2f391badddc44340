"""Words and pseudo-words, after sWUGGY (Nguyen et al., 2020, arXiv:2011.11588) and Wuggy (Keuleers and Brysbaert,
2010).

Two words of the stories with the same number of syllables exchange their ends: home and week give heek and wome. One
word is compared with one pseudo-word, the other with the other, so the sounds of the words are those of the
pseudo-words. But a codebook that was fitted on the words has steadier units for them, which are fewer without
repetitions: build_benchmark leaves pairs out until length says nothing.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import ClassVar, NamedTuple

from slamflow.errors import InputError
from slamflow.sharding import stable_hash
from slamflow.text import PairTextSettings, grammar
from slamflow.text.stories import Record


class SWuggyText(PairTextSettings):
    """Words and pseudo-words."""

    # Measured in the pocket: 1,100 pairs are 2,798 s.
    seconds: ClassVar[float] = 2.54


SPLITS = ("dev", "test")

VOWELS = frozenset("AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻᵊ")
"""In the engine's alphabet; capitals are diphthongs."""
STRESSES = str.maketrans("", "", "ˈˌ")
VOICED = VOWELS | frozenset("bdɡvðzʒʤmnŋlɹ")
ENDINGS = {
    "t": frozenset("pkfθsʃʧ"),
    "s": frozenset("ptkfθ"),
    "d": VOICED - {"d"},
    "z": VOICED - frozenset("zʒʤ"),
    "ᵻd": frozenset("td"),
    "ᵻz": frozenset("szʃʒʧʤ"),
    "ɪŋ": VOICED | frozenset("ptkfθsʃʧT"),
}
"""Endings of regular forms, and the sounds that each may follow."""
CARRIER = "Lucy had a"
STORIES = 1500
"""Stories of the split `train` that are read for words."""
FEWEST_TIMES = 10
"""How often a word comes in them."""
SHORTEST = 3
"""Sounds of a pseudo-word, and letters of a word."""
NEIGHBORS = 20
"""In how many pronunciations of the dictionary two sounds must follow one another to be taken for English."""


class Swap(NamedTuple):
    """Two words and what comes of exchanging their ends."""

    words: tuple[str, str]
    pseudo_words: tuple[str, str]


Group = tuple[tuple[str, str], ...]
"""Two pairs of a word and a pseudo-word, with the same sounds in the words as in the pseudo-words."""


class Pronunciation:
    """How the engine reads English words, and which words and neighboring sounds English has."""

    def __init__(self) -> None:
        from hibari.g2p import G2P, Context

        self.g2p = G2P()
        self.context = Context()
        # The silver dictionary, of rare words and names, counts by spelling only.
        entries = self.g2p.lexicon.golds.d.values()
        readings = (
            reading for entry in entries for reading in (entry.values() if isinstance(entry, dict) else [entry])
        )
        self.sounds = {reading.translate(STRESSES) for reading in readings if reading}
        neighbors: Counter[str] = Counter()
        for sounds in self.sounds:
            neighbors.update(set(_neighbors(sounds)))
        self.neighbors = {pair for pair, count in neighbors.items() if count >= NEIGHBORS}
        self.read = cache(self._read)

    def _read(self, word: str) -> str:
        """Sounds of a word in the carrier phrase, with their stresses."""
        return str(self.g2p(spoken(word))).rstrip(".").split()[-1]

    def is_word(self, word: str) -> bool:
        """Whether the dictionary has a spelling, or that of a word of which it is a regular form."""
        return self.g2p.lexicon.get_word(word, "NN", None, self.context)[0] is not None

    def sounds_like_a_word(self, sounds: str) -> bool:
        """Whether the dictionary has the sounds, without stresses, or those of a word of which they are a form."""
        return sounds in self.sounds or any(
            sounds.endswith(ending) and sounds[: -len(ending)] in self.sounds and sounds[-len(ending) - 1] in before
            for ending, before in ENDINGS.items()
        )

    def may_be_a_word(self, sounds: str) -> bool:
        """Whether the sounds, without stresses, follow one another as they do in English."""
        return len(sounds) >= SHORTEST and self.neighbors.issuperset(_neighbors(sounds))


def _neighbors(sounds: str) -> list[str]:
    return [one + other for one, other in itertools.pairwise(f"#{sounds}#")]


def spoken(word: str) -> str:
    """The text that is spoken: the word in a carrier phrase; a small model hardly knows words that stand alone."""
    return f"{CARRIER} {word}."


def write_minimal_pairs(seed: int, split: str, count: int) -> list[Record]:
    """The first `count` records of `split`, dev or test.

    Each record has `id`, `split`, `phenomenon` (None), `good` (a word in the carrier phrase), `bad` (a pseudo-word in
    it) and `cluster` (the word). The splits share no pseudo-word. Asking for more changes none of the earlier ones.
    Raises InputError if there are fewer.
    """
    pronunciation = Pronunciation()
    found = swaps(story_words(pronunciation), pronunciation)
    order = sorted(found, key=lambda swap: stable_hash(f"{seed} {swap}"))
    pairs = list(itertools.chain.from_iterable(spread(shares(order)[split])))
    if len(pairs) < count:
        raise InputError(f"swuggy, {split}: the stories' words give {len(pairs)} pairs, not {count}; ask for fewer")
    return [
        {
            "id": f"{split}-{index:06d}",
            "split": split,
            "phenomenon": None,
            "good": spoken(word),
            "bad": spoken(pseudo_word),
            "cluster": word,
        }
        for index, (word, pseudo_word) in enumerate(pairs[:count])
    ]


def story_words(pronunciation: Pronunciation) -> list[str]:
    """The words of the training stories that come often, and with a stress even within a sentence; sorted."""
    stories = grammar.write_stories(0, "train", STORIES)
    counts = Counter(word for story in stories for word in re.findall(r"[a-z]+", str(story["text"]).lower()))
    return sorted(
        word
        for word, count in counts.items()
        if count >= FEWEST_TIMES and len(word) >= SHORTEST and "ˈ" in pronunciation.read(word)
    )


def swaps(words: Iterable[str], pronunciation: Pronunciation) -> list[Swap]:
    """All exchanges of ends between two words of which two pseudo-words come.

    Pseudo-words are spelled with the letters of the words. Taken are those that the engine reads as the sounds of the
    words' parts, with the stress on the same syllable, and that are no English word by spelling or sound.
    """
    result: dict[tuple[str, str, tuple[str, str]], Swap] = {}
    for one, other in itertools.combinations(words, 2):
        wanted = _exchanged_sounds(one, other, pronunciation)
        firsts = {sounds for sounds, _ in wanted}
        if not wanted:
            continue
        for first, second in itertools.product(range(1, len(one)), range(1, len(other))):
            pair = (one[:first] + other[second:], other[:second] + one[first:])
            if any(map(pronunciation.is_word, pair)) or pronunciation.read(pair[0]) not in firsts:
                continue
            readings = (pronunciation.read(pair[0]), pronunciation.read(pair[1]))
            if readings in wanted:
                result.setdefault((one, other, readings), Swap((one, other), pair))
    return list(result.values())


def _exchanged_sounds(one: str, other: str, pronunciation: Pronunciation) -> set[tuple[str, str]]:
    """What the pseudo-words of two words may sound like, with their stresses."""
    result: set[tuple[str, str]] = set()
    first, second = pronunciation.read(one), pronunciation.read(other)
    if _syllables(first) != _syllables(second):
        return result
    for i, j in itertools.product(_cuts(first), _cuts(second)):
        # The same number of syllables on either side, and none or both of the ends with a vowel first.
        if _syllables(first[:i]) == _syllables(second[:j]) and (first[i:].translate(STRESSES)[0] in VOWELS) == (
            second[j:].translate(STRESSES)[0] in VOWELS
        ):
            pair = (first[:i] + second[j:], second[:j] + first[i:])
            plain = [sounds.translate(STRESSES) for sounds in pair]
            if not any(map(pronunciation.sounds_like_a_word, plain)) and all(map(pronunciation.may_be_a_word, plain)):
                result.add(pair)
    return result


def _syllables(sounds: str) -> str:
    """The stress of each syllable: ˈ, ˌ or a dot for none."""
    return "".join(
        before if before in "ˈˌ" else "." for before, sound in itertools.pairwise(f"#{sounds}") if sound in VOWELS
    )


def _cuts(sounds: str) -> list[int]:
    """Places between two sounds, before the stress of a vowel."""
    return [place for place in range(1, len(sounds)) if sounds[place - 1] not in "ˈˌ"]


def shares(swaps_in_order: list[Swap]) -> dict[str, list[Swap]]:
    """Deal swaps to dev and test such that no pseudo-word is in both; what would make it so is left out."""
    split_of: dict[str, str] = {}
    result: dict[str, list[Swap]] = {split: [] for split in SPLITS}
    for swap in swaps_in_order:
        taken = {split_of[word] for word in swap.pseudo_words if word in split_of}
        if len(taken) == len(SPLITS):
            continue
        split = taken.pop() if taken else min(SPLITS, key=lambda split: len(result[split]))
        result[split].append(swap)
        split_of.update(dict.fromkeys(swap.pseudo_words, split))
    return result


def spread(swaps_in_order: list[Swap]) -> list[Group]:
    """Groups of two pairs, no pair twice, ordered such that each next one has the words that were used least."""
    left = [
        tuple(zip(swap.words, pseudo_words, strict=True))
        for swap in swaps_in_order
        for pseudo_words in (swap.pseudo_words, swap.pseudo_words[::-1])
    ]
    used: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    result: list[Group] = []
    while left:
        group = min(left, key=lambda group: max(used[word] for word, _ in group))
        left.remove(group)
        if seen.isdisjoint(group):
            seen.update(group)
            used.update(word for word, _ in group)
            result.append(group)
    return result
