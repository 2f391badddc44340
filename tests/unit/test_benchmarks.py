"""Pairs from stories: who gets whose ending, what is left out, what a blind guesser reaches."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import build_benchmark
from slamflow import files
from slamflow.benchmarks import pairs
from slamflow.benchmarks.pairs import Spoken, read_records
from slamflow.benchmarks.story_pairs import STORY_KEYS, different_partners
from slamflow.errors import InputError
from slamflow.evaluation import scores
from slamflow.shards.items import Item, read_items

PARTS = ("prompt", "ending", "wrong_detail")


def make_stories(count: int, endings: int = 1000, seed: int = 0) -> list[dict]:
    random = np.random.default_rng(seed)
    return [
        {
            "id": f"test-{index:04}",
            "text": "",
            "prompt": f"Prompt {index}.",
            "ending": f"Ending {random.integers(endings)}.",
            "wrong_detail": f"Wrong {index}.",
        }
        for index in range(count)
    ]


def write_inputs(folder: Path, stories: list[dict], missing: tuple[str, ...] = (), voices: int = 3) -> None:
    """Story text and unit shards (two of each); the units of a part spell its text."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index, story in enumerate(stories):
        for part in PARTS:
            if story[part] is not None and f"{story['id']}.{part}" not in missing:
                units = list(story[part].encode())
                rows.append({"id": f"{story['id']}.{part}", "speaker": f"voice-{index % voices}", "units": units})
    half = len(stories) // 2
    files.write_jsonl(folder / "a.jsonl", stories[:half])
    files.write_jsonl(folder / "b.jsonl", stories[half:])
    schema = pa.schema([("id", pa.string()), ("speaker", pa.string()), ("units", pa.list_(pa.uint16()))])
    for name, part_rows in (("a", rows[::2]), ("b", rows[1::2])):
        pq.write_table(pa.Table.from_pylist(part_rows, schema=schema), folder / f"{name}.parquet")


def build(folder: Path, stories: list[dict], kind: str = "tstorycloze", seed: int = 0, **inputs) -> tuple[list, dict]:
    write_inputs(folder, stories, **inputs)
    benchmark = {"kind": kind, "corpus": "stories", "encoder": "spelling", "seed": seed}
    settings = json.dumps({"name": "mine", "benchmark": benchmark, "split": "test"})
    flags = (
        f"--records {folder}/a.jsonl {folder}/b.jsonl --units {folder}/a.parquet {folder}/b.parquet"
        f" --output {folder}/items.parquet --manifest {folder}/items.json"
    )
    build_benchmark.main(["--settings", settings, *flags.split()])
    return read_items(folder / "items.parquet"), files.read_json(folder / "items.json")


def spelled(units: np.ndarray) -> str:
    return bytes(units.tolist()).decode()


def test_partners_exchange_different_endings_in_one_voice(tmp_path: Path) -> None:
    stories = make_stories(300, endings=12)
    items, manifest = build(tmp_path, stories)
    assert [item.id for item in items] == sorted(item.id for item in items)
    by_id = {story["id"]: (index, story) for index, story in enumerate(stories)}
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.cluster, []).append(item)
        assert spelled(item.good) == by_id[item.id][1]["prompt"] + by_id[item.id][1]["ending"]
    for one, other in groups.values():
        (first, one_story), (second, other_story) = by_id[one.id], by_id[other.id]
        assert one_story["ending"] != other_story["ending"]
        assert first % 3 == second % 3, "the voice"
        assert spelled(one.bad) == one_story["prompt"] + other_story["ending"]
        assert spelled(other.bad) == other_story["prompt"] + one_story["ending"]
    assert len(items) == 300
    assert manifest["items"] == 300
    assert manifest["clusters"] == 150
    assert [manifest[key] for key in ("name", "kind", "split", "encoder")] == [
        "mine",
        "tstorycloze",
        "test",
        "spelling",
    ]
    assert manifest["left_out"] == {}


def test_length_alone_is_at_chance(tmp_path: Path) -> None:
    """Exactly: no prompt ends with the unit that an ending begins with, so nothing is dropped at the seam."""
    stories = make_stories(200)
    for index, story in enumerate(stories):
        story["ending"] += "!" * (index % 17)
    items, _ = build(tmp_path, stories, voices=4)
    lengths = [
        np.array([len(units) for units in side], float) for side in ([i.good for i in items], [i.bad for i in items])
    ]
    correct = scores.is_correct(*lengths)
    assert correct.mean() == 0.5
    assert set(correct) >= {0.0, 1.0}


@pytest.mark.parametrize("seed", range(10))
def test_as_many_pairs_as_can_be(seed: int) -> None:
    """Two items with different endings can always be paired up unless one ending has the majority."""
    stories = make_stories(31 + seed, endings=2 + seed % 3, seed=seed)
    partners = different_partners(stories, seed)
    assert all(one["ending"] != other["ending"] for one, other in partners)
    used = [story["id"] for pair in partners for story in pair]
    assert len(set(used)) == len(used)
    most = max(Counter(story["ending"] for story in stories).values())
    assert len(partners) == min(len(stories) // 2, len(stories) - most)


def test_same_for_same_seed_in_any_order_and_other_for_another(tmp_path: Path) -> None:
    stories = make_stories(60)
    spoken = {
        f"{s['id']}.{part}": Spoken("v", np.frombuffer(s[part].encode(), np.uint8)) for s in stories for part in PARTS
    }

    def clusters(given: list[dict], seed: int) -> list[str]:
        return [item.cluster for item in pairs.build("tstorycloze", given, spoken, seed)[0]]

    assert clusters(stories, 0) == clusters(stories[::-1], 0)
    assert clusters(stories, 0) != clusters(stories, 1)
    build(tmp_path / "one", stories)
    build(tmp_path / "two", stories)
    for name in ("items.parquet", "items.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_unit_at_the_seam_is_kept_once(tmp_path: Path) -> None:
    stories = make_stories(2)
    stories[0]["ending"] = ".Dots"
    items, _ = build(tmp_path, stories, voices=1)
    assert spelled(items[0].good) == "Prompt 0.Dots"
    assert spelled(items[1].bad) == "Prompt 1.Dots"


def test_stories_with_missing_parts_are_counted(tmp_path: Path) -> None:
    stories = make_stories(9)
    items, manifest = build(tmp_path, stories, missing=("test-0000.prompt", "test-0003.ending"), voices=1)
    assert "test-0000" not in {item.id for item in items}
    assert manifest["left_out"] == {"not_spoken": 2, "no_partner": 1}
    assert len(items) == 6


def test_wrong_detail_is_the_other_ending(tmp_path: Path) -> None:
    stories = make_stories(6)
    stories[2]["wrong_detail"] = None
    items, manifest = build(tmp_path, stories, kind="sstorycloze", missing=("test-0004.wrong_detail",))
    assert [item.id for item in items] == ["test-0000", "test-0001", "test-0003", "test-0005"]
    assert all(item.cluster == item.id for item in items)
    assert spelled(items[1].good) == stories[1]["prompt"] + stories[1]["ending"]
    assert spelled(items[1].bad) == "Prompt 1.Wrong 1."
    assert manifest["left_out"] == {"no_wrong_detail": 1, "not_spoken": 1}


def test_nothing_can_be_used(tmp_path: Path) -> None:
    stories = make_stories(4, endings=1)
    with pytest.raises(InputError, match=r"none of 4 stories or pairs can be used \(no_partner: 4\)"):
        build(tmp_path, stories, voices=1)


def test_story_without_a_prompt_names_file_and_record(tmp_path: Path) -> None:
    stories = make_stories(4)
    del stories[1]["prompt"]
    with pytest.raises(InputError, match=r"a\.jsonl, record 2: needs a string 'prompt'"):
        read_records([files_with(tmp_path, stories)], STORY_KEYS)


def files_with(folder: Path, stories: list[dict]) -> Path:
    files.write_jsonl(folder / "a.jsonl", stories)
    return folder / "a.jsonl"


def test_story_twice(tmp_path: Path) -> None:
    stories = make_stories(2)
    with pytest.raises(InputError, match="test-0001 comes twice"):
        read_records([files_with(tmp_path, [*stories, stories[1]])], STORY_KEYS)
