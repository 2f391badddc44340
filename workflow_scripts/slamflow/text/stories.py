"""What the text sources share: which stories a shard holds, and how a text is taken for a story.

Light enough to be called while Snakemake parses: the digest of a shard's stories is what its job depends on, so that
one story more in a file concerns one shard.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from slamflow.errors import InputError
from slamflow.sharding import parse_shard, shard_of

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteStories

log = logging.getLogger("slamflow")

Record = dict[str, str | None]
NOT_TOLD: Record = dict.fromkeys(("shape", "hero", "object", "event", "wrong_detail"))
"""What stories that are read do not tell."""
SHARES = (("train", 88), ("validation", 2), ("dev", 3), ("test", 3), ("preference", 4))
"""Percent of the stories that are read. The split `text` is that of `train`."""

# A full stop after one of these does not end a sentence.
ABBREVIATIONS = frozenset(("mr", "mrs", "ms", "dr", "st", "prof", "vs", "etc", "e.g", "i.e"))
# `"Stop!" Tom said.` is one sentence.
SPEECH_VERBS = "said|says|asked|cried|shouted|yelled|replied|answered|called|whispered|exclaimed|thought|laughed|added"
BOUNDARY = re.compile(r"""(?P<mark>[.!?…]+)(?P<quote>["”'’)\]]*)\s+(?P<next>["“'‘(\[]*[A-Z0-9])""")
SHORTEST_ENDING = 3
"""Words. "The end." is not an ending of its own."""
SAID_BY = re.compile(rf"(?:[A-Z][\w'’-]* |(?:[Tt]he|[Hh]is|[Hh]er) \w+ ){{1,2}}(?:{SPEECH_VERBS})\b")


def in_shard(item_id: str, job: WriteStories) -> bool:
    """Whether the story `item_id` belongs to the shard of a job."""
    index, count = parse_shard(job.shard)
    return shard_of(item_id, count) == index


def shard_digests(item_ids: Iterable[str], count: int) -> list[str]:
    """Hex digest of the stories in each of `count` shards: of their ids, in their order."""
    shards: list[list[str]] = [[] for _ in range(count)]
    for item in item_ids:
        shards[shard_of(item, count)].append(item)
    return [hashlib.sha256("\n".join(items).encode()).hexdigest() for items in shards]


def one_file(source: str, paths: list[Path]) -> Path:
    """The only file of a text source. Raises InputError unless there is exactly one."""
    if len(paths) != 1:
        raise InputError(f"--source: text source {source} is one file, {len(paths)} were given; give --source FILE")
    return paths[0]


def usable(
    pieces: Iterable[bytes], seed: int, split: str, stories: int | None, set_aside: Counter[str]
) -> Iterator[tuple[str, str]]:
    """Yield content hash and text of the first `stories` usable stories that fall into a split; None takes all.

    `pieces` are texts in UTF-8. Reasons for what is left out are counted in `set_aside`.
    """
    wanted = "train" if split == "text" else split
    seen: set[str] = set()
    count = 0
    for piece in pieces:
        if count == stories:
            break
        if not piece.strip():
            continue
        try:
            text = " ".join(piece.decode("utf-8").split())
        except UnicodeDecodeError:
            set_aside["not UTF-8 text"] += 1
            continue
        key = content_hash(text)
        if story_split(seed, key) != wanted:
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


def record(job: WriteStories, key: str, text: str) -> Record:
    """The record of a text that ends with a sentence of its own."""
    prompt, ending = split_ending(text)
    told = {"id": f"{job.split}-{key}", "split": job.split, "text": text, "prompt": prompt, "ending": ending}
    return {**NOT_TOLD, **told}


def warn(source: object, job: WriteStories, set_aside: Counter[str], found: int) -> None:
    """Log what was set aside, and if there is less than was asked for."""
    for reason, count in sorted(set_aside.items()):
        log.warning("%s, split %s: %d set aside: %s", source, job.split, count, reason)
    if job.stories is not None and found < job.stories:
        log.warning("%s, split %s: %d stories asked for, %d found", source, job.split, job.stories, found)


def content_hash(text: str) -> str:
    """16 hex digits that say what a text is."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def story_split(seed: int, key: str) -> str:
    """The split of the story with content hash `key`."""
    value = int.from_bytes(hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest(), "big") % 100
    for split, share in SHARES:
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
