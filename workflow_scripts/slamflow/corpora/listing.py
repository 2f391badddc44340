"""Which recordings a shard holds: names and sizes only, light enough to be asked while Snakemake parses.

The digest of a shard's recordings is what its job depends on, so that ten new files concern their own shards only.
An id is the path below the corpus folder; its hash says the split's share and the shard.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slamflow.errors import InputError
from slamflow.sharding import in_share, parse_shard, shard_of

AUDIO_SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".sph"))
UNREADABLE_SUFFIXES = frozenset((".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr"))
"""Speech that libsndfile cannot read: listed all the same, so that it is named among what was set aside."""
TRANSCRIPTS = ".trans.txt"
SHOWN = 10
"""How many names a message gives."""


@dataclass(frozen=True)
class Listed:
    """One audio file of a folder."""

    id: str
    """Path below the corpus folder, with forward slashes; bytes that are not UTF-8 are written as \\xNN."""
    path: str
    size: int
    """Bytes."""
    text_size: int
    """Bytes of the files that may hold its text."""


def items_digest(path: str, layout: str, folders: Sequence[str], percent: Sequence[int], shard: str) -> str:
    """Hex digest of what a shard is made from: the names and sizes of its files, and the sizes of their texts.

    path, layout and folders: as `scan` takes them; percent: the share of the split, as `in_share` takes it. A folder is
    read once per process. Raises InputError for a folder that is missing or holds no audio.
    """
    index, count = parse_shard(shard)
    low, high = percent
    return _shard_digests(path, layout, tuple(folders), low, high, count)[index]


@functools.lru_cache(maxsize=64)
def _shard_digests(path: str, layout: str, folders: tuple[str, ...], low: int, high: int, count: int) -> list[str]:
    digests = [hashlib.sha256() for _ in range(count)]
    for item in scan(path, layout, folders):
        if in_share(item.id, low, high):
            digests[shard_of(item.id, count)].update(f"{item.id}\0{item.size}\0{item.text_size}\n".encode())
    return [digest.hexdigest() for digest in digests]


def shard_items(root: Path, layout: str, folders: Sequence[str], percent: Sequence[int], shard: str) -> list[Listed]:
    """The recordings of one shard, sorted by id. Parameters and errors are those of `items_digest`."""
    index, count = parse_shard(shard)
    return [
        item
        for item in scan(str(root), layout, tuple(folders))
        if in_share(item.id, *percent) and shard_of(item.id, count) == index
    ]


def one_folder(kind: str, sources: Sequence[Path]) -> Path:
    """The folder of a corpus that is one. Raises InputError unless there is exactly one source."""
    if len(sources) != 1:
        raise InputError(f"--source: a corpus of kind {kind} is one folder, {len(sources)} were given")
    return sources[0]


@functools.lru_cache(maxsize=8)
def scan(path: str, layout: str, folders: tuple[str, ...]) -> tuple[Listed, ...]:
    """All audio files below `path`, in these folders only if there are any, sorted by id; hidden ones are passed over.

    layout: `librispeech` (texts in *.trans.txt) or `folder` (texts in .txt files beside). The result is kept for the
    life of the process. Raises InputError if a folder is missing or there is no audio at all.
    """
    root = Path(path)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder that holds the recordings")
    found: dict[str, Listed] = {}
    for folder in folders or ("",):
        start = root / folder
        if not start.is_dir():
            present = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
            raise InputError(f"{start}: no such folder; {root} has {', '.join(present[:SHOWN]) or 'no folders'}")
        below = start.relative_to(root).as_posix()
        _scan_folder(str(start), "" if below == "." else f"{below}/", layout, found, set())
    if not found:
        named = f" in {', '.join(folders)}" if folders else ""
        raise InputError(f"{root}: no audio{named}; files end in {', '.join(sorted(AUDIO_SUFFIXES))}")
    return tuple(item for _, item in sorted(found.items()))


def pairs_digest(root: Path) -> str:
    """Hex digest of the names and sizes of a folder of spoken pairs, and of the lists and texts in it."""
    digest = hashlib.sha256()
    for item in scan(str(root), "folder", ()):
        digest.update(f"{item.id}\0{item.size}\0{item.text_size}\n".encode())
    for path in sorted(root.rglob("gold.csv")):
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()


def has_audio(folder: Path) -> bool:
    """Whether there is a recording anywhere below `folder`; it looks no further than the first."""
    return any(
        is_audio(Path(name).suffix.lower())
        for _, _, names in os.walk(folder, followlinks=False)
        for name in names
        if not name.startswith(".")
    )


def _scan_folder(path: str, prefix: str, layout: str, found: dict[str, Listed], around: set[tuple[int, int]]) -> None:
    """Add the audio of one folder and those below it. `around` are those that hold it: links may go in circles."""
    status = Path(path).stat()
    here = (status.st_dev, status.st_ino)
    if here in around:
        return
    audio: list[tuple[str, str, int]] = []
    text_sizes: dict[str, int] = {}
    below: list[tuple[str, str]] = []
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            stem, dot, suffix = name.rpartition(".")
            suffix = dot + suffix.lower()
            if is_audio(suffix):
                # A broken link is an item: the job sets it aside and says why.
                size = entry.stat().st_size if entry.is_file() else 0
                if not entry.is_dir():
                    audio.append((name, stem, size))
                    continue
            if suffix == ".txt" and entry.is_file():
                text_sizes[stem] = entry.stat().st_size
            elif entry.is_dir():
                below.append((name, entry.path))
    # In LibriSpeech's layout one file holds the texts of a whole folder.
    common = sum(size for stem, size in text_sizes.items() if f"{stem}.txt".endswith(TRANSCRIPTS))
    for name, stem, size in audio:
        text_size = common if layout == "librispeech" else text_sizes.get(stem, 0)
        item_id = printable(prefix + name)
        found[item_id] = Listed(item_id, f"{path}/{name}", size, text_size)
    for name, folder in below:
        _scan_folder(folder, f"{prefix}{name}/", layout, found, around | {here})


def is_audio(suffix: str) -> bool:
    """Whether a file with this suffix, in small letters, is taken for a recording."""
    return suffix in AUDIO_SUFFIXES or suffix in UNREADABLE_SUFFIXES


def printable(name: str) -> str:
    """A file name as text that can be stored: bytes that are no UTF-8 become \\xNN."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", errors="backslashreplace")


def speaker_of(item_id: str, folders_up: int) -> str:
    """The name of the folder `folders_up` levels above a file, which is its speaker's; `unknown` if there is none."""
    parts = item_id.split("/")
    return parts[-1 - folders_up] if len(parts) > folders_up else "unknown"


def is_below(item_id: str, folders: Iterable[str]) -> bool:
    """Whether a path lies in one of these folders; no folders are all."""
    folders = [folder.strip("/") for folder in folders]
    return not folders or any(folder in ("", ".") or item_id.startswith(f"{folder}/") for folder in folders)
