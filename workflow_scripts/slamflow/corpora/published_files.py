"""The files of a benchmark that was published as speech: in a folder, or inside archives, which are not unpacked."""

from __future__ import annotations

import contextlib
import functools
import posixpath
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from slamflow.audio import AudioError
from slamflow.corpora.archives import DAMAGED, UNPACKERS, beginning, check_end, damaged, spooled, tidy
from slamflow.corpora.folders import open_file
from slamflow.corpora.listing import SHOWN, is_audio, scan
from slamflow.errors import InputError

GOLD = "gold.csv"
TEXT_SUFFIXES = (".csv", ".txt")


@dataclass(frozen=True)
class PublishedFiles:
    """Recordings by name, and the small texts beside them."""

    place: str
    """The folder or the archives, for messages."""
    recordings: Mapping[str, Callable[[], BinaryIO]]
    """What opens a recording, by its path below the folder, sorted. It raises AudioError if that cannot be done."""
    texts: Mapping[str, Callable[[], BinaryIO]]
    """The same for files that end in TEXT_SUFFIXES."""

    @functools.cached_property
    def by_stem(self) -> dict[str, str]:
        """The names of the recordings by name without suffix."""
        return {posixpath.splitext(name)[0]: name for name in self.recordings}

    def lists(self) -> list[str]:
        """The names of its gold.csv files."""
        return [name for name in self.texts if posixpath.basename(name) == GOLD]

    def read(self, name: str) -> bytes:
        """The bytes of a text."""
        with self.texts[name]() as file:
            return file.read()


def folder_files(root: Path) -> PublishedFiles:
    """The files below a folder. Raises InputError if it is missing or holds no audio."""
    listed = scan(str(root), "folder", ())
    texts = {
        path.relative_to(root).as_posix(): functools.partial(_open_path, path)
        for suffix in TEXT_SUFFIXES
        for path in sorted(root.rglob(f"*{suffix}"))
        if path.is_file()
    }
    return PublishedFiles(str(root), {item.id: functools.partial(open_file, item) for item in listed}, texts)


@contextlib.contextmanager
def archive_files(archives: list[Path], folder: str, downloads: Path) -> Iterator[PublishedFiles]:
    """The files below `folder` inside zip or tar archives, as long as the context lasts.

    A compressed tar is unpacked to a plain one in the folder `downloads` meanwhile. Raises InputError for an archive
    that is missing or damaged, for two with the same recording or list, and if there is no audio below `folder`.
    """
    prefix = folder.strip("/")
    prefix = f"{prefix}/" if prefix else ""
    recordings: dict[str, Callable[[], BinaryIO]] = {}
    texts: dict[str, Callable[[], BinaryIO]] = {}
    archive_of: dict[str, Path] = {}
    folders: set[str] = set()
    with contextlib.ExitStack() as stack:
        for path in archives:
            for name, open_member in _members(path, stack, downloads):
                suffix = posixpath.splitext(name)[1].lower()
                if is_audio(suffix):
                    folders.add(posixpath.dirname(name))
                if not name.startswith(prefix):
                    continue
                # Each may have a README; a recording or a list would take the place of another.
                is_unique = is_audio(suffix) or posixpath.basename(name) == GOLD
                if is_unique and archive_of.setdefault(name, path) != path:
                    raise InputError(f"{archive_of[name]} and {path} both have {name}; give each a corpus of its own")
                if is_audio(suffix):
                    recordings[name.removeprefix(prefix)] = open_member
                elif suffix in TEXT_SUFFIXES:
                    texts[name.removeprefix(prefix)] = open_member
        place = ", ".join(map(str, archives)) + (f" in {prefix}" if prefix else "")
        if not recordings:
            there = ", ".join(sorted(folders)[:SHOWN]) or "no folder"
            raise InputError(f"{place}: no audio; it is in {there} (the key `folder`)")
        yield PublishedFiles(place, dict(sorted(recordings.items())), dict(sorted(texts.items())))


def _members(path: Path, stack: contextlib.ExitStack, downloads: Path) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    """Yield the files of an archive and what opens them, in any order."""
    if not path.is_file():
        raise InputError(f"{path}: no such archive")
    try:
        if zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            whole = [info for info in archive.infolist() if not info.is_dir()]
            found = [(info.filename, functools.partial(_open, functools.partial(archive.open, info))) for info in whole]
        else:
            plain = _plain_tar(path, stack, downloads)
            tar = stack.enter_context(tarfile.open(plain, "r:"))  # noqa: SIM115, the stack closes it
            infos = [info for info in tar if info.isfile()]
            with open(plain, "rb") as file:
                check_end(file, tar)
            found = [(info.name, functools.partial(_open, functools.partial(tar.extractfile, info))) for info in infos]
    except DAMAGED as error:
        raise InputError(damaged(path, error)) from None
    for name, opened in found:
        tidied = tidy(name)
        if tidied is not None:
            yield tidied, opened


def _plain_tar(path: Path, stack: contextlib.ExitStack, downloads: Path) -> Path:
    """The archive itself, or a plain copy of a compressed one, which lets its members be read in any order."""
    unpack = UNPACKERS.get(beginning(path, 2))
    if unpack is None:
        return path
    downloads.mkdir(parents=True, exist_ok=True)
    copy = stack.enter_context(tempfile.NamedTemporaryFile(dir=downloads, suffix=".tar"))  # noqa: SIM115, as above
    with unpack(path, "rb") as stream:
        shutil.copyfileobj(stream, copy, 1 << 20)
    copy.flush()
    return Path(copy.name)


def _open_path(path: Path) -> BinaryIO:
    return open(path, "rb")


def _open(opened: Callable[[], IO[bytes] | None]) -> BinaryIO:
    """A seekable copy of a member. Raises AudioError if it is damaged or encrypted."""
    try:
        stream = opened()
        if stream is None:
            raise AudioError("a link inside the archive, not a file")
        with stream:
            return spooled(cast(BinaryIO, stream))
    except (*DAMAGED, NotImplementedError, RuntimeError) as error:
        raise AudioError(f"damaged in the archive: {error}") from None
