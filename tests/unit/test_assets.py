"""Fetching files from outside: the right one, whole, or one clear message."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import random
import shutil
import socket
import subprocess
import sys
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

import fetch_asset
from slamflow.assets import http, transfer, wheel
from slamflow.assets.asset import Asset, AssetFile, FetchAsset
from slamflow.assets.fetch import fetch
from slamflow.errors import InputError
from slamflow.jobs.assets import AssetJobs
from slamflow.jobs.sources import Sources
from slamflow.recipe.loading import load_assets
from stand_in.server import COMMIT, FORBIDDEN, GATED, GOOD_TOKEN, PRIVATE, StandIn, start

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hf_secretsecretsecretsecret"
CONTENT = random.Random(0).randbytes(3_000_000)
FLAT = f"/owner/name/resolve/{COMMIT}/folder/weights.bin"


@pytest.fixture
def server() -> Iterator[StandIn]:
    state = StandIn(files={"/weights.bin": CONTENT})
    running = start(state)
    yield state
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def _quick_and_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No pauses, no proxy, no token or cache of the person who runs the tests."""
    monkeypatch.setattr(http, "BACKOFF_SECONDS", 0.0)
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("HF_", "HUGGING_FACE", "PIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def asset(*sources: str, content: bytes = CONTENT, size: bool = True) -> AssetFile:
    return AssetFile(sources=list(sources), sha256=sha256(content), bytes=len(content) if size else None)


def get(file: AssetFile, folder: Path) -> bytes:
    fetch(file, "asset/file", folder / "assets" / "file", folder / "downloads")
    assert [path.name for path in (folder / "assets").iterdir()] == ["file"], "something is left beside the file"
    return (folder / "assets" / "file").read_bytes()


def failure(file: AssetFile, folder: Path) -> str:
    """The message of a fetch that must fail, and must leave nothing where the file belongs."""
    with pytest.raises(InputError) as caught:
        fetch(file, "asset/file", folder / "assets" / "file", folder / "downloads")
    assert not list((folder / "assets").iterdir())
    return str(caught.value)


def make_wheel(folder: Path, members: dict[str, bytes], name: str = "tiny_assets", version: str = "1.2") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return path


# The shipped table


def test_the_shipped_table_is_valid() -> None:
    table = TypeAdapter(dict[str, Asset]).validate_python(yaml.safe_load((ROOT / "recipes/assets.yaml").read_text()))
    assert {"whisper_tiny_en", "smollm2_135m_instruct"} <= table.keys()
    for name, entry in table.items():
        for member, file in entry.files.items():
            # What is checked by a sha256 of our own was held in hand, so its size is known; a published sha256 is not.
            packaged = all(source.startswith(("pypi://", "npm://")) for source in file.sources)
            assert file.bytes is not None or not packaged, f"{name}/{member} has no size"


# Web servers


def test_a_file_from_a_web_server(server: StandIn, tmp_path: Path) -> None:
    assert get(asset(f"{server.url}/weights.bin"), tmp_path) == CONTENT
    assert [path.suffix for path in (tmp_path / "downloads" / "http").iterdir()] == [".lock"]


@pytest.mark.parametrize("lengths", [True, False])
def test_a_connection_that_hangs_up_is_resumed(server: StandIn, tmp_path: Path, lengths: bool) -> None:
    server.lengths = lengths
    server.hang_up_after["/weights.bin"] = [1_200_000, 900_000]
    assert get(asset(f"{server.url}/weights.bin"), tmp_path) == CONTENT
    asked = server.asked("/weights.bin")
    assert [headers.get("Range") for headers in asked] == [None, "bytes=1200000-", "bytes=2100000-"]
    assert asked[1]["If-Range"] == f'"{sha256(CONTENT)}"'


def test_a_killed_download_is_resumed_by_the_next_one(server: StandIn, tmp_path: Path) -> None:
    server.hang_up_after["/weights.bin"] = [1_000_000] + [0] * http.ATTEMPTS
    message = failure(asset(f"{server.url}/weights.bin"), tmp_path)
    assert "broke off" in message
    server.hang_up_after.clear()
    server.requests.clear()
    assert get(asset(f"{server.url}/weights.bin"), tmp_path) == CONTENT
    assert [headers["Range"] for headers in server.asked("/weights.bin")] == ["bytes=1000000-"]


def test_a_server_without_ranges_starts_over(server: StandIn, tmp_path: Path) -> None:
    server.ranges = False
    server.hang_up_after["/weights.bin"] = [1_200_000]
    assert get(asset(f"{server.url}/weights.bin"), tmp_path) == CONTENT


def test_a_partial_file_of_something_else_does_not_spoil_the_download(server: StandIn, tmp_path: Path) -> None:
    part = tmp_path / "downloads" / "http" / f"{sha256(CONTENT)}.part"
    part.parent.mkdir(parents=True)
    for rubbish in (b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)):
        for size in (True, False):
            part.write_bytes(rubbish)
            assert get(asset(f"{server.url}/weights.bin", size=size), tmp_path) == CONTENT
            (tmp_path / "assets" / "file").unlink()


def test_another_mirror_goes_on_with_what_the_first_gave(server: StandIn, tmp_path: Path) -> None:
    server.files["/mirror.bin"] = CONTENT
    server.hang_up_after["/weights.bin"] = [2_000_000] + [0] * http.ATTEMPTS
    assert get(asset(f"{server.url}/weights.bin", f"{server.url}/mirror.bin"), tmp_path) == CONTENT
    assert [headers["Range"] for headers in server.asked("/mirror.bin")] == ["bytes=2000000-"]


def test_a_busy_server_is_asked_again(server: StandIn, tmp_path: Path) -> None:
    server.statuses["/weights.bin"] = [503, 429]
    assert get(asset(f"{server.url}/weights.bin"), tmp_path) == CONTENT
    server.statuses["/weights.bin"] = [500] * 10
    assert "answered 500" in failure_again(asset(f"{server.url}/weights.bin"), tmp_path)
    assert len(server.statuses["/weights.bin"]) == 10 - http.ATTEMPTS


def failure_again(file: AssetFile, folder: Path) -> str:
    shutil.rmtree(folder / "assets")
    return failure(file, folder)


def test_a_missing_file_is_not_asked_for_again(server: StandIn, tmp_path: Path) -> None:
    assert "404: no such file" in failure(asset(f"{server.url}/nothing.bin"), tmp_path)
    assert server.counts()["/nothing.bin"] == 1


def test_a_wrong_checksum_says_what_to_do_and_leaves_nothing(server: StandIn, tmp_path: Path) -> None:
    server.files["/weights.bin"] = changed = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    message = failure(asset(f"{server.url}/weights.bin"), tmp_path)
    for part in ("asset/file", sha256(CONTENT), sha256(changed), "pin its sha256", "run again"):
        assert part in message
    assert server.counts()["/weights.bin"] == 1
    assert not list((tmp_path / "downloads").rglob("*.part"))


def test_a_file_of_another_size_is_not_even_downloaded(server: StandIn, tmp_path: Path) -> None:
    file = AssetFile(sources=[f"{server.url}/weights.bin"], sha256=sha256(CONTENT), bytes=5)
    assert f"offers {len(CONTENT)} bytes, expected 5" in failure(file, tmp_path)


def test_a_login_page_is_recognized(server: StandIn, tmp_path: Path) -> None:
    server.files["/weights.bin"] = b"  <!DOCTYPE html><p>Please log in"
    assert "a web page" in failure(asset(f"{server.url}/weights.bin", size=False), tmp_path)


def test_a_server_that_cannot_be_reached(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert "cannot reach the server (Connection refused)" in failure(asset(f"http://127.0.0.1:{port}/a"), tmp_path)


def test_all_sources_are_listed_with_their_reasons(server: StandIn, tmp_path: Path) -> None:
    absent = tmp_path / "absent.bin"
    message = failure(asset(f"{server.url}/nothing.bin", f"file://{absent}"), tmp_path)
    assert "none of its 2 sources works" in message
    assert f"{server.url}/nothing.bin: the server answered 404" in message
    assert f"file://{absent}: no such file" in message


def test_progress_says_bytes_rate_and_time_left(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    now = [100.0]
    monkeypatch.setattr(transfer.time, "monotonic", lambda: now[0])
    progress = transfer.ByteProgress("asset/file", 100_000_000, done=20_000_000)
    with caplog.at_level(logging.INFO):
        for _ in range(4):
            now[0] += 5
            progress.add(10_000_000)
    assert caplog.messages == [
        "asset/file: 40.0 MB of 100.0 MB, 2.00 MB/s, 30 s left",
        "asset/file: 60.0 MB of 100.0 MB, 2.00 MB/s, 20 s left",
    ]


# Full disks


def test_a_full_disk_is_named_before_the_download(server: StandIn, tmp_path: Path, monkeypatch: Any) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: usage(10, 10, 1_000_000))
    message = failure(asset(f"{server.url}/weights.bin", f"file://{tmp_path}/other"), tmp_path)
    assert "3.0 MB are needed and 1.0 MB are free" in message
    assert not server.requests, "it asked a server though there is no room"


def test_a_disk_that_fills_up_ends_all_sources(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    message = failure(asset("file:///a", "file:///b"), tmp_path)
    assert "no space left" in message
    assert "sources" not in message


# Files


def test_a_local_file(tmp_path: Path) -> None:
    (tmp_path / "with space.bin").write_bytes(CONTENT)
    assert get(asset(f"file://{tmp_path}/with%20space.bin"), tmp_path) == CONTENT
    assert "write file:///folder/file" in failure_again(asset("file://relative/path"), tmp_path)


def test_an_old_file_stays_if_the_new_one_is_wrong(tmp_path: Path) -> None:
    output = tmp_path / "file"
    output.write_bytes(b"old")
    (tmp_path / "source").write_bytes(b"wrong")
    with pytest.raises(InputError):
        fetch(asset(f"file://{tmp_path}/source", size=False), "a/b", output, tmp_path / "downloads")
    assert output.read_bytes() == b"old"


# Wheels


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, by the user's own configuration."""
    folder = tmp_path / "index"
    make_wheel(folder, {"tiny_assets/model/weights.bin": CONTENT, "tiny_assets/vocabulary.txt": b"a\nb\n"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.usefixtures("index")
def test_two_members_of_one_wheel_download_it_once(tmp_path: Path, monkeypatch: Any) -> None:
    calls = []
    real = wheel.pip_download
    monkeypatch.setattr(wheel, "pip_download", lambda *a: (calls.append(a), real(*a)))
    assert get(asset("pypi://tiny_assets==1.2/tiny_assets/model/weights.bin"), tmp_path) == CONTENT
    other = asset("pypi://Tiny.Assets==1.2/tiny_assets/vocabulary.txt", content=b"a\nb\n")
    fetch(other, "asset/other", tmp_path / "other", tmp_path / "downloads")
    assert (tmp_path / "other").read_bytes() == b"a\nb\n"
    assert len(calls) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("index")
def test_parallel_jobs_download_a_wheel_once(tmp_path: Path) -> None:
    members = {
        "weights": ("tiny_assets/model/weights.bin", CONTENT),
        "words": ("tiny_assets/vocabulary.txt", b"a\nb\n"),
    }
    jobs = []
    for name, (member, content) in members.items():
        settings = FetchAsset(file=asset(f"pypi://tiny-assets==1.2/{member}", content=content)).model_dump_json()
        command = [sys.executable, ROOT / "workflow_scripts/fetch_asset.py", "--settings", settings, "--name", name]
        command += ["--output", tmp_path / name, "--downloads", tmp_path / "downloads"]
        jobs.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    logs = [job.communicate()[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], logs
    assert sum("pip downloads the wheel" in text for text in logs) == 1
    for name, (_, content) in members.items():
        assert (tmp_path / name).read_bytes() == content


@pytest.mark.usefixtures("index")
def test_a_member_that_is_not_there_names_those_like_it(tmp_path: Path) -> None:
    message = failure(asset("pypi://tiny-assets==1.2/tiny_assets/weights.bin"), tmp_path)
    assert "did you mean tiny_assets/model/weights.bin" in message


@pytest.mark.usefixtures("index")
def test_a_version_that_is_not_there(tmp_path: Path) -> None:
    assert "No matching distribution found for tiny-assets==9.9" in failure(
        asset("pypi://tiny-assets==9.9/a"), tmp_path
    )


def test_an_index_that_cannot_be_reached(tmp_path: Path, monkeypatch: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:{SECRET}@127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    message = failure(asset("pypi://tiny-assets==1.2/a"), tmp_path)
    assert "pip cannot reach the package index" in message
    assert SECRET not in message


def test_a_source_archive_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    """Building one would run its code."""
    folder = tmp_path / "index"
    folder.mkdir()
    shutil.make_archive(str(folder / "tiny_assets-1.2"), "gztar", tmp_path, "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    assert "No matching distribution" in failure(asset("pypi://tiny-assets==1.2/a"), tmp_path)


def test_a_damaged_wheel_is_named_and_deleted(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "downloads" / "pypi" / "tiny-assets-1.2"
    folder.mkdir(parents=True)
    damaged = folder / "tiny_assets-1.2-py3-none-any.whl"
    damaged.write_bytes(next(index.glob("*.whl")).read_bytes()[:-200])
    file = asset("pypi://tiny-assets==1.2/tiny_assets/model/weights.bin")
    assert "not a whole wheel" in failure(file, tmp_path)
    assert get(file, tmp_path) == CONTENT


# The hub


@pytest.fixture
def hub(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    server.files[FLAT] = CONTENT
    for repo in (PRIVATE, GATED):
        server.files[f"/{repo}/resolve/{COMMIT}/weights.bin"] = CONTENT
    server.files[f"/datasets/owner/words/resolve/{COMMIT}/words.txt"] = b"words"
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    return server


def hub_file(repo: str = "owner/name", path: str = "folder/weights.bin", revision: str = COMMIT) -> AssetFile:
    return AssetFile(sources=[f"hf://{repo}@{revision}/{path}"])


def test_a_file_of_the_hub(hub: StandIn, tmp_path: Path) -> None:
    assert get(hub_file(), tmp_path) == CONTENT
    assert all("Authorization" not in headers for _, _, headers in hub.requests)
    fetch(hub_file("datasets/owner/words", "words.txt"), "a/words", tmp_path / "words", tmp_path / "downloads")
    assert (tmp_path / "words").read_bytes() == b"words"


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("token", [None, GOOD_TOKEN])
def test_a_gate_names_what_needs_no_login(tmp_path: Path, monkeypatch: Any, token: str | None) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    for repo, named in ((GATED, True), (FORBIDDEN, True), ("owner/nothing", False)):
        with pytest.raises(InputError) as caught:
            fetch(hub_file(repo, "weights.bin"), "a/b", tmp_path / "b", tmp_path / "downloads", ungated="smollm2_1_7b")
        assert ("or name smollm2_1_7b in the recipe" in str(caught.value)) == named
    assert "accept its terms" in failure(hub_file(GATED, "weights.bin"), tmp_path)


def test_what_a_gated_asset_of_the_table_names_is_there_and_not_gated() -> None:
    table = load_assets(ROOT / "recipes/assets.yaml", {})
    gated = {name: entry.ungated for name, entry in table.items() if entry.ungated}
    assert gated == {"llama_3_2_1b": "smollm2_1_7b"}
    assert all(table[name].ungated is None for name in gated.values())
    wildcards = SimpleNamespace(asset="llama_3_2_1b", file="config.json")
    settings = AssetJobs(Sources(table, ROOT)).fetch_asset(wildcards)
    assert FetchAsset.model_validate_json(settings).ungated == "smollm2_1_7b"


@pytest.mark.usefixtures("hub")
def test_a_hub_file_is_checked_too(tmp_path: Path) -> None:
    file = AssetFile(sources=hub_file().sources, sha256=sha256(b"other"))
    assert "expected sha256" in failure(file, tmp_path)
    file = AssetFile(sources=hub_file().sources, bytes=7)
    assert f"expected 7 bytes, got {len(CONTENT)}" in failure(file, tmp_path)


def test_a_hub_connection_that_hangs_up_is_resumed(hub: StandIn, tmp_path: Path) -> None:
    """The hub library keeps whole pieces of 10 MiB."""
    hub.files[FLAT] = long = CONTENT * 4
    hub.hang_up_after[FLAT] = [11_000_000]
    assert get(hub_file(), tmp_path) == long
    assert [headers.get("Range") for headers in hub.asked(FLAT)] == [None, f"bytes={10 * 2**20}-"]


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("repo", "path", "revision", "token", "expected"),
    [
        ("owner/nothing", "a", COMMIT, None, "there is no repository owner/nothing"),
        ("owner/name", "nothing", COMMIT, None, "has no file nothing"),
        ("owner/name", "folder/weights.bin", "f" * 40, None, f"has no commit {'f' * 40}"),
        (PRIVATE, "weights.bin", COMMIT, None, "set HF_TOKEN in the environment"),
        (GATED, "weights.bin", COMMIT, None, "is gated: accept its terms on its page on the hub, then set HF_TOKEN"),
        (GATED, "weights.bin", COMMIT, GOOD_TOKEN, "is gated: accept its terms on its page on the hub, then use"),
        ("owner/name", "folder/weights.bin", COMMIT, SECRET, "refuses the HF_TOKEN"),
        (PRIVATE, "weights.bin", COMMIT, SECRET, "refuses the HF_TOKEN"),
    ],
)
def test_what_the_hub_refuses_is_explained(
    tmp_path: Path, monkeypatch: Any, repo: str, path: str, revision: str, token: str, expected: str
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    message = failure(hub_file(repo, path, revision), tmp_path)
    assert expected in message
    assert "\n" not in message


@pytest.mark.usefixtures("hub")
def test_a_token_opens_a_private_repository(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    assert get(hub_file(PRIVATE, "weights.bin"), tmp_path) == CONTENT


def test_a_token_on_disk_is_not_used(hub: StandIn, tmp_path: Path, monkeypatch: Any) -> None:
    from huggingface_hub import constants

    saved = tmp_path / "token"
    saved.write_text(GOOD_TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(saved))
    failure(hub_file(PRIVATE, "weights.bin"), tmp_path)
    assert all("Authorization" not in headers for _, _, headers in hub.requests)


def test_a_hub_that_cannot_be_reached(tmp_path: Path, monkeypatch: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert "the hub cannot be reached" in failure(hub_file(), tmp_path)


def test_a_server_that_is_no_hub(server: StandIn, tmp_path: Path, monkeypatch: Any) -> None:
    server.files["/owner/name/resolve/" + COMMIT + "/x"] = b"x"
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/elsewhere")
    assert "the hub" in failure(hub_file(), tmp_path)


# Secrets


@pytest.mark.slow
def test_no_secret_is_ever_printed(hub: StandIn, tmp_path: Path) -> None:
    """A real process with everything logged: a token in the environment, passwords and signatures in addresses."""
    secrets = {"HF_TOKEN": SECRET, "MY_API_KEY": "keykeykeykey"}
    address = hub.url.replace("http://", "")
    sources = [f"hf://owner/name@{COMMIT}/a", f"http://127.0.0.1@{address}/x?signature=keykeykeykey&other=abcabcabc"]
    sources += [f"https://user:passwordpassword@localhost:1/{SECRET}", "pypi://tiny-assets==1.2/a"]
    settings = json.dumps({"file": {"sources": sources, "sha256": "0" * 64}})
    command = [sys.executable, ROOT / "workflow_scripts/fetch_asset.py", "--settings", settings, "--name", "a/b"]
    command += ["--output", tmp_path / "out", "--downloads", tmp_path / "downloads"]
    environment = {**os.environ, **secrets, "PIP_INDEX_URL": f"http://user:{SECRET}@127.0.0.1:1/", "PIP_RETRIES": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "none of its 4 sources works" in done.stderr
    assert "Traceback" not in done.stderr
    for word in (SECRET, "keykeykeykey", "abcabcabc", "passwordpassword"):
        assert word not in done.stdout + done.stderr
    assert any(SECRET in headers.get("Authorization", "") for _, _, headers in hub.requests), "the token was not used"


def test_the_token_is_sent_to_the_hub_only(hub: StandIn, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    assert get(asset(f"{hub.url}/weights.bin"), tmp_path) == CONTENT
    assert "Authorization" not in hub.asked("/weights.bin")[0]


# The command


def test_the_command(server: StandIn, tmp_path: Path) -> None:
    settings = FetchAsset(file=asset(f"{server.url}/weights.bin")).model_dump_json()
    arguments = ["--settings", settings, "--name", "a/b", "--output", str(tmp_path / "out" / "b")]
    fetch_asset.main([*arguments, "--downloads", str(tmp_path / "downloads")])
    assert (tmp_path / "out" / "b").read_bytes() == CONTENT
    with pytest.raises(InputError, match="sha256"):
        fetch_asset.main(["--settings", '{"file": {"sources": ["https://a/b"]}}', "--name", "a/b", "--output", "b"])
