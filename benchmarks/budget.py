"""Show that a fixed time budget is kept on a CPU: plain, killed once, and with a second load from half-way on.

    python benchmarks/budget.py                        4, 8 and 12 minutes, each three times: an hour and a quarter
    python benchmarks/budget.py --seconds 30 --cases plain killed

The model is the pocket's (config.yaml, `cold`), on the pocket's rows if `make pocket` has been run, else on rows of
random documents of the same length. The time is taken from outside: from when the trainer's clock appears to its last
line of metrics, of both processes where one is killed. Writes a table, and with --output the figures as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from slamflow import files
from slamflow.lm.calibration import random_rows
from slamflow.lm.job_settings import TrainModel
from slamflow.recipe.loading import load_recipe
from slamflow.report.table import table
from slamflow.strict_yaml import load_yaml

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow_scripts"
UNITS, CONTEXT, STORY_UNITS = 200, 832, 192
CASES = ("plain", "killed", "loaded")
BURN = "import torch; torch.set_num_threads(1); a = torch.rand(512, 512)\nwhile True: a = (a @ a).softmax(0)"
WITHIN = 0.05


class Trainer:
    """One training, watched from outside."""

    def __init__(self, folder: Path, rows: Path, validation: Path | None, seconds: float, threads: int) -> None:
        self.state, self.model, self.log = folder / "state", folder / "model", folder / "log"
        recipe = load_recipe(load_yaml(ROOT / "config.yaml"), [str(ROOT / "config.yaml")])
        values = {**recipe.models["cold"].model_dump(), "tokens": None, "hours": seconds / 3600}
        job = TrainModel.model_validate({"recipe": "budget", "name": "cold", "model": values})
        self.settings = job.model
        self.command = [
            *(sys.executable, str(SCRIPTS / "train.py"), "--settings", job.model_dump_json()),
            *("--train", str(rows), "--threads", str(threads)),
            *(("--validation", f"held/out={validation}") if validation else ()),
            *("--state", str(self.state), "--output", str(self.model)),
        ]

    def start(self) -> tuple[subprocess.Popen[bytes], float]:
        """Start it and wait for its first step; returns when that was, by the time of the file system."""
        clock = self.state / "clock.json"
        before = clock.stat().st_mtime_ns if clock.is_file() else 0
        with open(self.log, "ab") as stream:
            process = subprocess.Popen(self.command, stdout=stream, stderr=stream)
        while not clock.is_file() or clock.stat().st_mtime_ns == before:
            if process.poll() is not None:
                raise SystemExit(f"the training ended early:\n{self.log.read_text()}")
            time.sleep(0.005)
        return process, time.time()

    def last_line(self) -> float:
        """When the last line of metrics was written."""
        return (self.state / "metrics.jsonl").stat().st_mtime


@contextlib.contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep some cores busy."""
    burning = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def run(case: str, seconds: float, trainer: Trainer, cores: int) -> dict[str, Any]:
    """One training of `seconds`; returns its figures."""
    process, began = trainer.start()
    spent = 0.0
    with contextlib.ExitStack() as stack:
        if case == "killed":
            time.sleep(max(0.0, began + 0.4 * seconds - time.time()))
            process.send_signal(signal.SIGKILL)
            process.wait()
            spent = time.time() - began
            time.sleep(2)
            process, began = trainer.start()
        if case == "loaded":
            time.sleep(max(0.0, began + 0.5 * seconds - time.time()))
            # The trainer's threads wait for each other: a core shared by two halves the speed of all.
            stack.enter_context(load(max(1, cores // 2)))
        if process.wait():
            raise SystemExit(f"the training failed:\n{trainer.log.read_text()}")
    spent += trainer.last_line() - began
    curve = files.read_jsonl(trainer.model / "metrics.jsonl")
    record = files.read_json(trainer.model / "training.json")
    rates = [line["learning_rate"] for line in curve]
    falling = rates[rates.index(max(rates)) :]
    half = [[line["tokens_per_second"] for line in curve if (line["budget_used"] > 0.5) == late] for late in (0, 1)]
    complete = rates[-1] == trainer.settings.min_learning_rate and all(a >= b for a, b in itertools.pairwise(falling))
    return {
        "case": case,
        "budget_seconds": seconds,
        "seconds": round(spent, 2),
        "off": round(spent / seconds - 1, 4),
        "own_seconds": record["budget"]["seconds"],
        "steps": record["steps"],
        "tokens_per_second": [round(statistics.median(part)) if part else None for part in half],
        "schedule_complete": complete,
        "largest_step_of_schedule": max(b["budget_used"] - a["budget_used"] for a, b in itertools.pairwise(curve)),
        "validation_loss": record["validation_loss"].get("held/out"),
        "kept": abs(spent / seconds - 1) <= WITHIN and complete,
        "device": record["device"],
    }


def show(results: list[dict[str, Any]]) -> str:
    """The results as a table."""
    head = ["case", "budget s", "took s", "off", "steps", "tokens/s, 1st half", "2nd half", "schedule", "kept"]
    rows = [
        [
            one["case"],
            f"{one['budget_seconds']:g}",
            f"{one['seconds']:.1f}",
            f"{100 * one['off']:+.2f} %",
            f"{one['steps']:,}",
            *(f"{rate:,}" if rate else "-" for rate in one["tokens_per_second"]),
            "complete" if one["schedule_complete"] else "NOT COMPLETE",
            "yes" if one["kept"] else "NO",
        ]
        for one in results
    ]
    return table(f"Fixed time budgets, {results[0]['device']}", head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[240, 480, 720])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rows", type=Path, default=ROOT / "results/rows/speech", help="rows of the pocket")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--output", type=Path, help="the figures as JSON")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows, validation = options.rows / "train", options.rows / "validation.stories.validation"
        if not (rows / "manifest.json").is_file():
            rows = random_rows(folder / "random", CONTEXT, UNITS, STORY_UNITS)
            validation = rows
        for number, (seconds, case) in enumerate(itertools.product(options.seconds, options.cases)):
            place = folder / str(number)
            place.mkdir()
            results.append(
                run(case, seconds, Trainer(place, rows, validation, seconds, options.threads), options.threads)
            )
            sys.stderr.write(f"{json.dumps(results[-1])}\n")
    sys.stdout.write(show(results))
    if options.output:
        files.write_json(options.output, results)
    if not all(one["kept"] for one in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
