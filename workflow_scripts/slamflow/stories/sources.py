"""Which stories a shard holds, and how a file of stories is read.

Light enough to be called while Snakemake parses: the digest of a shard's items is what its job depends on, so that
one story more in a file concerns one shard.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from slamflow.errors import InputError
from slamflow.settings.corpora import WriteStories
from slamflow.sharding import parse_shard, shard_names, shard_of, stable_hash

SEPARATORS = {
    "<|endoftext|>": re.compile(rb"<\|endoftext\|>"),
    "blank lines": re.compile(rb"\r?\n[ \t]*\r?\n"),
    "line ends": re.compile(rb"\r?\n"),
}
"""What may stand between stories; a file uses the first of these that occurs in it."""
FILE_SHARES = (("train", 88), ("validation", 2), ("dev", 3), ("test", 3), ("preference", 4))
"""Per cent of a file's stories. The split `text` is that of `train`."""

# A full stop after one of these does not end a sentence.
ABBREVIATIONS = frozenset(("mr", "mrs", "ms", "dr", "st", "prof", "vs", "etc", "e.g", "i.e"))
# `"Stop!" Tom said.` is one sentence.
SPEECH_VERBS = "said|says|asked|cried|shouted|yelled|replied|answered|called|whispered|exclaimed|thought|laughed|added"
BOUNDARY = re.compile(r"""(?P<mark>[.!?…]+)(?P<quote>["”'’)\]]*)\s+(?P<next>["“'‘(\[]*[A-Z0-9])""")
SHORTEST_ENDING = 3
"""Words. "The end." is not an ending of its own."""
SAID_BY = re.compile(rf"(?:[A-Z][\w'’-]* |(?:[Tt]he|[Hh]is|[Hh]er) \w+ ){{1,2}}(?:{SPEECH_VERBS})\b")


@dataclass
class FileStories:
    """The usable stories of a file, in its order, and how many were set aside for what reason."""

    stories: dict[str, str] = field(default_factory=dict)
    """Text by content hash: 16 hex digits of the text with its white space collapsed."""
    set_aside: Counter[str] = field(default_factory=Counter)
    separator: str = ""
    """The key of SEPARATORS that was used."""


def item_ids(settings: WriteStories, source: Path | None) -> list[str]:
    """Ids of the stories in this shard, in order.

    `source` is the file of a corpus with text source `file`, None for a grammar. Raises InputError for a file that
    cannot be read, or if a grammar is not told how many stories to write.
    """
    return [item for item in split_ids(settings, source) if in_shard(item, settings)]


def split_ids(settings: WriteStories, source: Path | None) -> Iterator[str]:
    """Ids of the stories in all shards of the split; see `item_ids`."""
    if settings.text.source == "grammar":
        if settings.stories is None:
            raise InputError(f"corpora.{settings.corpus}.splits.{settings.split}.stories: a grammar needs a number")
        return (f"{settings.split}-{index:06d}" for index in range(settings.stories))
    return (f"{settings.split}-{key}" for key in read_file(settings, source).stories)


def items_digest(settings: WriteStories, source: Path | None) -> str:
    """Hex digest of the stories in this shard: their ids, which for a file are hashes of their content.

    The file is read once for all shards of a split, and again when it has changed.
    """
    index, count = parse_shard(settings.shard)
    found = source.stat() if source and source.is_file() else None
    version = (found.st_mtime_ns, found.st_size) if found else None
    return _shard_digests(settings.model_dump_json(exclude={"shard"}), count, source, version)[index]


@functools.cache
def _shard_digests(split: str, count: int, source: Path | None, _version: tuple[int, int] | None) -> list[str]:
    """The `items_digest` of each shard of a split, whose settings are given as JSON without the shard."""
    settings = WriteStories.model_validate({**json.loads(split), "shard": shard_names(count)[0]})
    shards: list[list[str]] = [[] for _ in range(count)]
    for item in split_ids(settings, source):
        shards[shard_of(item, count)].append(item)
    return [hashlib.sha256("\n".join(items).encode()).hexdigest() for items in shards]


def in_shard(item_id: str, settings: WriteStories) -> bool:
    """Whether the story `item_id` belongs to the shard of these settings."""
    index, count = parse_shard(settings.shard)
    return shard_of(item_id, count) == index


def read_file(settings: WriteStories, source: Path | None) -> FileStories:
    """The first `settings.stories` usable stories of the file that fall into this split, whatever their shard.

    Stories are separated by `<|endoftext|>`; in a file without that by blank lines, and without those by line ends.
    A story's split follows from a hash of the seed and its text.
    """
    if source is None:
        raise InputError(f"corpora.{settings.corpus}.text: source file needs a path; give --source FILE")
    try:
        data = source.read_bytes()
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from None
    separator = next((name for name, pattern in SEPARATORS.items() if pattern.search(data)), "line ends")
    result = FileStories(separator=separator)
    result.stories = dict(usable(SEPARATORS[separator].split(data), settings, result.set_aside))
    return result


def usable(pieces: Iterable[bytes], settings: WriteStories, set_aside: Counter[str]) -> Iterator[tuple[str, str]]:
    """Yield content hash and text of the first `settings.stories` usable stories that fall into this split.

    `pieces` are texts in UTF-8. Reasons for what is left out are counted in `set_aside`.
    """
    wanted = "train" if settings.split == "text" else settings.split
    seen: set[str] = set()
    count = 0
    for piece in pieces:
        if count == settings.stories:
            break
        if not piece.strip():
            continue
        try:
            text = " ".join(piece.decode("utf-8").split())
        except UnicodeDecodeError:
            set_aside["not UTF-8 text"] += 1
            continue
        key = _key(text)
        if file_split(settings.text.seed, key) != wanted:
            continue
        if key in seen:
            set_aside["said before"] += 1
            continue
        seen.add(key)
        reason = why_unusable(text)
        if reason:
            set_aside[reason] += 1
        else:
            count += 1
            yield key, text


@dataclass(frozen=True)
class SwagRow:
    """What is taken of a gold row of SWAG."""

    key: str
    """Hash of its sentences."""
    prompt: str
    ending: str
    wrong: str


def swag_rows(path: Path, seed: int, set_aside: Counter[str]) -> Iterator[SwagRow]:
    """Yield the gold rows of SWAG's CSV (Zellers et al. 2018) as preference pairs, in the file's order.

    As SpokenSwag has them (Maimon et al. 2025): the prompt is the first sentence; an ending is the beginning of the
    second, which all four endings share, and its end. The wrong one is drawn from the three by the seed and the row's
    sentences. Rows whose right ending was generated are not gold. Raises InputError if the file is not SWAG's.
    """
    needed = ("sent1", "sent2", "gold-source", "label", *(f"ending{number}" for number in range(4)))
    try:
        with open(path, encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if missing := [name for name in needed if name not in (rows.fieldnames or [])]:
                raise InputError(f"{path}: no column {missing[0]}; give SWAG's train.csv, whose rows have a label")
            seen: set[str] = set()
            for number, row in enumerate(rows, start=2):
                if not row["gold-source"].startswith("gold"):
                    set_aside["its right ending was generated"] += 1
                    continue
                if row["label"] not in ("0", "1", "2", "3"):
                    raise InputError(f"{path}, line {number}: label {row['label']!r} is not 0, 1, 2 or 3")
                beginning = " ".join(row["sent2"].split())
                endings = [f"{beginning} {' '.join(row[f'ending{which}'].split())}".strip() for which in range(4)]
                prompt = " ".join(row["sent1"].split())
                key = _key("\n".join([prompt, *endings]))
                right = int(row["label"])
                wrong = [ending for which, ending in enumerate(endings) if which != right]
                drawn = wrong[stable_hash(f"{seed} {key}") % 3]
                if not prompt or not all(map(str.strip, (endings[right], drawn))):
                    set_aside["a sentence is empty"] += 1
                elif key in seen:
                    set_aside["said before"] += 1
                else:
                    seen.add(key)
                    yield SwagRow(key, prompt, endings[right], drawn)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from None


def _key(text: str) -> str:
    """Content hash of a text: 16 hex digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def file_split(seed: int, key: str) -> str:
    """The split of the story with content hash `key`."""
    value = int.from_bytes(hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest(), "big") % 100
    for split, share in FILE_SHARES:
        if value < share:
            return split
        value -= share
    raise AssertionError("the shares make 100")


def why_unusable(text: str) -> str | None:
    """Why a text with collapsed white space is no story, or None if it is one."""
    if not text.isprintable() or 2 * sum(map(str.isalpha, text[:200])) < len(text[:200]):
        return "not text"
    first = next(sentence_ends(text), None)
    if first is None or len(text[first[1] :].split()) < SHORTEST_ENDING:
        return "too short to split into a prompt and an ending"
    return None


def sentence_ends(text: str) -> Iterator[tuple[int, int]]:
    """Yield where a sentence of `text` ends and the next one starts, as character offsets.

    A sentence ends with a full stop, question or exclamation mark before a capital or a digit; not inside double
    quotes, not after a title or an initial, not between a quotation and who said it.
    """
    quotes_pair = text.count('"') % 2 == 0 and text.count("“") == text.count("”")
    depth = position = 0
    for match in BOUNDARY.finditer(text):
        end, start = match.end("quote"), match.start("next")
        if quotes_pair:
            depth += text.count('"', position, end) + text.count("“", position, end) + text.count("”", position, end)
            position = end
            if depth % 2:
                continue
        if match["mark"] == ".":
            word = text[text.rfind(" ", 0, match.start()) + 1 : match.start()].lstrip("\"“'‘([")
            if word.lower() in ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I"):
                continue
        if match["quote"] and SAID_BY.match(text, start):
            continue
        yield end, start


def split_ending(text: str) -> tuple[str, str]:
    """The prompt and the ending of a story: its last sentence of three words or more, with what follows it.

    Raises ValueError for a text that `why_unusable` refuses.
    """
    for end, start in reversed(list(sentence_ends(text))):
        if len(text[start:].split()) >= SHORTEST_ENDING:
            return text[:end], text[start:]
    raise ValueError(f"cannot be split into a prompt and an ending: {text[:60]!r}")
