"""A package of npm as an archive: fetched by npm, one member taken, nothing installed and nothing run."""

from __future__ import annotations

import logging
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from slamflow.assets.transfer import MB, PIECE, SourceError, disk_is_full, locked
from slamflow.assets.wheel import no_member
from slamflow.errors import InputError

log = logging.getLogger("slamflow")

SOURCE = re.compile(r"npm://(?P<name>(?:@[\w.-]+/)?[\w.-]+)@(?P<version>[\w.+-]+)/(?P<member>.+)")
ROOT = "package/"
"""The folder that everything in a package lies in."""


def take_member(source: str, output: Path, downloads: Path, largest: int | None = None) -> None:
    """Write the member of the package that `npm://name@version/member` names to `output`.

    largest: stop if the member has another size in bytes. Raises SourceError if there is no such package or member.
    """
    match = SOURCE.fullmatch(source)
    if match is None:
        raise SourceError("write npm://name@version/path/inside/the/package")
    path = cached_package(match["name"], match["version"], downloads)
    member = match["member"]
    try:
        with tarfile.open(path, "r:gz") as archive:
            try:
                info = archive.getmember(ROOT + member)
            except KeyError:
                names = [name.removeprefix(ROOT) for name in archive.getnames()]
                raise SourceError(no_member(member, names, path.name)) from None
            stream = archive.extractfile(info) if info.isfile() else None
            if stream is None:
                raise SourceError(f"{member} is no file in {path.name}")
            if largest is not None and info.size != largest:
                raise SourceError(f"{member} has {info.size} bytes in {path.name}, expected {largest}")
            with stream, open(output, "wb") as written:
                while piece := stream.read(PIECE):
                    written.write(piece)
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        path.unlink(missing_ok=True)
        raise SourceError(f"{path.name} is not a whole package ({error}); it was deleted, run again") from None


def cached_package(name: str, version: str, downloads: Path) -> Path:
    """Path of the package name@version in `downloads`, downloaded if it is not there yet.

    One package often gives several files; a lock keeps parallel jobs from downloading it more than once.
    """
    stem = f"{name.replace('/', '+')}-{version}"
    path = downloads / f"{stem}.tgz"
    with locked(downloads / f"{stem}.lock"):
        if not path.is_file():
            with tempfile.TemporaryDirectory(dir=downloads) as temporary:
                npm_pack(f"{name}@{version}", Path(temporary))
                packed = sorted(Path(temporary).glob("*.tgz"))
                if not packed:
                    raise SourceError(f"npm gave no package {name}@{version}")
                packed[0].rename(path)
            log.info("%s: %.1f MB", path.name, path.stat().st_size / MB)
        return path


def npm_pack(package: str, folder: Path) -> None:
    """Download one package with npm, so that the user's own registry, proxy and certificates are used."""
    log.info("%s: npm downloads the package", package)
    command = ["npm", "pack", "--ignore-scripts", "--no-audit", "--no-update-notifier"]
    try:
        done = subprocess.run(
            [*command, "--loglevel=error", "--pack-destination=.", "--", package],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise SourceError("npm is not installed; it comes with Node.js") from None
    if done.returncode == 0:
        return
    if "ENOSPC" in done.stderr:
        raise InputError(disk_is_full(folder))
    errors = [re.sub(r"^npm (ERR!|error) ?", "", line) for line in done.stderr.splitlines()]
    reason = "; ".join(line for line in errors if line and "complete log" not in line)
    raise SourceError(f"npm: {reason[:500] or 'failed without a message'}")
