"""A download that fails ends the run with one clear message and no secret in it; the next run goes on."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stand_in.server import COMMIT, GATED, GOOD_TOKEN, PRIVATE, StandIn, start

from ..dag.conftest import warm

ROOT = Path(__file__).parents[2]
CONTENT = random.Random(1).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SECRET = "hf_secretsecretsecretsecret"
TARGET = "resources/assets/wanted/weights.bin"

pytestmark = pytest.mark.slow


class Run:
    """A folder to run in, and the server that it downloads from."""

    def __init__(self, folder: Path, server: StandIn) -> None:
        self.folder, self.server = folder, server

    def fetch(self, source: str, token: str | None = None, **pins: Any) -> subprocess.CompletedProcess[str]:
        """Have the workflow fetch an asset from `source`; a path is one of the server's."""
        where = source if "://" in source else f"{self.server.url}{source}"
        wanted = {"sources": [where], **pins}
        asset = {"licence": "none", "citation": "none", "files": {"weights.bin": wanted}}
        (self.folder / "config.yaml").write_text(yaml.safe_dump({"assets": {"wanted": asset}}))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        environment |= {"HF_ENDPOINT": self.server.url, "HF_HOME": str(self.folder / "hub"), "NO_PROXY": "127.0.0.1"}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        if token:
            environment["HF_TOKEN"] = token
        command = ["-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", self.folder]
        command += ["--workflow-profile", ROOT / "profiles/default", "--cores", "1", TARGET]
        command += ["--configfile", self.folder / "config.yaml"]
        return warm().run(ROOT / "workflow_scripts", *map(str, command), cwd=ROOT, environment=environment)

    def refused(self, *words: str, source: str, token: str | None = None, **pins: Any) -> str:
        """A run that must fail with these words; what it printed, and wrote to logs."""
        done = self.fetch(source, token, **pins)
        logs = "".join(path.read_text() for path in self.folder.glob("results/logs/fetch_asset/**/*.log"))
        shown = done.stdout + done.stderr
        assert done.returncode == 1, shown
        for word in words:
            assert word in shown, shown
        assert "Traceback" not in shown + logs
        assert SECRET not in shown + logs
        assert GOOD_TOKEN not in shown + logs
        assert not (self.folder / TARGET).exists()
        return logs

    def goes_on(self, source: str, token: str | None = None, **pins: Any) -> None:
        """A run that must succeed."""
        done = self.fetch(source, token, **pins)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (self.folder / TARGET).read_bytes() == CONTENT


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    repos = ("lab/open", PRIVATE, GATED)
    files = {f"/{repo}/resolve/{COMMIT}/weights.bin": CONTENT for repo in repos}
    state = StandIn(files={"/weights.bin": CONTENT, **files})
    server = start(state)
    yield Run(tmp_path, state)
    server.shutdown()
    server.server_close()


def hub(repo: str, revision: str = COMMIT) -> str:
    return f"hf://{repo}@{revision}/weights.bin"


def test_a_gated_repository(run: Run) -> None:
    logs = run.refused("lab/gated is gated: accept its terms on its page on the hub", source=hub(GATED))
    assert len([line for line in logs.splitlines() if "ERROR" in line]) == 1, "one message, in the log of the job"


def test_a_wrong_token_and_then_the_right_one(run: Run) -> None:
    run.refused("refuses the HF_TOKEN", source=hub(PRIVATE), token=SECRET)
    run.goes_on(hub(PRIVATE), token=GOOD_TOKEN)


def test_a_missing_repository(run: Run) -> None:
    run.refused("there is no repository lab/nothing", source=hub("lab/nothing"))
    run.goes_on(hub("lab/open"))


def test_a_branch_where_a_revision_is_due(run: Run) -> None:
    """Refused before any job."""
    done = run.fetch(hub("lab/open", "main"))
    assert done.returncode == 1
    assert "'main' is a name that can move; pin the 40-digit commit instead" in done.stderr
    assert "assets.wanted.files.weights.bin.sources" in done.stderr
    assert "Traceback" not in done.stderr
    assert not run.server.requests


def test_a_checksum_that_does_not_match(run: Run) -> None:
    run.refused(f"expected sha256 {'0' * 64}", f"got sha256 {SHA256}", source="/weights.bin", sha256="0" * 64)
    run.goes_on("/weights.bin", sha256=SHA256)


def test_a_full_disk(run: Run) -> None:
    size = 10**16
    run.refused("are needed and", "free some space and run again", source="/weights.bin", sha256=SHA256, bytes=size)
    run.goes_on("/weights.bin", sha256=SHA256)


def test_a_server_that_hangs_up_goes_on_where_it_broke_off(run: Run) -> None:
    """Each try of the job brings no byte more than the first, until the server is well again."""
    run.server.hang_up_after["/weights.bin"] = [400_000, *[0] * 40]
    run.refused("the connection broke off", source="/weights.bin", sha256=SHA256)
    run.server.hang_up_after.clear()
    run.server.requests.clear()
    run.goes_on("/weights.bin", sha256=SHA256)
    assert [headers["Range"] for headers in run.server.asked("/weights.bin")] == ["bytes=400000-"]
