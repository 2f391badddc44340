"""A wheel as an archive: fetched by pip, one member taken, nothing installed and nothing run."""

from __future__ import annotations

import difflib
import logging
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from slamflow.assets.transfer import MB, PIECE, SourceError, disk_is_full, locked
from slamflow.errors import InputError

log = logging.getLogger("slamflow")

SOURCE = re.compile(r"pypi://(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[\w.!+-]+)/(?P<member>.+)")


def take_member(source: str, output: Path, downloads: Path, largest: int | None = None) -> None:
    """Write the member of the wheel that `pypi://name==version/member` names to `output`.

    largest: stop if the member is bigger than this many bytes. Raises SourceError if there is no such wheel or member.
    """
    match = SOURCE.fullmatch(source)
    if match is None:
        raise SourceError("write pypi://name==version/path/inside/the/wheel")
    path = cached_wheel(match["name"], match["version"], downloads)
    member = match["member"]
    try:
        with zipfile.ZipFile(path) as archive:
            try:
                info = archive.getinfo(member)
            except KeyError:
                raise SourceError(no_member(member, archive.namelist(), path.name)) from None
            if largest is not None and info.file_size != largest:
                raise SourceError(f"{member} has {info.file_size} bytes in {path.name}, expected {largest}")
            with archive.open(info) as stream, open(output, "wb") as written:
                while piece := stream.read(PIECE):
                    written.write(piece)
    except zipfile.BadZipFile as error:
        path.unlink(missing_ok=True)
        raise SourceError(f"{path.name} is not a whole wheel ({error}); it was deleted, run again") from None


def no_member(member: str, names: list[str], wheel: str) -> str:
    """The message for a member that is not there, with those that look like it."""
    same_name = [name for name in names if PurePosixPath(name).name == PurePosixPath(member).name]
    close = difflib.get_close_matches(member, names, n=5, cutoff=0.5)
    found = list(dict.fromkeys(same_name + close))[:5]
    hint = f"did you mean {', '.join(found)}?" if found else f"it has {', '.join(sorted(names)[:10])}"
    return f"{wheel} has no member {member}; {hint}"


def cached_wheel(name: str, version: str, downloads: Path) -> Path:
    """Path of the wheel name==version in `downloads`, downloaded if it is not there yet.

    One wheel often gives several files; a lock keeps parallel jobs from downloading it more than once.
    """
    canonical = re.sub(r"[-_.]+", "-", name).lower()
    folder = downloads / f"{canonical}-{version}"
    with locked(downloads / f"{canonical}-{version}.lock"):
        wheels = sorted(folder.glob("*.whl"))
        if not wheels:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=downloads) as temporary:
                pip_download(f"{name}=={version}", Path(temporary))
                for path in Path(temporary).glob("*.whl"):
                    path.rename(folder / path.name)
            wheels = sorted(folder.glob("*.whl"))
            if not wheels:
                raise SourceError(f"pip gave no wheel of {name}=={version}")
            log.info("%s: %.1f MB", wheels[0].name, wheels[0].stat().st_size / MB)
        return wheels[0]


def pip_download(requirement: str, folder: Path) -> None:
    """Download one wheel with pip, so that the user's own index, proxy and certificates are used.

    Only wheels, and without dependencies: a source archive would run code.
    """
    log.info("%s: pip downloads the wheel", requirement)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder)]
    done = subprocess.run([*command, "--", requirement], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    if "No space left on device" in done.stderr:
        raise InputError(disk_is_full(folder))
    if "No module named pip" in done.stderr:
        raise SourceError(f"{sys.executable} has no pip; install pip in this environment")
    # A failed retry is the cause of what pip complains about afterwards.
    if "Retrying" in done.stderr:
        raise SourceError("pip cannot reach the package index; see pip's index-url and proxy settings")
    errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    raise SourceError(f"pip: {'; '.join(errors) or done.stderr.strip()[-500:] or 'failed without a message'}")
