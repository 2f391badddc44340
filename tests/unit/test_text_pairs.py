"""A benchmark of one's own: files of text pairs, from lines to records, and from there to speech and items."""

from __future__ import annotations

import bz2
import gzip
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

import build_benchmark
import synthesize_stories
import write_minimal_pairs
from slamflow import files
from slamflow.benchmarks.pairs import Spoken, build, needed_keys, read_records
from slamflow.benchmarks.text_pairs import TextPairs
from slamflow.corpora.minimal_pairs import MinimalPairCorpus
from slamflow.errors import InputError
from slamflow.jobs.sources import Sources
from slamflow.recipe.evaluation import BuildBenchmark
from slamflow.sharding import shard_names
from slamflow.shards.items import read_items
from slamflow.strict_yaml import load_yaml
from slamflow.text import PAIR_SOURCES
from slamflow.text.hellaswag import cleaned, split_context

ROOT = Path(__file__).parents[2]


def blimp(paradigm: str, number: int, **changes: str) -> dict[str, Any]:
    """A line in BLiMP's format."""
    good, bad = f"The {paradigm} {number} sleeps.", f"The {paradigm} {number} sleep."
    line = {"sentence_good": good, "sentence_bad": bad, "UID": paradigm, "linguistics_term": paradigm[0]}
    return {**line, "field": "syntax", "pairID": str(number), **changes}


def hellaswag(number: int, **changes: Any) -> dict[str, Any]:
    """A line in HellaSwag's format, with the right ending at `label`."""
    label = number % 4
    endings = [f"{'sits' if which == label else 'runs'} {number} times {which}." for which in range(4)]
    return {"ind": number, "ctx": f"A man is on roof {number}. he", "endings": endings, "label": label, **changes}


def jsonl(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def written(folder: Path, path: Path, source: str, split: str = "test", **changes: Any) -> list[dict[str, Any]]:
    """The records of all shards of a split, as the command writes them."""
    text = {"source": source, "path": str(path), **changes.pop("text", {})}
    values = {"kind": "minimal_pairs", "text": text, "splits": {"test": {}}, **changes}
    corpus = MinimalPairCorpus.model_validate(values)
    records = []
    for shard in shard_names(corpus.splits[split].shards):  # type: ignore[index]
        settings = corpus.job("c", split, shard).model_dump_json()
        assert str(path) not in settings
        output = folder / "out.jsonl"
        write_minimal_pairs.main(["--settings", settings, "--source", str(path), "--output", str(output)])
        records += files.read_jsonl(output)
    return records


def usable(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if "left_out" not in record]


# Formats


def test_a_zip_of_paradigms_gives_so_many_of_each(tmp_path: Path) -> None:
    paradigms = ("binding_1", "binding_2", "agreement")
    with zipfile.ZipFile(tmp_path / "BLiMP.zip", "w") as archive:
        for paradigm in paradigms:
            lines = "".join(json.dumps(blimp(paradigm, number)) + "\n" for number in range(9))
            archive.writestr(f"data/{paradigm}.jsonl", lines)
        archive.writestr("__MACOSX/data/._agreement.jsonl", b"\x00\x05\x16")
        archive.writestr("data/.DS_Store", b"\x00")
    records = written(tmp_path, tmp_path / "BLiMP.zip", "blimp", pairs_per_phenomenon=4)
    assert Counter(record["phenomenon"] for record in records) == dict.fromkeys(paradigms, 4)
    first = next(record for record in records if record["cluster"] == "binding_1.0")
    assert (first["good"], first["bad"]) == ("The binding_1 0 sleeps.", "The binding_1 0 sleep.")
    coarse = written(tmp_path, tmp_path / "BLiMP.zip", "blimp", text={"phenomenon": "linguistics_term"})
    assert Counter(record["phenomenon"] for record in coarse) == {"b": 18, "a": 9}
    assert {record["cluster"] for record in records} <= {record["cluster"] for record in coarse}


def test_a_compressed_file_is_read_as_a_plain_one(tmp_path: Path) -> None:
    plain = jsonl(tmp_path / "a.jsonl", [blimp("x", number) for number in range(5)])
    expected = written(tmp_path, plain, "blimp")
    for suffix, pack in ((".gz", gzip.compress), (".bz2", bz2.compress)):
        packed = tmp_path / f"a.jsonl{suffix}"
        packed.write_bytes(pack(plain.read_bytes()))
        assert written(tmp_path, packed, "blimp") == expected


def test_a_task_of_hellaswag_is_its_right_ending_against_one_wrong_one_or_each(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "h.jsonl", [hellaswag(number) for number in range(200)])
    one = written(tmp_path, path, "hellaswag")
    each = written(tmp_path, path, "hellaswag", text={"wrong": "each"})
    assert len(one) == 200
    assert len(each) == 600
    assert len({record["cluster"] for record in each}) == 200
    for record in each:
        assert record["prompt"].startswith("A man is on roof ")
        assert record["good"].startswith("He sits ")
        assert record["bad"].startswith("He runs ")
    known = {(record["cluster"], record["bad"]) for record in each}
    assert {(record["cluster"], record["bad"]) for record in one} <= known
    # Which of the three does not depend on where the right one stands, and another seed draws others.
    place = Counter((int(record["bad"][-2]) - int(record["good"][-2])) % 4 for record in one)
    assert set(place) == {1, 2, 3}
    assert min(place.values()) > 40
    other = written(tmp_path, path, "hellaswag", text={"seed": 1})
    changed = len({record["bad"] for record in one} - {record["bad"] for record in other})
    assert 100 < changed < 165  # two thirds
    # Nor on the order of the file; labels may be text.
    again = jsonl(tmp_path / "again.jsonl", [hellaswag(n, label=str(n % 4)) for n in reversed(range(200))])
    assert {record["bad"] for record in written(tmp_path, again, "hellaswag")} == {record["bad"] for record in one}


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ("A man sits on a roof. he", ("A man sits on a roof.", "He")),
        ("Two people walk. They stop.", ("Two people walk. They stop.", "")),
        ('She said "stop!" then the dog', ('She said "stop!"', "Then the dog")),
        ("A man named Mr. Smith", ("", "A man named Mr. Smith")),
        ("the lady", ("", "The lady")),
    ],
)
def test_what_is_left_of_a_context_begins_both_endings(context: str, expected: tuple[str, str]) -> None:
    assert split_context(context) == expected


def test_marks_of_wikihow_are_not_spoken() -> None:
    text = "[header] How to swim [title] Find a pool. [step] Ask  around. [substeps] Go early"
    assert cleaned(text) == "How to swim. Find a pool. Ask around. Go early"
    assert cleaned("Find one! [title] Dive") == "Find one! Dive"


def test_a_table_has_groups_ids_and_prompts_if_it_likes(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "id,good,bad,group,prompt,note\n"
        'one,"A cat, sitting.","A cat, sat.",verb,,x\n'
        "one,A cat ran.,A cat run.,verb,,\n"
        "two,He ran.,She ran.,noun,Tom was late.,\n",
        encoding="utf-8-sig",
    )
    records = written(tmp_path, tmp_path / "t.csv", "table")
    assert [(record["cluster"], record["phenomenon"], record.get("prompt"), record["good"]) for record in records] == [
        ("one", "verb", None, "A cat, sitting."),
        ("one", "verb", None, "A cat ran."),
        ("two", "noun", "Tom was late.", "He ran."),
    ]
    (tmp_path / "t.tsv").write_text("good\tbad\nA, b.\tB, a.\nA, b.\tC.\nB.\tA.\n")
    records = written(tmp_path, tmp_path / "t.tsv", "table")
    assert [record["good"] for record in records] == ["A, b.", "A, b.", "B."]
    assert [record["phenomenon"] for record in records] == [None] * 3
    assert records[0]["cluster"] == records[1]["cluster"] != records[2]["cluster"]


@pytest.mark.parametrize(
    ("source", "content", "words"),
    [
        ("blimp", "{}\n", r"line 1: needs a text 'sentence_good'"),
        ("blimp", '{"sentence_good": 1}\n', "line 1: needs a text 'sentence_good'; it has sentence_good"),
        ("blimp", "\n[]\n", "line 2: not a JSON object"),
        ("blimp", "{\n", "line 1: not valid JSON"),
        ("hellaswag", '{"ctx": "a", "endings": ["b"], "label": 0}\n', "line 1: needs 'endings'"),
        ("hellaswag", '{"ctx": "a", "endings": ["b", "c"], "label": ""}\n', "line 1: label '' is none of 0 to 1"),
        ("hellaswag", '{"ctx": "a", "endings": ["b", "c"], "label": true}\n', "label True"),
        ("table", "good,wrong\na,b\n", r"no column bad; its first line, separated by commas, is \['good', 'wrong'\]"),
        ("table", "", "no column good"),
        ("table", "good,bad\na,b\na\n", "line 3: 1 columns, the first line has 2"),
        ("table", "good,bad\na,b,c\n", "line 2: 3 columns"),
        ("table", 'good,bad\n"a"b,c\n', r"after line 1: .*quotation marks"),
        ("table", "good,bad\na,b\xff\n", "not a table in UTF-8"),
        ("blimp", "\xff\n", "not text in UTF-8"),
    ],
)
def test_what_a_file_lacks_is_named_with_its_line(tmp_path: Path, source: str, content: str, words: str) -> None:
    (tmp_path / "f").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=words) as caught:
        written(tmp_path, tmp_path / "f", source)
    assert str(tmp_path / "f") in str(caught.value)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(blimp("x", 1)).encode())[:-6])
    (tmp_path / "b.zip").write_bytes(b"PK no")
    for name in ("a.jsonl.gz", "b.zip"):
        with pytest.raises(InputError, match=rf"{name}: truncated or damaged"):
            written(tmp_path, tmp_path / name, "blimp")


# Splits


def test_what_cannot_be_used_is_left_out_with_the_reason_and_does_not_count(tmp_path: Path) -> None:
    lines = [
        blimp("x", 0),
        blimp("x", 1, sentence_bad=" ... "),
        blimp("x", 2, sentence_bad="The x 2\n sleeps."),
        blimp("x", 0),
        blimp("x", 0),
        blimp("x", 3),
        blimp("x", 4),
    ]
    records = written(tmp_path, jsonl(tmp_path / "a.jsonl", lines), "blimp", splits={"test": {"pairs": 2}})
    reasons = [record.get("left_out") for record in records]
    assert reasons == [None, "empty_text", "same_texts", "said_before", "said_before", None]
    assert len({record["id"] for record in records}) == 6
    files.write_jsonl(tmp_path / "r.jsonl", records)
    read = read_records([tmp_path / "r.jsonl"], needed_keys("text_pairs", published=False))
    spoken = {
        f"{record['id']}.{side}": Spoken("v", np.arange(3, dtype=np.uint16))
        for record in usable(records)
        for side in ("good", "bad")
    }
    items, left_out = build("text_pairs", read, spoken, 0)
    assert left_out == {"empty_text": 1, "said_before": 2, "same_texts": 1}
    assert len(items) + sum(left_out.values()) == len(records)


def test_dev_and_test_divide_the_clusters_and_shards_divide_a_split(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,good,bad\n" + "".join(f"{n // 3},a {n},b {n}\n" for n in range(300)))
    splits = {"dev": {"percent": [0, 30]}, "test": {"percent": [30, 100], "shards": 3}}
    found = {split: written(tmp_path, path, "table", split, splits=splits) for split in splits}
    clusters = {split: {record["cluster"] for record in records} for split, records in found.items()}
    assert not clusters["dev"] & clusters["test"]
    assert len(clusters["dev"]) + len(clusters["test"]) == 100
    assert 15 < len(clusters["dev"]) < 45
    assert sum(map(len, found.values())) == 300
    one = {"dev": splits["dev"], "test": {"percent": [30, 100]}}
    whole = written(tmp_path, path, "table", splits=one)
    assert sorted(record["id"] for record in whole) == sorted(record["id"] for record in found["test"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"task": "sblimp", "splits": {"test": {}}}, "even number"),
        ({"task": "sblimp", "splits": {"test": {"pairs": 3}}}, "even number"),
        ({"task": "sblimp", "splits": {"test": {"pairs": 4, "percent": [0, 50]}}}, "belongs to a file"),
        ({"task": "sblimp", "pairs_per_phenomenon": 2, "splits": {"test": {"pairs": 4}}}, "belongs to a file"),
        ({"splits": {"test": {"pairs": 4}}}, "task 'text_pairs': there are sblimp, swuggy; for pairs of a file"),
        ({"task": "tstorycloze", "text": {"source": "table", "path": "a"}, "splits": {"test": {}}}, "kinds of pairs"),
        ({"text": {"source": "table", "path": "a"}, "splits": {"dev": {}, "test": {}}}, "share pairs"),
        ({"text": {"source": "rumour", "path": "a"}, "splits": {"test": {}}}, "blimp, hellaswag, table"),
        ({"text": {"source": "table", "path": "a"}, "splits": {"test": {"percent": [50, 50]}}}, "is empty"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MinimalPairCorpus.model_validate({"kind": "minimal_pairs", **values})


@pytest.mark.parametrize("source", PAIR_SOURCES.names())
def test_a_kind_tells_of_itself(source: str) -> None:
    settings = PAIR_SOURCES.settings(source)
    assert settings.__doc__
    assert all(field.description for field in settings.model_fields.values())
    lost = settings(source=source, path="nowhere/x")
    problems = list(lost.file_problems("corpora.c.text", Sources({}, Path())))
    assert problems == ["corpora.c.text.path: nowhere/x: no such file"]


# From text to items


def test_from_the_example_to_items(tmp_path: Path) -> None:
    """The recipe's own file, spoken, with a byte of sound as a unit; a prompt is spoken once and is on both sides."""
    corpus = load_yaml(ROOT / "recipes/own_benchmark.yaml")["corpora"]["own_pairs"]
    records = written(tmp_path, ROOT / "examples/pairs.tsv", corpus["text"]["source"])
    assert Counter(record["phenomenon"] for record in records) == {"pronoun": 4, "verb": 4, "ending": 4}
    chosen = [records[0], records[-1], records[-2], {"id": "test-x", "split": "test", "left_out": "same_texts"}]
    files.write_jsonl(tmp_path / "r.jsonl", chosen)
    flags = f"--stories {tmp_path}/r.jsonl --output {tmp_path}/a.parquet --manifest {tmp_path}/a.json"
    settings = {"speech": {"voices": {"plain": 1.0, "high": 1.2}}, "corpus": "c", "split": "test"}
    synthesize_stories.main(["--settings", json.dumps(settings), *flags.split()])
    rows = {row["id"]: row for row in pq.read_table(tmp_path / "a.parquet").to_pylist()}
    assert len(rows) == 2 + 3 + 3
    units = [
        {"id": name, "speaker": row["speaker"], "units": list(row["audio"][-20:])}
        for name, row in rows.items()
        if name != f"{records[-2]['id']}.prompt"
    ]
    schema = pa.schema([("id", pa.string()), ("speaker", pa.string()), ("units", pa.list_(pa.uint16()))])
    pq.write_table(pa.Table.from_pylist(units, schema=schema), tmp_path / "u.parquet")
    benchmark = TextPairs(kind="text_pairs", corpus="c", encoder="bytes")
    flags = f"--records {tmp_path}/r.jsonl --units {tmp_path}/u.parquet"
    flags += f" --output {tmp_path}/i.parquet --manifest {tmp_path}/i.json"
    settings_of_items = BuildBenchmark(name="own", benchmark=benchmark, split="test")
    build_benchmark.main(["--settings", settings_of_items.model_dump_json(), *flags.split()])
    items = {item.id: item for item in read_items(tmp_path / "i.parquet")}
    manifest = files.read_json(tmp_path / "i.json")
    assert set(items) == {records[0]["id"], records[-1]["id"]}
    assert manifest["left_out"] == {"not_spoken": 1, "same_texts": 1}
    assert manifest["records"] == 4
    told = items[records[-1]["id"]]
    sounds = {side: list(rows[f"{told.id}.{side}"]["audio"][-20:]) for side in ("prompt", "good", "bad")}
    for side in ("good", "bad"):
        seam = sounds["prompt"][-1] == sounds[side][0]
        assert getattr(told, side).tolist() == sounds["prompt"] + sounds[side][seam:]
