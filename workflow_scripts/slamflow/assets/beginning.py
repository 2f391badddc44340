"""The beginning of a tar archive as an archive of its own: enough for a rehearsal, where the whole takes hours."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from slamflow.assets.transfer import MB, SourceError

IN_MEMORY = 64 << 20
BROKEN_OFF = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError)


def keep_whole_members(cut: Path, output: Path) -> int:
    """Write the members that are whole in `cut`, the first bytes of an archive, to `output`; returns how many.

    Compressed as the archive is. Raises SourceError if there is not one whole member.
    """
    count = 0
    with ExitStack() as stack:
        source, target = (stack.enter_context(file) for file in open_alike(cut, output))
        written = stack.enter_context(tarfile.open(fileobj=target, mode="w|"))
        try:
            archive = stack.enter_context(tarfile.open(fileobj=source, mode="r|"))
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is None:
                    written.addfile(member)
                    continue
                with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as copy:
                    shutil.copyfileobj(stream, copy)
                    if copy.tell() < member.size:
                        break
                    copy.seek(0)
                    written.addfile(member, copy)
                count += 1
        except BROKEN_OFF:
            pass  # here the bytes end
    if not count:
        size = cut.stat().st_size / MB
        raise SourceError(f"not one whole file in the first {size:.1f} MB; raise rehearsal.archive_bytes")
    return count


def open_alike(cut: Path, output: Path) -> tuple[Any, Any]:
    """Both files open, through the compression that `cut` begins with."""
    with open(cut, "rb") as file:
        magic = file.read(3)
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(cut), gzip.GzipFile("", "wb", compresslevel=1, fileobj=open(output, "wb"), mtime=0)
    if magic == b"BZh":
        return bz2.open(cut), bz2.open(output, "wb", compresslevel=1)
    if magic == b"\xfd7z":
        return lzma.open(cut), lzma.open(output, "wb", preset=0)
    return open(cut, "rb"), open(output, "wb")
