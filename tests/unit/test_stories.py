"""The grammar, files of stories, and write_stories."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import write_stories as command
from slamflow import files
from slamflow.corpora.job_settings import WriteStories
from slamflow.errors import InputError
from slamflow.jobs.sources import Sources
from slamflow.sharding import shard_names
from slamflow.text import file as file_text
from slamflow.text import grammar, lexicon
from slamflow.text import stories as shared

SPLITS = ("train", "text", "validation", "dev", "test", "preference")
FUNCTION_WORDS = set(
    re.findall(
        r"\w+",
        """a an and any again at all because but by could did do felt for from gave had has he her him his how in inside
        it its more near never not of off on one only out outside so some than that the then there they to together
        under up very was were what who with behind beside came she down first last""",
    )
)


@pytest.fixture(scope="module")
def stories() -> dict[str, list[dict[str, str]]]:
    return {split: list(grammar.write_stories(0, split, 2500)) for split in SPLITS}


def settings(split: str = "train", shard: str = "0000-of-0001", source: str = "grammar", **values) -> WriteStories:
    text = {"source": source, "seed": values.pop("seed", 0)}
    if source == "file":
        text["path"] = values.pop("path", "stories.txt")
    given = {"corpus": "tiny", "stories": None, **values, "text": text, "split": split, "shard": shard}
    return WriteStories.model_validate(given)


def read(path: Path, split: str, seed: int = 0) -> file_text.FileStories:
    """All stories of a file that fall into a split."""
    return file_text.read_file(path, seed, split, None)


def items(given: WriteStories) -> str:
    """What the stories of a shard follow from."""
    return given.text.items(given, Sources({}, Path()))


def tokens(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


# The grammar


def test_vocabulary_is_rich_and_every_word_occurs_often(stories):
    counts = Counter(word for record in stories["train"] for word in tokens(record["text"]))
    content = {word: count for word, count in counts.items() if word not in FUNCTION_WORDS}
    assert len(content) >= 150
    assert min(content.values()) >= 15, sorted(content.items(), key=lambda item: item[1])[:5]


def test_word_lists_are_words_of_the_stories(stories):
    words = {word for split in SPLITS for record in stories[split] for word in tokens(record["text"])}
    words |= {word.removesuffix("s") for word in words}
    assert set(map(str.lower, lexicon.NAMES)) <= words
    assert set(lexicon.ADJECTIVES) <= words
    assert not set(lexicon.NOUNS) - words
    assert not {past for _, past in lexicon.VERBS} - words


def test_shapes():
    assert len(grammar.SHAPES) >= 6
    assert sum(shape.held_out for shape in grammar.SHAPES) == 1
    events = [event for shape in grammar.SHAPES for event in shape.events]
    assert len(events) == len(set(events)), "two shapes share an event: their combinations would be one"


def test_every_way_to_end_follows_from_every_way_to_tell():
    for shape in grammar.SHAPES:
        for told in itertools.product(*shape.sentences):
            prompt = " ".join(told)
            for ending in shape.endings:
                for detail in grammar.DETAILS:
                    if f"{{{detail}}}" in ending:
                        slot = "tell" if detail == "event" else detail
                        assert f"{{{slot}}}" in prompt, (shape.name, prompt, ending, detail)
                assert "{object}" in prompt
                named = [detail for detail in grammar.DETAILS if f"{{{detail}}}" in ending]
                assert len(named) >= 3, f"{ending} repeats too little"
                assert set(named) - {"hero", "object", "event"}, f"{ending} may have no detail left to change"
        for event, told_event in shape.events.items():
            assert event in told_event


def test_no_a_before_a_vowel(stories):
    for split in SPLITS:
        for record in stories[split]:
            for text in (record["text"], record["wrong_detail"] or ""):
                assert not re.search(r"\ba [aeiou]", text), text
                assert "{" not in text


def test_records(stories):
    for split in SPLITS:
        for index, record in enumerate(stories[split]):
            assert record["id"] == f"{split}-{index:06d}"
            assert record["split"] == split
            assert record["text"] == f"{record['prompt']} {record['ending']}"
            assert record["prompt"].count(".") in (3, 4)
            assert record["ending"].count(".") == 1
            assert record["hero"] in record["text"]
            assert record["object"] in record["prompt"]
            assert (record["wrong_detail"] is not None) == (split in ("dev", "test", "preference"))


def test_splits_share_no_combination_and_no_text(stories):
    keys = ("hero", "object", "event")
    combinations = {split: {tuple(record[key] for key in keys) for record in stories[split]} for split in SPLITS}
    texts = {split: {record["text"] for record in stories[split]} for split in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        if {one, other} == {"train", "text"}:
            assert combinations[one] & combinations[other]
        else:
            assert not combinations[one] & combinations[other]
            assert not texts[one] & texts[other]
    for split in SPLITS:
        assert len(texts[split]) == len(stories[split])


def test_other_seeds_have_the_same_splits(stories):
    keys = ("hero", "object", "event")
    trained = {tuple(record[key] for key in keys) for record in stories["train"]}
    other = list(grammar.write_stories(7, "test", 500))
    assert not trained & {tuple(record[key] for key in keys) for record in other}
    assert [record["text"] for record in other] != [record["text"] for record in stories["test"][:500]]


def test_held_out_shape_is_a_fifth_of_dev_and_test(stories):
    held_out = {shape.name for shape in grammar.SHAPES if shape.held_out}
    for split in SPLITS:
        share = sum(record["shape"] in held_out for record in stories[split]) / len(stories[split])
        assert 0.15 < share < 0.25 if split in ("dev", "test") else share == 0


def test_one_story_more_changes_no_other(stories):
    assert list(grammar.write_stories(0, "dev", 40)) == stories["dev"][:40]
    assert list(grammar.write_stories(0, "dev", 41)) == stories["dev"][:41]


def test_texts_stay_unique_where_draws_repeat(monkeypatch):
    """With few words left, the same story is drawn again and again."""
    monkeypatch.setattr(grammar, "POOLS", {name: pool[:1] for name, pool in lexicon.POOLS.items()})
    monkeypatch.setattr(grammar, "OBJECTS", lexicon.OBJECTS[:2])
    texts = [record["text"] for record in grammar.write_stories(0, "train", 800)]
    assert len(set(texts)) == 800


def changed_parts(right: str, wrong: str) -> tuple[str, str]:
    """What is left of both when their common beginning and end (whole words) are taken away."""
    one, other = right.rstrip(".").split(), wrong.rstrip(".").split()
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return " ".join(one), " ".join(other)


def test_wrong_detail_contradicts_the_story_in_one_detail(stories):
    names = {name.lower() for name in lexicon.NAMES}
    pools = [lexicon.OBJECTS, names, *(lexicon.POOLS[name] for name in ("place", "friend", "feeling"))]
    for record in stories["test"] + stories["dev"] + stories["preference"]:
        right, wrong = changed_parts(record["ending"], record["wrong_detail"])
        assert right
        assert wrong
        assert abs(len(record["ending"].split()) - len(record["wrong_detail"].split())) <= 1
        told, new = set(tokens(record["prompt"])), set(tokens(wrong)) - set(tokens(right))
        assert new, record
        changed = [pool for pool in pools if any(set(tokens(value)) & new for value in pool)]
        assert len(changed) <= 1, record
        assert not new & told & {*lexicon.OBJECTS, *names, *lexicon.POOLS["friend"]}, record


def test_wrong_detail_is_as_likely_as_the_right_one(stories):
    """Each word is as often the wrong one as the right one, so without the story there is nothing to go by."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    longer = 0
    records = stories["test"] + stories["dev"] + stories["preference"]
    for record in records:
        before, after = changed_parts(record["ending"], record["wrong_detail"])
        right[before] += 1
        wrong[after] += 1
        longer += (len(before) > len(after)) - (len(before) < len(after))
    assert abs(longer) < 4 * len(records) ** 0.5
    for part in right | wrong:
        difference, total = right[part] - wrong[part], right[part] + wrong[part]
        assert abs(difference) <= 4.5 * total**0.5, (part, right[part], wrong[part])


def test_wrong_combinations_are_of_the_same_split(stories):
    """Else a model that learned the training combinations by heart would prefer the wrong endings."""
    checked = 0
    for record in stories["test"]:
        for word in tokens(record["wrong_detail"]):
            combination = [record["hero"], record["object"], record["event"]]
            if word.capitalize() in lexicon.NAMES and word.capitalize() != record["hero"]:
                combination[0] = word.capitalize()
            elif word in lexicon.OBJECTS and word != record["object"]:
                combination[1] = word
            else:
                continue
            held_out = record["shape"] == "tricked"
            assert grammar.combination_split(*combination, held_out) == "test"
            checked += 1
    assert checked > 500


# Files


def write_file(path: Path, stories: list[str]) -> Path:
    path.write_text("\n<|endoftext|>\n".join(stories) + "\n<|endoftext|>\n", encoding="utf-8")
    return path


def sample(count: int) -> list[str]:
    return [f"Pip had {number} pears. He ate one.\nThen he gave the other pears away." for number in range(count)]


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("Tim ran. He fell down.", "He fell down."),
        ("Tim ran. He fell.", None),
        ('Tim ran. "Help me!" he said.', '"Help me!" he said.'),
        ('Tim ran. "Help me!" Lily said to him.', '"Help me!" Lily said to him.'),
        ('Tim ran. "Is it far?" the old man asked.', '"Is it far?" the old man asked.'),
        ('Tim ran. Mom said, "Stop! You are too fast. Sit down."', 'Mom said, "Stop! You are too fast. Sit down."'),
        ("Tim ran. Mom said, “Stop! You are fast.”", "Mom said, “Stop! You are fast.”"),
        ('Mom said, "Stop." Tim stopped at once.', "Tim stopped at once."),
        ("Tim ran. He met Mr. Brown and Dr. Who.", "He met Mr. Brown and Dr. Who."),
        ("Tim ran. J. K. Smith saw him.", "J. K. Smith saw him."),
        ("It was me and I. Then we left home.", "Then we left home."),
        ("Tim ran... He was so fast!", "He was so fast!"),
        ("It cost 3.50 in all. 20 people paid for it.", "20 people paid for it."),
        ("They were happy ever after. The end.", None),
        ("Tim ran home. They were happy ever after. The end.", "They were happy ever after. The end."),
        ("Tim ran", None),
        ("tim ran. he fell down.", None),
        ('A lost quote " here. Tim ran home again. Mom was glad.', "Mom was glad."),
    ],
)
def test_split_ending(text, ending):
    if ending is None:
        assert shared.why_unusable(text)
        with pytest.raises(ValueError, match="cannot be split"):
            shared.split_ending(text)
    else:
        assert shared.why_unusable(text) is None
        assert shared.split_ending(text) == (text.removesuffix(ending).rstrip(), ending)


def test_file_splits_are_disjoint_and_complete(tmp_path):
    path = write_file(tmp_path / "stories.txt", sample(1500))
    found = {split: read(path, split) for split in SPLITS}
    assert list(found["text"].stories) == list(found["train"].stories)
    keys = [key for split in SPLITS if split != "text" for key in found[split].stories]
    assert len(keys) == len(set(keys)) == 1500
    assert 0.84 < len(found["train"].stories) / 1500 < 0.92
    other_seed = read(path, "train", seed=1)
    assert set(other_seed.stories) != set(found["train"].stories)


def test_one_story_more_in_a_file_changes_one_shard(tmp_path):
    path = write_file(tmp_path / "stories.txt", sample(200))

    def digests() -> dict[tuple[str, str], str]:
        return {
            (split, shard): items(settings(split, shard, source="file", path=str(path)))
            for split in ("train", "validation", "dev", "test", "preference")
            for shard in shard_names(4)
        }

    before = digests()
    write_file(path, [*sample(200), "Ann lost a hat. She found it in the pond."])
    after = digests()
    assert sum(before[key] != after[key] for key in before) == 1
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("Ann lost a hat.", "Ann lost a cap."), encoding="utf-8")
    assert 1 <= sum(after[key] != value for key, value in digests().items()) <= 2


def test_a_file_is_read_once_for_all_its_shards(tmp_path, monkeypatch):
    path = write_file(tmp_path / "stories.txt", sample(20_000))
    reads = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: reads.append(self) or read_bytes(self))
    given = [settings(shard=shard, source="file", path=str(path)) for shard in shard_names(20)]
    digests = [items(each) for each in given]
    assert len(set(digests)) == 20
    assert reads == [path]
    ids = [item for key in read(path, "train").stories if shared.in_shard(item := f"train-{key}", given[7])]
    assert digests[7].endswith(f" {hashlib.sha256(chr(10).join(ids).encode()).hexdigest()}")
    write_file(path, sample(19_999))
    reads.clear()
    assert sum(items(each) != digest for each, digest in zip(given, digests, strict=True)) == 1
    assert reads == [path]


def test_one_story_more_of_the_grammar_changes_one_shard():
    before = [items(settings(shard=shard, stories=100)) for shard in shard_names(4)]
    after = [items(settings(shard=shard, stories=101)) for shard in shard_names(4)]
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
    assert len(set(before)) == 4


def test_what_is_no_story_is_counted_and_set_aside(tmp_path):
    path = tmp_path / "stories.txt"
    good = [story.encode() for story in sample(400)]
    bad = [b"Tim ran. \xff\xfe He fell down.", b"Tim\x00ran. He fell down there.", b"Only one sentence.", b"   \n"]
    numbers = b"1 2 3 4 5 6 7 8 9. 10 11 12 13 14 15 16 17."
    path.write_bytes(b"<|endoftext|>".join([*good, *bad, numbers, *good[:50]]))
    counts: Counter[str] = Counter()
    stories = 0
    for split in ("train", "validation", "dev", "test", "preference"):
        found = read(path, split)
        counts += Counter({key: value for key, value in found.set_aside.items() if key != "not UTF-8 text"})
        stories += len(found.stories)
        assert found.set_aside["not UTF-8 text"] == 1
    assert stories == 400
    assert counts == {"said before": 50, "not text": 2, "too short to split into a prompt and an ending": 1}


@pytest.mark.parametrize(("separator", "name"), [("\n\n", "blank lines"), ("\n", "line ends")])
def test_files_without_the_separator(tmp_path, separator, name):
    path = tmp_path / "stories.txt"
    path.write_text(separator.join(story.replace("\n", " ") for story in sample(20)), encoding="utf-8")
    found = read(path, "train")
    assert found.separator == name
    assert len(found.stories) > 12


# The command


def run(tmp_path: Path, given: WriteStories, *more: str) -> list[dict[str, str]]:
    output = tmp_path / f"{given.shard}.jsonl"
    command.main(["--settings", given.model_dump_json(), "--output", str(output), *more])
    return files.read_jsonl(output)


def test_shards_are_the_whole_split(tmp_path, stories):
    shards = [run(tmp_path, settings("test", shard, stories=60)) for shard in shard_names(3)]
    assert all(shards)
    every = sorted((record for shard in shards for record in shard), key=lambda record: record["id"])
    assert every == stories["test"][:60]


def test_stories_of_a_file(tmp_path):
    path = write_file(tmp_path / "stories.txt", sample(30))
    given = settings("train", source="file", stories=10)
    records = run(tmp_path, given, "--source", str(path))
    assert len(records) == 10
    assert [record["id"] for record in records] == [f"train-{key}" for key in list(read(path, "train").stories)[:10]]
    for record in records:
        assert record["prompt"].endswith("pears. He ate one.")
        assert record["ending"] == "Then he gave the other pears away."
        assert record["text"] == f"{record['prompt']} {record['ending']}"
        assert all(record[key] is None for key in ("hero", "object", "event", "shape", "wrong_detail"))
        assert set(record) == set(next(grammar.write_stories(0, "train", 1)))


def test_same_bytes_each_time(tmp_path):
    given = settings("preference", stories=30)
    run(tmp_path, given)
    first = (tmp_path / "0000-of-0001.jsonl").read_bytes()
    arguments = [command.__file__, "--settings", given.model_dump_json(), "--output", str(tmp_path / "again.jsonl")]
    environment = {"PYTHONHASHSEED": "17", "PATH": ""}
    subprocess.run([sys.executable, *arguments], check=True, env=environment, capture_output=True)
    assert (tmp_path / "again.jsonl").read_bytes() == first


@pytest.mark.parametrize(
    ("given", "content", "message"),
    [
        (settings("train"), None, "a grammar needs a number"),
        (settings("train", source="file"), None, "cannot be read"),
        (settings("train", source="file"), "", "no usable story for split train"),
        (settings("train", source="file"), "Just one sentence here.", "no usable story"),
    ],
)
def test_bad_input(tmp_path, given, content, message):
    path = tmp_path / "in.txt"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    more = ["--source", str(path)] if given.text.source == "file" else []
    with pytest.raises(InputError, match=message):
        run(tmp_path, given, *more)
    assert not list(tmp_path.glob("*.jsonl"))


def test_source_is_needed(tmp_path):
    with pytest.raises(InputError, match="give --source"):
        run(tmp_path, settings(source="file"))


def test_settings_are_checked(tmp_path):
    values = json.loads(settings("train", stories=3).model_dump_json())
    values["splits"] = "train"
    with pytest.raises(InputError, match="splits: unknown key"):
        command.main(["--settings", json.dumps(values), "--output", str(tmp_path / "x.jsonl")])
