"""Trains tiny models one after the other, as one of the ranks that torchrun starts: starting Python once is enough.

    torchrun --nproc_per_node=N many_trainings.py FOLDER RUNS

FOLDER has `train` and `validation`; RUNS is a JSON list of objects with the `name` of a training (its state and its
model lie below FOLDER), `settings` and `machine` that differ from those of training_rows.py, and perhaps the step to
`stop` at, as a power cut would.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[2] / "workflow_scripts"))

from slamflow.lm.devices import Machine
from slamflow.lm.next_token_loss import NextToken
from slamflow.lm.objective import Inputs
from tests.unit.training_rows import CONTEXT, ranks, settings, train


class PowerCutError(Exception):
    """The process is gone."""


def run(folder: Path, name: str, stop: int | None = None, **changes: Any) -> None:
    """Train one model, at most up to the step `stop` (from 0)."""
    machine = Machine(**{"threads": 1, "micro_batch_tokens": 2 * CONTEXT, **changes.get("machine", {})})
    inputs = Inputs(train=folder / "train", validation={"held/out": folder / "validation"})
    original = NextToken.micro_batches

    def micro_batches(self: NextToken, step: int) -> Any:
        if step == stop:
            raise PowerCutError
        return original(self, step)

    with mock.patch.object(NextToken, "micro_batches", micro_batches):
        try:
            train(settings(**changes.get("settings", {})), inputs, folder / f"state.{name}", folder / name, machine)
        except PowerCutError:
            ranks().barrier()


if __name__ == "__main__":
    for options in json.loads(sys.argv[2]):
        run(Path(sys.argv[1]), **options)
