"""A shipped recipe from its downloads to its scores, in tiny sizes, against the stand-in; killed on the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
RECIPE = "gslm"

pytestmark = pytest.mark.slow


def stand_in(folder: Path, *arguments: str) -> str:
    """Run the rehearsal of the smallest recipe as `make rehearsal` does; returns what it printed."""
    command = [sys.executable, "-m", "stand_in", str(folder), str(ROOT / f"recipes/{RECIPE}.yaml"), *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workflow_scripts'}:{ROOT / 'tests'}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    log = folder / f"{RECIPE}.log"
    shown = log.read_text()[-6000:] if log.exists() else ""
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}\n{shown}"
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rehearsal")
    # The training that is killed, and the one that goes on from it, are with ZeRO.
    stand_in(folder, "--kill", "stream_audio", "extract_units", "train", "--set-resources", "train:zero_stage=2")
    return folder


def test_downloads_to_scores(finished: Path) -> None:
    summary = json.loads((finished / f"results/rehearsal/summary/{RECIPE}.json").read_text())
    scores = {(row["benchmark"], row["model"]) for row in summary["benchmarks"]}
    assert {("sblimp", "gslm"), ("swuggy", "gslm")} <= scores
    assert summary["training"][0]["validation_loss"]
    page = (finished / f"results/rehearsal/report/{RECIPE}.html").read_text()
    assert "A rehearsal." in page


def test_nothing_lies_where_a_run_writes(finished: Path) -> None:
    assert [path.name for path in (finished / "results").iterdir()] == ["rehearsal"]
    kept = {path.name for path in (finished / "resources/assets").iterdir()}
    assert "libri_light_beginning" in kept
    assert "libri_light" not in kept, "the beginning of an archive must not pass for the whole"


def test_few_items_of_each(finished: Path) -> None:
    audio = list(finished.glob("results/rehearsal/units/*/libri_light_6k/train/*.parquet"))
    assert len(audio) == 2
    rows = [row for path in audio for row in pq.read_table(path).to_pylist()]
    assert len(rows) > 4
    # Units of speech, not one long silence.
    assert len({unit for row in rows for unit in row["units"]}) > 20


def test_what_was_killed_went_on(finished: Path) -> None:
    """Each rule was killed once, and what was whole before was not made again."""
    log = (finished / f"{RECIPE}.log").read_text()
    fetched = re.findall(r"^Finished jobid: \d+ \(Rule: fetch_asset\)", log, re.MULTILINE)
    assets = [path for path in finished.glob("resources/assets/*/*") if path.is_file()]
    assert len(fetched) == len(assets)


def test_a_second_run_does_nothing(finished: Path) -> None:
    stand_in(finished)
    log = (finished / f"{RECIPE}.log").read_text()
    assert "Nothing to be done" in log


def test_its_training_with_an_offload(finished: Path) -> None:
    """Last, because it trains and scores once more."""
    model = finished / f"results/rehearsal/models/{RECIPE}/{RECIPE}"
    before = json.loads((model / "training.json").read_text())
    (model / "model.safetensors").unlink()
    stand_in(finished, "--set-resources", "train:offload=1")
    log = (finished / f"{RECIPE}.log").read_text()
    assert "--zero-stage -1 --offload 1" in re.sub(r"[\s\\]+", " ", log)
    after = json.loads((model / "training.json").read_text())
    assert after["validation_loss"] == {
        name: pytest.approx(loss, abs=3e-3) for name, loss in before["validation_loss"].items()
    }
