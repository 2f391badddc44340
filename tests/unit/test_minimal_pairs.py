"""Minimal pairs: sentences that differ in one point of grammar, words and pseudo-words, and what is built of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import build_benchmark
import synthesize_stories
import write_minimal_pairs as command
from slamflow import files
from slamflow.benchmarks import BENCHMARKS
from slamflow.benchmarks.pairs import needed_keys, read_records
from slamflow.benchmarks.swuggy import balance_lengths
from slamflow.corpora.minimal_pairs import MinimalPairCorpus
from slamflow.errors import InputError
from slamflow.recipe.evaluation import BuildBenchmark
from slamflow.shards.items import Item, read_items
from slamflow.text import grammar, lexicon, minimal_pairs, pseudo_words
from slamflow.tts.utterances import voice_of

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())["corpora"]
TASKS = ["sblimp", pytest.param("swuggy", marks=pytest.mark.slow)]
Record = dict[str, str]


@pytest.fixture(scope="module", autouse=True)
def words_are_read_once() -> Iterator[None]:
    """One reader for all tests: it keeps what it has read, and some 20 000 words in question take long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pseudo_words, "Pronunciation", cache(pseudo_words.Pronunciation))
        yield


@cache
def pocket(task: str, split: str) -> tuple[Record, ...]:
    """The records of the default recipe."""
    corpus = MinimalPairCorpus.model_validate(CONFIG[task])
    module = {"sblimp": minimal_pairs, "swuggy": pseudo_words}[task]
    return tuple(module.write_minimal_pairs(corpus.seed, split, corpus.splits[split].pairs))


@pytest.fixture(scope="module")
def pronunciation() -> pseudo_words.Pronunciation:
    return pseudo_words.Pronunciation()


def words(sentence: str) -> list[str]:
    return re.findall(r"[a-z]+", sentence.lower())


def both_parts(task: str) -> list[Record]:
    return [*pocket(task, "dev"), *pocket(task, "test")]


@pytest.mark.parametrize("task", TASKS)
def test_the_pocket_recipe_has_its_pairs(task: str) -> None:
    for split in ("dev", "test"):
        records = pocket(task, split)
        assert len(records) == CONFIG[task]["splits"][split]["pairs"] >= 800
        assert len({record["id"] for record in records}) == len(records)
        assert len({(record["good"], record["bad"]) for record in records}) == len(records)
        assert all(record["split"] == split and record["cluster"] for record in records)
        assert not {record["good"] for record in records} & {record["bad"] for record in records}


def test_each_phenomenon_has_its_share() -> None:
    for split in ("dev", "test"):
        counts = Counter(record["phenomenon"] for record in pocket("sblimp", split))
        assert len(counts) >= 4
        assert max(counts.values()) - min(counts.values()) <= 2
        clusters = {(record["cluster"], record["phenomenon"]) for record in pocket("sblimp", split)}
        assert min(Counter(phenomenon for _, phenomenon in clusters).values()) >= 8


@pytest.mark.parametrize("task", TASKS)
def test_parts_are_disjoint(task: str) -> None:
    sides = ("good", "bad") if task == "sblimp" else ("bad",)
    dev, test = ({record[side] for record in pocket(task, split) for side in sides} for split in ("dev", "test"))
    assert not dev & test


def test_groups_balance_the_words_of_right_and_wrong_sentences() -> None:
    """In each group of two, the words of the two right sentences are those of the two wrong ones."""
    for first, second in zip(both_parts("sblimp")[::2], both_parts("sblimp")[1::2], strict=True):
        good, bad = (words(f"{first[side]} {second[side]}") for side in ("good", "bad"))
        assert first["phenomenon"] == second["phenomenon"]
        assert sorted(good) == sorted(bad)


# What turns the right sentence into the wrong one, as pairs of words (or the words that are put in or left out).
DIFFERENCES = {
    "pronoun_gender": lambda good, bad: {good, bad} in ({"her", "his"}, {"she", "he"}, {"her", "him"}),
    "pronoun_case": lambda good, bad: {good, bad} in ({"he", "him"}, {"she", "her"}),
    "verb_form": lambda good, bad: (good, bad) in FORMS or (bad, good) in FORMS,
    "determiner_noun": lambda good, bad: {good, bad} in [{"a", number} for number in grammar.POOLS["number"]],
}
FORMS = set(grammar.USES.values())


def test_right_and_wrong_differ_in_the_phenomenon_alone() -> None:
    for record in both_parts("sblimp"):
        good, bad = words(record["good"]), words(record["bad"])
        if record["phenomenon"] == "infinitive":
            longer, shorter = sorted((good, bad), key=len, reverse=True)
            place = longer.index("to")
            assert longer[:place] + longer[place + 1 :] == shorter
            assert (good == longer) == bool({"wanted", "wished"} & set(good))
        elif record["phenomenon"] == "adjective_order":
            place = next(index for index in range(len(good)) if good[index] != bad[index])
            assert good[place + 1 :: -1][:2] == bad[place : place + 2]
            assert good[place + 2 :] == bad[place + 2 :]
            assert good[place] in lexicon.ADJECTIVES
        else:
            changes = [(one, other) for one, other in zip(good, bad, strict=True) if one != other]
            assert len(changes) == 1
            assert DIFFERENCES[record["phenomenon"]](*changes[0])


def test_sentences_are_in_the_words_of_the_stories_but_are_none_of_theirs() -> None:
    stories = [str(story["text"]) for story in grammar.write_stories(1, "train", 3000)]
    sentences = {sentence for story in stories for sentence in re.split(r"(?<=\.) ", story)}
    vocabulary = {word for story in stories for word in words(story)}
    for record in both_parts("sblimp"):
        assert record["good"] not in sentences
        assert not set(words(record["good"] + record["bad"])) - vocabulary


def test_pronouns_agree_with_the_hero() -> None:
    for record in both_parts("sblimp"):
        if record["phenomenon"] == "pronoun_gender":
            girl = bool(set(words(record["good"])) & {name.lower() for name in grammar.GIRLS})
            assert girl == bool({"she", "her"} & set(words(record["good"])))
            assert girl == bool({"he", "him", "his"} & set(words(record["bad"])))


@pytest.mark.slow
def test_no_pseudo_word_is_a_word(pronunciation: pseudo_words.Pronunciation) -> None:
    known = {word for story in grammar.write_stories(1, "train", 3000) for word in words(str(story["text"]))}
    for record in both_parts("swuggy"):
        good, bad = words(record["good"])[-1], words(record["bad"])[-1]
        assert good in known
        assert pronunciation.is_word(good)
        assert bad not in known
        assert not pronunciation.is_word(bad)
        assert not pronunciation.sounds_like_a_word(pronunciation.read(bad).translate(pseudo_words.STRESSES))


def test_what_is_a_word(pronunciation: pseudo_words.Pronunciation) -> None:
    assert all(map(pronunciation.is_word, ("kite", "washed", "kites", "mailed", "carrying")))
    assert not any(map(pronunciation.is_word, ("heek", "wome", "gadow")))
    assert all(map(pronunciation.sounds_like_a_word, ("kIt", "kIts", "wɔʃt", "mAld", "wɑntᵻd")))
    assert not any(map(pronunciation.sounds_like_a_word, ("hik", "wOm", "kItd")))


@pytest.mark.slow
def test_groups_of_words_and_pseudo_words_have_the_same_sounds(pronunciation: pseudo_words.Pronunciation) -> None:
    for first, second in zip(both_parts("swuggy")[::2], both_parts("swuggy")[1::2], strict=True):
        good, bad = (
            sorted("".join(pronunciation.read(words(record[side])[-1]) for record in (first, second)))
            for side in ("good", "bad")
        )
        assert good == bad
        assert sorted(first["good"] + second["good"]) == sorted(first["bad"] + second["bad"])


@pytest.mark.slow
def test_a_pseudo_word_shares_an_end_with_its_word_and_has_its_syllables(
    pronunciation: pseudo_words.Pronunciation,
) -> None:
    for record in pocket("swuggy", "dev"):
        good, bad = (pronunciation.read(words(record[side])[-1]) for side in ("good", "bad"))
        assert good[0] == bad[0] or good[-1] == bad[-1]
        vowels = [sum(sound in pseudo_words.VOWELS for sound in sounds) for sounds in (good, bad)]
        assert vowels[0] == vowels[1]


def test_cuts_are_between_a_consonant_and_a_vowel() -> None:
    assert [("wˈæɡᵊn"[:cut], "wˈæɡᵊn"[cut:]) for cut in pseudo_words._cuts("wˈæɡᵊn")] == [
        ("w", "ˈæɡᵊn"),
        ("wˈæ", "ɡᵊn"),
        ("wˈæɡ", "ᵊn"),
        ("wˈæɡᵊ", "n"),
    ]
    assert pseudo_words._cuts("ˈæpᵊl") == [2, 3, 4]


def test_swaps_of_two_words(pronunciation: pseudo_words.Pronunciation) -> None:
    found = {swap.pseudo_words for swap in pseudo_words.swaps(["home", "week"], pronunciation)}
    assert found == {("heek", "wome")}
    # "kall" sounds like a word.
    assert pseudo_words.swaps(["ball", "kite"], pronunciation) == []


@pytest.mark.slow
def test_deterministic_and_stable_under_growth() -> None:
    for module in (minimal_pairs, pseudo_words):
        few, many = (module.write_minimal_pairs(3, "test", count) for count in (40, 80))
        assert many[:40] == few
        assert module.write_minimal_pairs(4, "test", 40) != few


@pytest.mark.slow
def test_more_than_there_are() -> None:
    with pytest.raises(InputError, match=r"the stories' words give \d+ pairs, not 100000"):
        pseudo_words.write_minimal_pairs(0, "dev", 100_000)
    with pytest.raises(InputError, match=r"there are no more than \d+ groups of pairs"):
        minimal_pairs.write_minimal_pairs(0, "dev", 100_000)


def run(folder: Path, task: str, count: int, shard: str = "0000-of-0001") -> list[Record]:
    settings = {"task": task, "split": "dev", "pairs": count, "seed": 1, "shard": shard}
    command.main(["--settings", json.dumps(settings), "--output", str(folder / f"{shard}.jsonl")])
    return files.read_jsonl(folder / f"{shard}.jsonl")


def test_shards_make_the_whole(tmp_path: Path) -> None:
    whole = run(tmp_path, "sblimp", 60)
    parts = [run(tmp_path, "sblimp", 60, f"{index:04d}-of-0003") for index in range(3)]
    assert all(parts)
    assert sorted((record for part in parts for record in part), key=lambda record: record["id"]) == whole


@pytest.mark.parametrize("task", TASKS)
def test_from_pairs_to_items(tmp_path: Path, task: str) -> None:
    """Written, spoken, and built, with the loudness of each 40 ms as its unit."""
    records = run(tmp_path, task, 8)
    flags = f"--stories {tmp_path}/0000-of-0001.jsonl --output {tmp_path}/a.parquet --manifest {tmp_path}/a.json"
    settings = {"speech": {"voices": {"plain": 1.0, "high": 1.2}}, "corpus": task, "split": "dev"}
    synthesize_stories.main(["--settings", json.dumps(settings), *flags.split()])
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["id"] for row in rows] == [f"{record['id']}.{side}" for record in records for side in ("good", "bad")]
    assert [row["text"] for row in rows] == [record[side] for record in records for side in ("good", "bad")]
    voice = {row["id"]: row["speaker"] for row in rows}
    for record in records:
        assert voice[f"{record['id']}.good"] == voice[f"{record['id']}.bad"]
        assert voice[f"{record['id']}.good"] == voice_of(record["cluster"], {"plain": 1.0, "high": 1.2})
    units = [
        {"id": row["id"], "speaker": row["speaker"], "units": list(row["audio"][-20:])}
        for row in rows
        if row["id"] != f"{records[3]['id']}.bad"
    ]
    schema = pa.schema([("id", pa.string()), ("speaker", pa.string()), ("units", pa.list_(pa.uint16()))])
    pq.write_table(pa.Table.from_pylist(units, schema=schema), tmp_path / "u.parquet")
    flags = f"--records {tmp_path}/0000-of-0001.jsonl --units {tmp_path}/u.parquet"
    flags += f" --output {tmp_path}/i.parquet --manifest {tmp_path}/i.json"
    benchmark = BENCHMARKS.settings(task)(kind=task, corpus="pairs", encoder="bytes")
    settings = BuildBenchmark(name=task, benchmark=benchmark, split="dev")
    build_benchmark.main(["--settings", settings.model_dump_json(), *flags.split()])
    items = read_items(tmp_path / "i.parquet")
    assert [item.id for item in items] == [record["id"] for record in records if record is not records[3]]
    assert files.read_json(tmp_path / "i.json")["left_out"] == {"not_spoken": 1}
    spoken = {row["id"]: row["units"] for row in units}
    for item in items:
        record = next(record for record in records if record["id"] == item.id)
        assert (item.phenomenon, item.cluster) == (record["phenomenon"], record["cluster"])
        assert np.array_equal(item.good, spoken[f"{item.id}.good"])
        assert np.array_equal(item.bad, spoken[f"{item.id}.bad"])


def test_a_story_is_no_pair(tmp_path: Path) -> None:
    files.write_jsonl(tmp_path / "s.jsonl", [{"id": "dev-0", "prompt": "A cat sat.", "ending": "It slept."}])
    with pytest.raises(InputError, match=r"s\.jsonl, record 1: needs a string 'good'"):
        read_records([tmp_path / "s.jsonl"], needed_keys("sblimp", published=False))


def test_length_says_nothing_about_pseudo_words() -> None:
    random = np.random.default_rng(0)
    items = [
        Item(f"{index:03}", None, "word", *(np.zeros(length, np.uint16) for length in random.integers(3, 9, 2)))
        for index in range(300)
    ]
    # Words tend to be the shorter ones.
    items = [item for index, item in enumerate(items) if index % 2 or len(item.good) < len(item.bad)]
    kept = balance_lengths(items, 0)
    differences = np.array([len(item.good) - len(item.bad) for item in kept])
    assert (differences > 0).sum() == (differences < 0).sum() == sum(len(item.good) > len(item.bad) for item in items)
    assert (differences == 0).sum() == sum(len(item.good) == len(item.bad) for item in items)
    assert kept == balance_lengths(items[::-1], 0)[::-1]
