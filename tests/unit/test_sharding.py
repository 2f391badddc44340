"""Names of shards: four digits where they suffice, and commands that take all shards by one pattern."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import pytest

from slamflow import commands
from slamflow.jobs.patterns import shell_patterns
from slamflow.sharding import parse_shard, shard_name, shard_names, shard_paths


@pytest.mark.parametrize("count", [1, 4, 9999])
def test_four_digits_as_ever(count: int) -> None:
    assert shard_names(count) == [f"{index:04d}-of-{count:04d}" for index in range(count)]


@pytest.mark.parametrize("count", [9999, 10_000, 20_000, 123_456])
def test_names_of_any_number_are_sorted_and_read_back(count: int) -> None:
    names = shard_names(count)
    assert names == sorted(names)
    assert parse_shard(names[-1]) == (count - 1, count)
    assert {len(name) for name in names} == {len(names[0])}


def test_many_shards_by_hand() -> None:
    assert shard_name(31, 20_000) == "00031-of-20000"
    assert parse_shard("00031-of-20000") == (31, 20_000)


@pytest.mark.parametrize("name", ["0031-of-20000", "00031-of-0040", "31-of-40", "0031-of-0040.json", "0031-of-"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a shard name"):
        parse_shard(name)


def test_a_pattern_stands_for_all_shards() -> None:
    found = shard_paths("a/units/?????-of-20000.quarantine.jsonl")
    assert len(found) == 20_000
    assert found[7] == Path("a/units/00007-of-20000.quarantine.jsonl")
    for other in ("a/0003-of-0024.parquet", "a/????-of-20000.parquet", "a/????.parquet", "a.b/c?d.jsonl"):
        assert shard_paths(other) == [Path(other)]


@pytest.mark.parametrize("counts", [[3], [2, 12_000]])
def test_commands_get_the_files_that_rules_name(counts: list[int]) -> None:
    files = [f"my results/{count}/{name}.parquet" for count in counts for name in shard_names(count)]
    files += ["other/it's.parquet"]
    shown = shell_patterns(files)
    assert len(shown) < 200
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", action=commands.Files, nargs="+")
    assert parser.parse_args(["--units", *shlex.split(shown)]).units == [Path(file) for file in files]
