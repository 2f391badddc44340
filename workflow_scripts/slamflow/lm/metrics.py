"""The training's curves: one JSON line a step, TensorBoard, and Weights & Biases if asked for."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from slamflow import files
from slamflow.errors import InputError

log = logging.getLogger("slamflow")


class Metrics:
    """Curves that continue after a resume without a gap or a repetition."""

    def __init__(self, folder: Path, first_step: int, wandb_project: str | None, run: str) -> None:
        """Open `folder`/metrics.jsonl and `folder`/tensorboard, and drop what was logged from `first_step` on.

        `run` names the run at Weights & Biases. Raises InputError if that is asked for and not installed.
        """
        self.path = folder / "metrics.jsonl"
        lines = files.read_jsonl(self.path) if self.path.is_file() and first_step > 1 else []
        files.write_jsonl(self.path, [line for line in lines if line["step"] < first_step])
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)
        self._wandb: Any = None
        if wandb_project is not None:
            try:
                import wandb
            except ImportError:
                raise InputError("wandb_project: wandb is not installed; pip install wandb, or leave it out") from None
            self._wandb = wandb.init(project=wandb_project, id=run, name=run, resume="allow", dir=str(folder))

    def add(self, line: dict[str, Any]) -> None:
        """Log one step. Values are numbers, or a dict of numbers as validation_loss."""
        self._file.write(json.dumps(line, sort_keys=True) + "\n")
        self._file.flush()
        flat = {
            f"{key}/{name}" if name else key: number
            for key, value in line.items()
            if key != "step"
            for name, number in (value.items() if isinstance(value, dict) else [("", value)])
        }
        for key, number in flat.items():
            self._board.add_scalar(key, number, line["step"])
        if self._wandb is not None:
            self._wandb.log(flat, step=line["step"])

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if kind is None else 1)
