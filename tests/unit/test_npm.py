"""Members of npm packages, with a stand-in for npm on the path."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from slamflow.assets import npm
from slamflow.assets.asset import AssetFile
from slamflow.assets.fetch import fetch
from slamflow.assets.transfer import SourceError, scrub
from slamflow.errors import InputError

NPM = """#!/bin/sh
echo "$@" >> "$NPM_LOG"
for argument; do case "$argument" in --pack-destination=*) folder="${argument#*=}" ;; esac; package="$argument"; done
if [ "$package" = "@voices/pack@1.2.1" ]; then cp "$NPM_PACKAGE" "$folder/voices-pack-1.2.1.tgz"; exit 0; fi
echo "npm error code E404" >&2
echo "npm error 404 Not Found: $package" >&2
exit 1
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for npm on the path; the file that gets a line for each call."""
    program = tmp_path / "bin/npm"
    program.parent.mkdir()
    program.write_text(NPM)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("package/voices/a.bin")
        info.size = 1000
        archive.addfile(info, io.BytesIO(b"a" * 1000))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NPM_LOG", str(tmp_path / "calls"))
    monkeypatch.setenv("NPM_PACKAGE", str(tmp_path / "package.tgz"))
    return tmp_path / "calls"


def take(tmp_path: Path, source: str, largest: int | None = None) -> bytes:
    npm.take_member(source, tmp_path / "out", tmp_path / "downloads", largest)
    return (tmp_path / "out").read_bytes()


def test_a_member_is_taken_and_the_package_kept(tmp_path: Path, calls: Path) -> None:
    for _ in range(2):
        assert take(tmp_path, "npm://@voices/pack@1.2.1/voices/a.bin", 1000) == b"a" * 1000
    assert len(calls.read_text().splitlines()) == 1
    assert "--ignore-scripts" in calls.read_text()


@pytest.mark.usefixtures("calls")
def test_an_asset_comes_from_npm_and_is_verified(tmp_path: Path) -> None:
    source, output = "npm://@voices/pack@1.2.1/voices/a.bin", tmp_path / "assets/a.bin"
    good = AssetFile(sources=[source], sha256=hashlib.sha256(b"a" * 1000).hexdigest(), bytes=1000)
    fetch(good, "voices/a.bin", output, tmp_path / "downloads")
    assert output.read_bytes() == b"a" * 1000
    with pytest.raises(InputError, match=r"npm://@voices/pack@1.2.1/voices/a.bin: expected sha256 0000"):
        fetch(AssetFile(sources=[source], sha256="0" * 64), "voices/a.bin", output, tmp_path / "downloads")


@pytest.mark.usefixtures("calls")
def test_the_folder_of_downloads_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert take(Path(), "npm://@voices/pack@1.2.1/voices/a.bin") == b"a" * 1000


def test_names_of_packages_are_not_taken_for_passwords() -> None:
    assert scrub("npm://pack@1.2.1/a.bin, https://me:word@host/a") == "npm://pack@1.2.1/a.bin, https://***@host/a"


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("source", "largest", "reason"),
    [
        ("npm://@voices/pack@1.2.1/voices/b.bin", None, "did you mean voices/a.bin"),
        ("npm://@voices/pack@1.2.1/voices/a.bin", 999, "has 1000 bytes .* expected 999"),
        ("npm://other@1.0.0/a.bin", None, "404 Not Found: other@1.0.0"),
        ("npm://other/a.bin", None, "write npm://name@version/path"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, source: str, largest: int | None, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        take(tmp_path, source, largest)


def test_a_damaged_package_is_fetched_again(tmp_path: Path, calls: Path) -> None:
    take(tmp_path, "npm://@voices/pack@1.2.1/voices/a.bin")
    kept = next((tmp_path / "downloads").glob("*.tgz"))
    kept.write_bytes(kept.read_bytes()[:60])
    with pytest.raises(SourceError, match="not a whole package"):
        take(tmp_path, "npm://@voices/pack@1.2.1/voices/a.bin")
    assert take(tmp_path, "npm://@voices/pack@1.2.1/voices/a.bin") == b"a" * 1000
    assert len(calls.read_text().splitlines()) == 2


def test_npm_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not installed"):
        take(tmp_path, "npm://pack@1.0.0/a")
