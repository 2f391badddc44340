"""From the minimal pairs of a file to the records of one split: which are used, and why others are left out."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from slamflow.errors import InputError
from slamflow.sharding import in_share, parse_shard, shard_of
from slamflow.text.stories import content_hash

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteMinimalPairs

Record = dict[str, str | None]


class TextPair(NamedTuple):
    """A right and a wrong text."""

    good: str
    bad: str
    cluster: str
    """What pairs about the same thing share; an interval takes them together."""
    phenomenon: str | None = None
    """What kind of pair it is; accuracy is given for each."""
    prompt: str = ""
    """What both texts begin with, if it is spoken apart and once; `good` and `bad` are what follows."""


def records(pairs: Iterable[TextPair], job: WriteMinimalPairs) -> list[Record]:
    """The records of one shard.

    pairs: those of the whole file, in its order. A record has `id`, `split`, `phenomenon`, `cluster`, `good` and `bad`,
    and `prompt` where `good` and `bad` are endings of one. The record of a pair that cannot be used has only `id`,
    `split` and `left_out`, the reason. A hash of its cluster says into which `percent` of the file a pair falls, so all
    pairs of a cluster are in one split.
    """
    index, count = parse_shard(job.shard)
    found: list[Record] = []
    seen: set[str] = set()
    of_phenomenon: Counter[str | None] = Counter()
    used = 0
    for raw in pairs:
        if used == job.pairs:
            break
        good, bad, prompt = (" ".join(text.split()) for text in (raw.good, raw.bad, raw.prompt))
        pair = raw._replace(good=good, bad=bad, prompt=prompt)
        if not in_share(pair.cluster, *job.percent):
            continue
        if job.pairs_per_phenomenon is not None and of_phenomenon[pair.phenomenon] >= job.pairs_per_phenomenon:
            continue
        key = content_hash("\n".join((pair.cluster, pair.prompt, pair.good, pair.bad)))
        item = {"id": f"{job.split}-{key}", "split": job.split}
        reason = "said_before" if key in seen else why_unusable(pair)
        if reason is None:
            used += 1
            of_phenomenon[pair.phenomenon] += 1
            told = record(pair)
        else:
            told = {"left_out": reason}
            if key in seen:
                item["id"] += f"-{len(seen)}-{len(found)}"
        seen.add(key)
        found.append({**item, **told})
    return [told for told in found if shard_of(str(told["id"]), count) == index]


def record(pair: TextPair) -> Record:
    """What the record of a pair says besides its id and split."""
    prompt: Record = {"prompt": pair.prompt} if pair.prompt else {}
    told: Record = {"phenomenon": pair.phenomenon, "cluster": pair.cluster, "good": pair.good, "bad": pair.bad}
    return {**told, **prompt}


def why_unusable(pair: TextPair) -> str | None:
    """Why a pair cannot be used, or None if it can."""
    if not all(any(map(str.isalnum, side)) for side in (pair.good, pair.bad)):
        return "empty_text"
    return "same_texts" if pair.good == pair.bad else None


# Files

OPENERS: dict[str, Callable[..., BinaryIO]] = {
    ".gz": cast(Callable[..., BinaryIO], gzip.open),
    ".bz2": cast(Callable[..., BinaryIO], bz2.open),
}

DAMAGED = (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error)


def text_of(path: Path) -> io.TextIOWrapper:
    """A text file, which may be compressed (.gz, .bz2), in UTF-8 and with line ends as they are."""
    opened = OPENERS.get(path.suffix, open)
    return io.TextIOWrapper(opened(path, "rb"), encoding="utf-8-sig", newline="")


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where each line stands, for messages, and the JSON object in it.

    path: JSON lines, which may be compressed (.gz, .bz2), or a .zip of such files, taken in the order of their names.
    Raises InputError for what is none, naming the file and the line.
    """
    try:
        if path.suffix != ".zip":
            with text_of(path) as lines:
                yield from _objects(str(path), lines)
            return
        with zipfile.ZipFile(path) as archive:
            names = [name for name in sorted(archive.namelist()) if _is_json_lines(name)]
            if not names:
                raise InputError(f"{path}: no .jsonl in it")
            for name in names:
                with archive.open(name) as member:
                    yield from _objects(f"{path}, {name}", io.TextIOWrapper(member, encoding="utf-8-sig"))
    except DAMAGED as error:
        raise InputError(f"{path}: truncated or damaged ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 ({error})") from None


def _is_json_lines(name: str) -> bool:
    parts = name.split("/")
    return name.endswith(".jsonl") and not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _objects(name: str, lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            found = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: not valid JSON ({error.msg})") from None
        if not isinstance(found, dict):
            raise InputError(f"{where}: not a JSON object")
        yield where, found


def need_text(where: str, line: dict[str, Any], key: str) -> str:
    """The text of a key. Raises InputError if it is missing or no text."""
    if not isinstance(line.get(key), str):
        raise InputError(f"{where}: needs a text {key!r}; it has {', '.join(line)}")
    return str(line[key])
