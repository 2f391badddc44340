"""Preference pairs join to the sequences that a benchmark would score, deduplicated over the seam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import build_preferences
from slamflow import files
from slamflow.benchmarks import pairs
from slamflow.benchmarks.pairs import Spoken
from slamflow.errors import InputError
from slamflow.generation.auto_bleu import auto_bleu
from slamflow.preferences import build
from slamflow.recipe.preferences import BuildPreferences
from slamflow.shards.pairs import PreferencePair, read_pairs
from tests.unit.test_benchmarks import make_stories, write_inputs


def settings(*negatives: str, max_auto_bleu: float = 0.3) -> BuildPreferences:
    values = {"name": "endings", "encoder": "spelling", "negatives": list(negatives), "seed": 0}
    return BuildPreferences.model_validate({**values, "max_auto_bleu": max_auto_bleu})


def spoken_of(stories: list[dict]) -> dict[str, Spoken]:
    return {
        f"{story['id']}.{part}": Spoken("voice", np.frombuffer(story[part].encode(), np.uint8).astype(np.uint16))
        for story in stories
        for part in ("prompt", "ending", "wrong_detail")
    }


def whole(pair: PreferencePair, ending: str) -> list[int]:
    return [*pair.prompt.tolist(), *getattr(pair, ending).tolist()]


def test_both_kinds_are_the_sequences_of_the_benchmarks() -> None:
    stories = make_stories(40, endings=7)
    spoken = spoken_of(stories)
    found, left_out = build(settings("detail", "other_story"), stories, spoken)
    assert left_out == {}
    assert [pair.id for pair in found] == sorted(pair.id for pair in found)
    kinds = {"detail": "sstorycloze", "other_story": "tstorycloze"}
    for kind, benchmark in kinds.items():
        items = {item.id: item for item in pairs.build(benchmark, stories, spoken, 0)[0]}
        of_kind = {pair.id.removesuffix(f".{kind}"): pair for pair in found if pair.id.endswith(f".{kind}")}
        assert of_kind.keys() == items.keys()
        for story, pair in of_kind.items():
            assert whole(pair, "chosen") == items[story].good.tolist()
            assert whole(pair, "rejected") == items[story].bad.tolist()


def test_the_seam_is_deduplicated_alike_in_both_endings() -> None:
    story = make_stories(1)[0] | {"prompt": "abc", "ending": "cde", "wrong_detail": "cxe"}
    (pair,), _ = build(settings("detail"), [story], spoken_of([story]))
    assert bytes(pair.prompt.tolist()) == b"abc"
    assert bytes(pair.chosen.tolist()) == b"de"
    assert bytes(pair.rejected.tolist()) == b"xe"


def test_stories_that_repeat_themselves_are_left_out() -> None:
    repeating, good = make_stories(2)
    repeating["prompt"] = "the dog ran . the dog ran . the dog ran ."
    limit = auto_bleu(f"{repeating['prompt']} {repeating['ending']}")
    stories = [repeating, good]
    found, left_out = build(settings("detail", max_auto_bleu=limit - 1e-9), stories, spoken_of(stories))
    assert [pair.id for pair in found] == [f"{good['id']}.detail"]
    assert left_out == {"repeats_itself": 1}
    assert len(build(settings("detail", max_auto_bleu=limit), stories, spoken_of(stories))[0]) == 2


def test_nothing_is_left() -> None:
    stories = make_stories(3)
    with pytest.raises(InputError, match=r"no preference pair from 3 stories \(not_spoken: 3\)"):
        build(settings("detail"), stories, {})


def test_the_command_writes_what_dpo_reads(tmp_path: Path) -> None:
    stories = make_stories(30)
    for folder in (tmp_path / "one", tmp_path / "two"):
        write_inputs(folder, stories, missing=("test-0003.wrong_detail",))
        flags = (
            f"--stories {folder}/b.jsonl {folder}/a.jsonl --units {folder}/a.parquet {folder}/b.parquet "
            f"--output {folder}/pairs.parquet --manifest {folder}/pairs.json"
        )
        build_preferences.main(["--settings", settings("detail").model_dump_json(), *flags.split()])
    found = read_pairs(tmp_path / "one/pairs.parquet")
    manifest = files.read_json(tmp_path / "one/pairs.json")
    assert len(found) == manifest["pairs"] == 29
    assert (manifest["name"], manifest["encoder"]) == ("endings", "spelling")
    assert manifest["left_out"] == {"not_spoken": 1}
    assert pq.read_table(tmp_path / "one/pairs.parquet").equals(pq.read_table(tmp_path / "two/pairs.parquet"))
    assert (tmp_path / "one/pairs.json").read_bytes() == (tmp_path / "two/pairs.json").read_bytes()
