"""What the module of an objective is given, and what it gives to the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from transformers import PreTrainedModel

from slamflow.lm.compilation import Way


@dataclass(frozen=True)
class Inputs:
    """Where the inputs of a training lie; an objective reads some of them."""

    parent: Path | None = None
    """The folder of the model to start from."""
    train: Path | None = None
    """The folder of rows to train on."""
    validation: Mapping[str, Path] = field(default_factory=dict)
    """Folders of rows for validation losses, by corpus/split."""
    pairs: Path | None = None
    """The Parquet file of preference pairs."""
    tokenizer: Path | None = None
    """The manifest of the codebook whose units the model is trained on."""


class Objective(Protocol):
    """What is learned, and from what."""

    steps: int
    """Optimizer steps in total; meaningless when the settings give hours."""
    tokens_per_step: int
    """Positions in a step, over all ranks."""
    context: int
    """Positions over which attention goes, for the count of operations."""
    validation_steps: float
    """A guess of what a validation of all rows costs, in steps; a measured cost soon replaces it."""
    validation_part: float
    """What part of them a validation on the way takes, above 0 and at most 1."""

    def micro_batches(self, step: int) -> Sequence[Any]:
        """This rank's micro-batches of a step (from 0); equally many on each rank and in each step."""

    def count(self, batch: Any) -> int:
        """How many things (tokens, pairs) the loss of a batch is a sum over."""

    def loss(self, model: Any, batch: Any) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        """The sum of the losses of a batch, and further sums to log as means (empty in most cases).

        Sums that are tensors stay on the device until the step is done; a float() of one would wait for it.
        """

    def validate(self, model: Any, whole: bool = True, between: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Validation losses by name, over all ranks: of all rows or, if not `whole`, of the same part each time.

        Every rank calls `between` after each micro-batch, equally often: it may raise, to leave the validation.
        """


@dataclass(frozen=True)
class Prepared:
    """A training that is ready to begin."""

    model: PreTrainedModel
    """In float32, with its attention set (`slamflow.lm.compilation.make_fast`)."""
    objective: Objective
    speech: dict[str, Any]
    """What speech.json will say (`slamflow.lm.speech.speech_record`)."""
    data: dict[str, str]
    """Digests of the data by name: a save is of the same training only if they are equal."""
    record: dict[str, Any] = field(default_factory=dict)
    """What training.json says beyond what it says of every training."""
    way: Way | None = None
    """How the model computes, as `slamflow.lm.compilation.make_fast` chose it."""
