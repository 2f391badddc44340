"""Single sentences in the words of the stories: none is one of a benchmark, none gives a combination of a test away."""

from __future__ import annotations

import re

import pytest

from slamflow.corpora.stories import StoryCorpus
from slamflow.text.grammar import SHAPES
from slamflow.text.lexicon import BOYS, GIRLS, OBJECTS
from slamflow.text.minimal_pairs import write_minimal_pairs
from slamflow.text.pseudo_words import spoken
from slamflow.text.sentences import is_of_a_benchmark, write_sentences

TEXTS = [str(record["text"]) for record in write_sentences(1, "train", 4000)]
PLAIN = [str(record["text"]) for record in write_sentences(1, "train", 4000, words=0)]
PAIRS = [pair for split in ("dev", "test") for pair in write_minimal_pairs(1, split, 400)]


def test_no_sentence_is_one_of_a_benchmark() -> None:
    assert all(is_of_a_benchmark(str(pair["good"])) for pair in PAIRS)
    assert is_of_a_benchmark(spoken("river"))
    assert not {str(pair[side]) for pair in PAIRS for side in ("good", "bad")}.intersection(TEXTS + PLAIN)
    assert not any(map(is_of_a_benchmark, TEXTS + PLAIN))
    # Not because it finds nothing: with another verb a frame is none of theirs.
    assert is_of_a_benchmark("Lucy found a red kite by the river.")
    assert not is_of_a_benchmark("Lucy bought a red kite by the river.")


def test_no_sentence_names_an_object_and_an_event() -> None:
    events = {told for shape in SHAPES for event, tell in shape.events.items() for told in (event, tell)}
    for text in PLAIN:
        words = f" {re.sub(r'[^a-z ]', '', text.lower())} "
        named = [event for event in events if f" {event} " in words]
        assert not (named and any(f" {object_} " in words for object_ in OBJECTS)), text


def test_pronouns_agree() -> None:
    for text in PLAIN:
        words = set(re.findall(r"\w+", text))
        girl = words & {*GIRLS, "she", "She", "her"}
        boy = words & {*BOYS, "he", "He", "his", "him"}
        assert not (girl and boy), text


def test_the_splits_share_no_sentence_and_more_change_none() -> None:
    validation = [str(record["text"]) for record in write_sentences(1, "validation", 300)]
    assert len(set(TEXTS)) == len(TEXTS)
    assert not set(validation) & set(TEXTS)
    assert [str(record["text"]) for record in write_sentences(1, "train", 100)] == TEXTS[:100]


@pytest.mark.parametrize("share", [0.3, 0.45, 1.0])
def test_the_share_of_words_alone(share: float) -> None:
    """Each index says the same as without words alone, or else words alone."""
    texts = [str(record["text"]) for record in write_sentences(1, "train", 4000, words=share)]
    others = [text for text, plain in zip(texts, PLAIN, strict=True) if text != plain]
    assert len(others) / len(texts) == pytest.approx(share, abs=0.03)


def test_sentences_have_no_endings() -> None:
    values = {"kind": "stories", "text": {"source": "sentences"}}
    with pytest.raises(ValueError, match=r"splits\.dev: sentences have no endings"):
        StoryCorpus.model_validate({**values, "splits": {"dev": {"stories": 3}}})
    with pytest.raises(ValueError, match=r"splits\.train\.stories: sentences need a number"):
        StoryCorpus.model_validate({**values, "splits": {"train": {"stories": None}}})
