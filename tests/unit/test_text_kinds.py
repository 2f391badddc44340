"""Every text source: what a kind must have, and what a recipe may say of it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

import write_stories
from slamflow import files
from slamflow.corpora.job_settings import WriteStories
from slamflow.corpora.stories import StoryCorpus
from slamflow.jobs.sources import Sources
from slamflow.sharding import shard_names
from slamflow.text import PAIR_TEXTS, TEXT_SOURCES, TextSettings
from slamflow.text.grammar import write_stories as grammar_stories

STORIES = [str(story["text"]) for story in grammar_stories(5, "train", 120)]
SWAG = "sent1,sent2,gold-source,label,ending0,ending1,ending2,ending3\n" + "".join(
    f"A man is number {number}.,He,gold,{number % 4},runs {number}.,sits {number}.,sings {number}.,sleeps {number}.\n"
    for number in range(40)
)


def example(source: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Settings of a text source with a file to read, and a split that it has. A new kind needs an example here."""
    path = folder / source
    match source:
        case "grammar":
            return {}, "train"
        case "sentences":
            return {}, "train"
        case "file":
            path.write_text("<|endoftext|>".join(STORIES), encoding="utf-8")
            return {"path": str(path)}, "train"
        case "parquet":
            pq.write_table(pa.table({"story": STORIES}), path)
            return {"path": str(path), "column": "story"}, "train"
        case "swag":
            path.write_text(SWAG, encoding="utf-8")
            return {"path": str(path)}, "preference"
    raise AssertionError(f"no example of text source {source}")


@pytest.fixture(params=TEXT_SOURCES.names())
def told(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[TextSettings, str]:
    values, split = example(request.param, tmp_path)
    return TEXT_SOURCES.settings(request.param).model_validate({"source": request.param, **values}), split


def job(text: TextSettings, split: str, shard: str = "0000-of-0001", stories: int | None = 20) -> WriteStories:
    return WriteStories(text=text, corpus="c", split=split, stories=stories, shard=shard)


def run(folder: Path, settings: WriteStories) -> list[dict[str, Any]]:
    """The command, with the files that the settings name."""
    output = folder / "out.jsonl"
    paths = settings.text.files(Sources({}, folder))
    source = ["--source", *paths] if paths else []
    write_stories.main(["--settings", settings.model_dump_json(), *source, "--output", str(output)])
    return files.read_jsonl(output)


def test_a_kind_tells_of_itself(told: tuple[TextSettings, str]) -> None:
    text, split = told
    assert TEXT_SOURCES.module(text.source).__doc__
    assert type(text).__doc__
    assert type(text).model_fields["source"].description
    assert list(text.file_problems("here", Sources({}, Path()))) == []
    assert list(text.split_problems({split: 20})) == []
    assert text.hours(split, 20) is None or 0.01 < (text.hours(split, 20) or 0) < 1


def test_shards_make_the_split_and_more_stories_change_no_earlier_one(
    told: tuple[TextSettings, str], tmp_path: Path
) -> None:
    text, split = told
    whole = run(tmp_path, job(text, split))
    keys = {"id", "split", "shape", "hero", "object", "event", "text", "prompt", "ending", "wrong_detail"}
    assert len(whole) == 20
    for record in whole:
        assert set(record) == keys
        assert record["prompt"] is None or record["text"] == f"{record['prompt']} {record['ending']}"
        assert record["id"].startswith(f"{split}-")
    shards = [run(tmp_path, job(text, split, shard)) for shard in shard_names(3)]
    assert all(shards)
    assert sorted(record["id"] for shard in shards for record in shard) == sorted(record["id"] for record in whole)
    assert run(tmp_path, job(text, split, stories=25))[:20] == whole


def test_what_a_shard_follows_from_is_told_without_the_job(told: tuple[TextSettings, str]) -> None:
    text, split = told
    sources = Sources({}, Path())
    items = text.items(job(text, split), sources)
    assert text.items(job(text, split), sources) == items
    assert text.items(job(text, split, stories=21), sources) != items
    other = text.model_copy(update={"seed": 1})
    assert other.items(job(other, split), sources) != items


def test_a_file_that_is_not_there_is_named(told: tuple[TextSettings, str]) -> None:
    text, _ = told
    if "path" not in type(text).model_fields:
        return
    lost = text.model_copy(update={"path": "nowhere/x"})
    assert list(lost.file_problems("corpora.c.text", Sources({}, Path()))) == [
        "corpora.c.text.path: nowhere/x: no such file"
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"source": "grammar", "path": "a.txt"},
        {"source": "file"},
        {"source": "file", "path": "a.txt", "column": "text"},
        {"source": "swag", "path": "a.csv", "column": "text"},
        {"source": "rumour"},
    ],
)
def test_keys_belong_to_their_source(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StoryCorpus.model_validate({"kind": "stories", "text": values, "splits": {"preference": {"stories": 3}}})


def test_a_grammar_needs_a_number_of_stories() -> None:
    with pytest.raises(ValidationError, match=r"splits\.train\.stories: a grammar needs a number"):
        StoryCorpus.model_validate({"kind": "stories", "splits": {"train": {"stories": None}}})


@pytest.mark.parametrize("task", PAIR_TEXTS.names())
def test_minimal_pairs_are_written_for_each_task(task: str) -> None:
    """What is written is tested in test_minimal_pairs: swuggy takes its time."""
    assert 1 < PAIR_TEXTS.settings(task).seconds < 30
    assert PAIR_TEXTS.settings(task).__doc__
    assert list(inspect.signature(PAIR_TEXTS.module(task).write_minimal_pairs).parameters) == ["seed", "split", "count"]
