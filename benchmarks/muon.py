"""Muon against AdamW on the pocket's model: each with its own tuned rate, over seeds, at equal tokens and equal time.

    python benchmarks/muon.py results/rows/speech --rates        rates for each, one seed, a fifth of the tokens
    python benchmarks/muon.py results/rows/speech                three seeds of each: two core hours
    python benchmarks/muon.py results/rows/speech --hours 0.2    the same, each for as long

The model is the pocket's (config.yaml, `cold`) on one core, on the rows that `make pocket` has packed. Writes a table
of the validation loss on its own validation split, and with --output the figures as JSON. Scores on dev and test
come from recipes/pocket_muon.yaml.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from slamflow import files
from slamflow.lm.job_settings import TrainModel
from slamflow.recipe.loading import load_recipe
from slamflow.report.table import table
from slamflow.strict_yaml import load_yaml

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow_scripts"
RATES = {"adamw": [1.5e-3, 3e-3, 6e-3], "muon": [3e-3, 6e-3, 12e-3]}
SEEDS = (0, 1, 2)
SHARE_FOR_RATES = 0.2


def train(rows: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    """Train the pocket's model with other settings; what its training.json says."""
    recipe = load_recipe(load_yaml(ROOT / "config.yaml"), [str(ROOT / "config.yaml")])
    values = {**recipe.models["cold"].model_dump(), "validate_every": 10**6, **changes}
    job = TrainModel.model_validate({"recipe": "muon", "name": "cold", "model": values})
    command = [
        *(sys.executable, str(SCRIPTS / "train.py"), "--settings", job.model_dump_json()),
        *("--train", str(rows / "train"), "--validation", f"validation={rows / 'validation.stories.validation'}"),
        *("--state", str(folder / "state"), "--output", str(folder / "model"), "--threads", "1"),
    ]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    record: dict[str, Any] = files.read_json(folder / "model" / "training.json")
    return record


def main(argv: list[str]) -> None:
    """Train, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="folder of the pocket's rows")
    parser.add_argument("--rates", action="store_true", help="try rates for each optimizer instead of seeds")
    parser.add_argument("--hours", type=float, help="equal time, in place of equal tokens")
    parser.add_argument("--adamw", type=float, default=3e-3, help="its rate")
    parser.add_argument("--muon", type=float, default=6e-3, help="its rate")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args(argv)
    length: dict[str, Any] = {"tokens": None, "hours": arguments.hours} if arguments.hours else {}
    if arguments.rates:
        recipe = load_recipe(load_yaml(ROOT / "config.yaml"), [str(ROOT / "config.yaml")])
        length = {"tokens": round(SHARE_FOR_RATES * recipe.models["cold"].model_dump()["tokens"])}
        cases = [(kind, rate, (0,)) for kind, rates in RATES.items() for rate in rates]
    else:
        cases = [("adamw", arguments.adamw, SEEDS), ("muon", arguments.muon, SEEDS)]
    lines, figures = [], []
    for kind, rate, seeds in cases:
        found = []
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                changes = {"optimizer": kind, "learning_rate": rate, "seed": seed, **length}
                found.append(train(arguments.rows, Path(folder), **changes))
            figures.append({"optimizer": kind, "learning_rate": rate, "seed": seed, **found[-1]})
        losses = [record["validation_loss"]["validation"] for record in found]
        lines.append(
            [
                kind,
                f"{rate:g}",
                ", ".join(f"{loss:.4f}" for loss in losses),
                f"{statistics.mean(losses):.4f}",
                f"{statistics.mean(record['tokens'] for record in found):,.0f}",
                f"{statistics.mean(record['seconds'] for record in found):,.0f}",
            ]
        )
    print(table("Muon and AdamW", ["optimizer", "rate", "validation loss by seed", "mean", "tokens", "seconds"], lines))
    if arguments.output:
        files.write_json(arguments.output, figures)


if __name__ == "__main__":
    main(sys.argv[1:])
