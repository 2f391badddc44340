"""Every corpus: what a kind must have, and what a recipe may say of it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import soundfile
from pydantic import TypeAdapter, ValidationError

import collect_pairs
from slamflow import files
from slamflow.benchmarks import BENCHMARKS, tstorycloze
from slamflow.code_digest import code_digest
from slamflow.corpora import CORPORA, CorpusSettings, listing
from slamflow.corpora.job_settings import CollectPairs
from slamflow.corpora.pair_files import SpokenPair
from slamflow.corpora.published_files import PublishedFiles
from slamflow.jobs.sources import Sources
from slamflow.recipe.base import canonical

WORK = {"collect_audio": "recordings", "collect_pairs": "pairs"}
"""The function that a kind has whose shards a rule makes."""
SCRIPTS = Path(collect_pairs.__file__).parent
CORPUS: TypeAdapter[Any] = TypeAdapter(Annotated[CorpusSettings, CORPORA])
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def example(kind: str, folder: Path) -> dict[str, Any]:
    """The least that a recipe says of a corpus, with the files that it names. A new kind needs an example here."""
    path = str(folder / "speech")
    match kind:
        case "stories":
            return {"splits": {"test": {"stories": 10, "shards": 2}}}
        case "minimal_pairs":
            (folder / "speech/pairs.csv").write_text("good,bad\nA cat sat.,A cat sit.\n")
            text = {"source": "table", "path": f"{path}/pairs.csv"}
            return {"task": "sblimp", "text": text, "splits": {"test": {"shards": 2}}}
        case "spoken_pairs":
            return {"task": "sblimp", "path": path, "splits": {"test": {"shards": 2}}}
        case "spoken_preferences":
            split = {"preference": {"shards": 2, "hours": 2.0}}
            return {"repo": "a/b", "revision": COMMIT, "files": ["*"], "splits": split}
        case "librispeech" | "folder":
            return {"path": path, "splits": {"test": {"shards": 2, "hours": 2.0}}}
        case "archive":
            (folder / "a.tar").touch()
            return {"splits": {"test": {"archives": [str(folder / "a.tar")], "shards": 2, "hours": 2.0}}}
        case "hub":
            return {"repo": "a/b", "revision": COMMIT, "splits": {"test": {"files": ["*"], "shards": 2, "hours": 2.0}}}
    raise AssertionError(f"no example of a corpus of kind {kind}")


@pytest.fixture(autouse=True)
def _speech(tmp_path: Path) -> None:
    listing.scan.cache_clear()
    listing._shard_digests.cache_clear()
    (tmp_path / "speech").mkdir()
    for name in ("one_correct", "one_incorrect"):
        soundfile.write(tmp_path / f"speech/{name}.wav", np.zeros(8000, np.int16), 16_000)


@pytest.fixture(params=CORPORA.names())
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> CorpusSettings:
    settings: CorpusSettings = CORPUS.validate_python({"kind": request.param, **example(request.param, tmp_path)})
    return settings


SOURCES = Sources({}, Path())


def split_of(corpus: CorpusSettings) -> str:
    """The split that the example has."""
    return str(next(iter(corpus.splits)))


def test_a_kind_tells_of_itself(corpus: CorpusSettings) -> None:
    module = CORPORA.module(corpus.kind)
    assert module.__doc__
    assert type(corpus).__doc__
    assert type(corpus).model_fields["kind"].description
    assert corpus.holds in ("stories", "pairs", "recordings", "preferences")
    assert (corpus.text_source is None) == (corpus.holds != "stories")
    assert (corpus.benchmark is None) == (corpus.holds != "pairs")
    assert bool(corpus.voices()) == (corpus.engine is not None)
    if corpus.made_by in WORK:
        names = list(inspect.signature(getattr(module, WORK[corpus.made_by])).parameters)
        assert (names[:2], names[-1]) == (["corpus", "job"], "downloads")
    else:
        assert corpus.engine is not None


def test_a_kind_answers_for_its_files_and_its_cost(corpus: CorpusSettings) -> None:
    assert list(corpus.file_problems("here", SOURCES)) == []
    assert all(Path(file).is_file() for file in corpus.source_files(split_of(corpus), SOURCES))
    folder = corpus.source_folder(SOURCES)
    assert folder is None or Path(folder).is_dir()
    assert corpus.unpinned is None
    assert not corpus.is_streamed(split_of(corpus)) or corpus.is_downloaded
    hours = corpus.hours(split_of(corpus))
    assert hours is None or 0 < hours <= 2
    assert corpus.bytes(split_of(corpus)) is None


def test_a_job_says_its_shard_and_nothing_of_places_or_other_splits(corpus: CorpusSettings, tmp_path: Path) -> None:
    first, second = (corpus.job("mine", split_of(corpus), shard) for shard in ("0000-of-0002", "0001-of-0002"))
    assert canonical(first) != canonical(second)
    assert str(tmp_path) not in canonical(first)
    assert type(first).model_validate_json(canonical(first)) == first
    if split_of(corpus) != "test":  # it has no other split
        return
    other = json.loads(canonical(corpus))
    other["splits"] = {"dev": {**other["splits"]["test"], "folders": ["elsewhere"]}, **other["splits"]}
    if "folders" not in other["splits"]["test"]:
        del other["splits"]["dev"]["folders"]
    values = {key: value for key, value in other.items() if key != "splits"}
    values["splits"] = {name: {**split, "shards": 2} for name, split in other["splits"].items()}
    for name, low in (("dev", 0), ("test", 50)):
        if "percent" in values["splits"][name]:
            values["splits"][name]["percent"] = [low, low + 50]
    two = CORPUS.validate_python(values)
    one = CORPUS.validate_python({**values, "splits": {"test": values["splits"]["test"]}})
    assert canonical(two.job("mine", "test", "0000-of-0002")) == canonical(one.job("mine", "test", "0000-of-0002"))


def test_what_only_the_estimate_reads_is_in_no_job(corpus: CorpusSettings) -> None:
    values = json.loads(canonical(corpus))
    if "hours" not in values["splits"][split_of(corpus)]:
        return
    values["splits"][split_of(corpus)]["hours"] = 1.5
    longer = CORPUS.validate_python(values)
    assert longer.hours(split_of(corpus)) == 1.5
    assert longer.job("mine", split_of(corpus), "0000-of-0002") == corpus.job("mine", split_of(corpus), "0000-of-0002")


def test_what_a_shard_follows_from_is_told_without_the_job(corpus: CorpusSettings) -> None:
    items = [corpus.items("mine", split_of(corpus), shard, SOURCES) for shard in ("0000-of-0002", "0001-of-0002")]
    assert items == [
        corpus.items("mine", split_of(corpus), shard, SOURCES) for shard in ("0000-of-0002", "0001-of-0002")
    ]
    assert all(isinstance(item, str) for item in items)


def test_the_code_of_a_job_is_that_of_its_own_kinds(corpus: CorpusSettings) -> None:
    digest = code_digest(SCRIPTS / f"{corpus.made_by}.py", corpus.code())
    for module in corpus.code():
        assert module.replace(".", "/") in digest
    others = {CORPORA.module_name(kind).replace(".", "/") for kind in CORPORA.names() if kind != corpus.kind}
    assert not {part.partition(":")[0] for part in digest.split()} & {f"{other}.py" for other in others}


def test_folders_and_archives_that_are_not_there_are_named(corpus: CorpusSettings, tmp_path: Path) -> None:
    if not (corpus.source_files(split_of(corpus), SOURCES) or corpus.source_folder(SOURCES)):
        return
    (tmp_path / "speech").rename(tmp_path / "moved")
    (tmp_path / "a.tar").unlink(missing_ok=True)
    problems = list(corpus.file_problems("corpora.mine", SOURCES))
    assert len(problems) == 1
    assert problems[0].startswith("corpora.mine.")
    assert "no such" in problems[0]


def test_a_dataset_without_a_fixed_commit_says_so() -> None:
    hub = {"kind": "hub", "repo": "a/b", "revision": "unpinned", "splits": {"test": {"files": ["*"]}}}
    pairs = {**hub, "kind": "spoken_pairs", "task": "sblimp", "files": ["*"], "splits": {"test": {}}}
    assert [CORPUS.validate_python(values).unpinned for values in (hub, pairs)] == ["a/b", "a/b"]
    assert all(CORPUS.validate_python(values).is_downloaded for values in (hub, pairs))


def test_downloaded_archives_are_streamed() -> None:
    values = {"kind": "archive", "splits": {"test": {"archives": ["asset:a/x.tar", "asset:a/y.tar"]}}}
    assert CORPUS.validate_python(values).is_streamed("test")
    values["splits"]["test"]["archives"].append("z.tar")
    assert not CORPUS.validate_python(values).is_streamed("test")


@pytest.mark.parametrize("kind", ["minimal_pairs", "spoken_pairs"])
def test_a_task_must_be_known(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="task 'spelling'"):
        CORPUS.validate_python({"kind": kind, **example(kind, tmp_path), "task": "spelling"})


def test_a_benchmark_may_have_a_folder_layout_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"kind": "spoken_pairs", "task": "tstorycloze", "path": str(tmp_path / "speech"), "splits": {"test": {}}}
    plain = CORPUS.validate_python(values)
    assert plain.code() == ["slamflow.corpora.spoken_pairs"]

    def own_layout(published: PublishedFiles) -> Iterator[SpokenPair]:
        (one, first), (other, second) = published.recordings.items()
        yield SpokenPair("p1", None, "noise", ("", ""), (one, other), (first, second))

    monkeypatch.setattr(tstorycloze, "folder_pairs", own_layout, raising=False)
    assert plain.code() == ["slamflow.corpora.spoken_pairs", BENCHMARKS.module_name("tstorycloze")]
    job: CollectPairs = plain.job("mine", "test", "0000-of-0001")
    names = {"output": "a.parquet", "text": "t.jsonl", "manifest": "m.json", "quarantine": "q.jsonl"}
    flags = [part for flag, name in names.items() for part in (f"--{flag}", str(tmp_path / name))]
    collect_pairs.main(["--settings", canonical(job), "--source", str(tmp_path / "speech"), *flags])
    assert files.read_jsonl(tmp_path / "t.jsonl") == [
        {"id": "p1", "good": "", "bad": "", "cluster": "p1", "phenomenon": "noise"}
    ]
    assert files.read_json(tmp_path / "m.json")["utterances"] == 2
