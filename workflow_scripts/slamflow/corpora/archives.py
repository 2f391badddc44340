"""Recordings in archives, read as streams: nothing is unpacked.

An archive is read twice: once for names and texts, which may stand before or behind the audio, and once for the
audio. A zip file or a plain tar skips what a shard does not need; a compressed tar has to be unpacked in passing.
"""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import lzma
import posixpath
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from slamflow.audio import AudioError
from slamflow.corpora.listing import TRANSCRIPTS, is_audio, is_below, speaker_of
from slamflow.corpora.recordings import Recording, Stretches, plain_text, transcripts, voice_activity
from slamflow.errors import InputError
from slamflow.sharding import in_share, parse_shard, shard_of

if TYPE_CHECKING:
    from slamflow.corpora.archive import AudioArchive

IN_MEMORY = 64 << 20
"""Bytes of one recording above which it is kept in a temporary file while it is read."""
LISTED_SUFFIX = ".flac"
"""Of recordings whose speech is listed beside them; so that of the lists too only those of one shard are read."""
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)
UNPACKERS: dict[bytes, Callable[..., BinaryIO]] = {
    b"\x1f\x8b": cast(Callable[..., BinaryIO], gzip.open),
    b"BZ": cast(Callable[..., BinaryIO], bz2.open),
    b"\xfd7": cast(Callable[..., BinaryIO], lzma.open),
}
"""What reads a compressed tar that begins so; they notice an end that comes too early, as tarfile's own do not."""

Member = tuple[str, Callable[[], BinaryIO]]
"""Name inside the archive, and what opens it; a compressed tar wants its members opened in their order."""


def archive_recordings(corpus: AudioArchive, archives: list[Path], split: str, shard: str) -> Iterator[Recording]:
    """Yield the recordings of one shard, in the order of the archives and of the members in them.

    Raises InputError for an archive that is missing, damaged or of another kind, and if no archive holds audio for
    this split.
    """
    names = [path.name for path in archives]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"two archives are called {', '.join(sorted(twice))}; ids would be the same, rename one")
    index, count = parse_shard(shard)
    texts = {path.name: Texts(corpus) for path in archives}
    activity: dict[str, Stretches | str] = {}
    any_audio = False
    for path in archives:
        for name, open_member in members(path):
            any_audio |= wanted(corpus, split, path, name)
            texts[path.name].add(name, open_member)
            stem, suffix = posixpath.splitext(f"{path.name}/{name}")
            if corpus.voice_activity and suffix == ".json" and shard_of(f"{stem}{LISTED_SUFFIX}", count) == index:
                with open_member() as file:
                    try:
                        activity[stem] = voice_activity(file.read(), name)
                    except AudioError as error:
                        activity[stem] = str(error)
    if not any_audio:
        folders = ", ".join(corpus.splits[split].folders) or "it"
        raise InputError(f"{', '.join(names)}: no audio in {folders} for split {split}")
    folders_up = 2 if corpus.layout == "librispeech" else corpus.speaker_folder
    for path in archives:
        for name, open_member in members(path):
            item_id = f"{path.name}/{name}"
            if wanted(corpus, split, path, name) and shard_of(item_id, count) == index:
                known = texts[path.name]
                yield Recording(
                    id=item_id,
                    source=item_id,
                    speaker=speaker_of(name, folders_up),
                    text=functools.partial(known.of, name),
                    open=open_member,
                    speech=functools.partial(listed_speech, activity, item_id) if corpus.voice_activity else None,
                )


def listed_speech(activity: dict[str, Stretches | str], item_id: str) -> Stretches:
    """The stretches of speech of a recording. Raises AudioError if its list is missing or wrong."""
    found = activity.get(posixpath.splitext(item_id)[0], "no .json beside it, which says where somebody speaks")
    if isinstance(found, str):
        raise AudioError(found)
    return found


def wanted(corpus: AudioArchive, split: str, path: Path, name: str) -> bool:
    """Whether a member is a recording of this split."""
    chosen = corpus.splits[split]
    suffix = posixpath.splitext(name)[1].lower()
    return is_audio(suffix) and is_below(name, chosen.folders) and in_share(f"{path.name}/{name}", *chosen.percent)


class Texts:
    """The texts inside one archive, by the recording's path without its suffix."""

    def __init__(self, corpus: AudioArchive) -> None:
        self.layout = corpus.layout
        self.texts: dict[str, str | None] = {}
        self.unreadable: dict[str, str] = {}
        """Reasons, by path without suffix (layout folder) or by folder."""

    def add(self, name: str, open_member: Callable[[], BinaryIO]) -> None:
        """Read a member if it is a text."""
        folder, base = posixpath.split(name)
        is_list = self.layout == "librispeech"
        if not base.endswith(TRANSCRIPTS if is_list else ".txt"):
            return
        with open_member() as file:
            data = file.read()
        try:
            if is_list:
                found = transcripts(data, name)
                self.texts.update((posixpath.join(folder, stem), text) for stem, text in found.items())
            else:
                self.texts[name.removesuffix(".txt")] = plain_text(data, name)
        except AudioError as error:
            self.unreadable[folder if is_list else name.removesuffix(".txt")] = str(error)

    def of(self, name: str) -> str | None:
        """The text of a recording, if there is one. Raises AudioError if it cannot be read."""
        stem = posixpath.splitext(name)[0]
        for key in (stem, posixpath.dirname(name)):
            if key in self.unreadable:
                raise AudioError(self.unreadable[key])
        return self.texts.get(stem)


def members(path: Path) -> Iterator[Member]:
    """Yield the files of a tar or zip archive. Raises InputError if it is missing, damaged, or neither."""
    if not path.is_file():
        raise InputError(f"{path}: no such archive")
    try:
        if zipfile.is_zipfile(path):
            yield from _zip_members(path)
        elif beginning(path, 2) in UNPACKERS or beginning(path, 262).endswith(b"ustar") or tarfile.is_tarfile(path):
            yield from _tar_members(path)
        elif beginning(path, 2) == b"PK":
            raise InputError(damaged(path, EOFError("a zip archive without its end")))
        else:
            raise InputError(f"{path}: neither a tar nor a zip archive; fetch it again")
    except DAMAGED as error:
        raise InputError(damaged(path, error)) from None


def beginning(path: Path, count: int) -> bytes:
    """The first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(count)


def damaged(path: Path, error: Exception) -> str:
    """The message for an archive that ends early or is inconsistent."""
    return f"{path}: truncated or damaged ({error or type(error).__name__}); fetch it again"


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = tidy(info.filename)
            if name is None or info.is_dir():
                continue

            def open_member(info: zipfile.ZipInfo = info) -> BinaryIO:
                if info.flag_bits & 1:
                    raise AudioError("encrypted in the archive")
                try:
                    with archive.open(info) as stream:
                        return spooled(cast(BinaryIO, stream))
                except (NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError) as error:
                    raise AudioError(f"damaged in the archive: {error}") from None

            yield name, open_member


def _tar_members(path: Path) -> Iterator[Member]:
    with contextlib.ExitStack() as stack:
        unpack = UNPACKERS.get(beginning(path, 2))
        if unpack is None:
            archive = stack.enter_context(tarfile.open(path, "r:"))
        else:
            stream = stack.enter_context(unpack(path, "rb"))
            archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r|"))
        for info in archive:
            name = tidy(info.name)
            if name is None or info.isdir():
                continue

            def open_member(info: tarfile.TarInfo = info) -> BinaryIO:
                try:
                    stream = archive.extractfile(info) if info.isfile() else None
                    if stream is None:
                        raise AudioError("a link inside the archive, not a file")
                    with stream:
                        return spooled(cast(BinaryIO, stream))
                except DAMAGED as error:
                    raise InputError(damaged(path, error)) from None

            yield name, open_member
        if unpack is None:
            with open(path, "rb") as file:
                check_end(file, archive)


def check_end(stream: IO[bytes], archive: tarfile.TarFile) -> None:
    """Raise EOFError for a tar, read to its last member, that is cut off or damaged behind it.

    tarfile takes a file that stops between two members, or inside a header, for a whole one. stream: its bytes; a
    compressed one is read to its end, where its checksum stands.
    """
    stream.seek(archive.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("a tar archive without its end")
    while stream.read(1 << 20):
        pass


def tidy(name: str) -> str | None:
    """A member's name as a plain relative path; None for hidden files and what a Mac adds."""
    name = posixpath.normpath(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")).lstrip("/")
    parts = name.split("/")
    return None if any(part.startswith(".") or part == "__MACOSX" for part in parts) else name


def spooled(stream: BinaryIO) -> BinaryIO:
    """A seekable copy of a stream, in memory unless it is large."""
    copy = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115, the caller closes it
    shutil.copyfileobj(stream, copy, 1 << 20)
    copy.seek(0)
    return cast(BinaryIO, copy)
