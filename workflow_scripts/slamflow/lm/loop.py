"""The training loop, on DeepSpeed's engine.

What is learned is an `Objective` (slamflow/lm/objective.py); the loop does the rest: accumulation, ranks, clipping, the
learning rate, validation, curves, saves and resuming. A training with a fixed number of steps that was killed and
resumed gives the weights of an unbroken one; one with a fixed time budget ends when that is used (slamflow/lm/pace.py).
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from slamflow import files
from slamflow.errors import InputError
from slamflow.lm import saves, state
from slamflow.lm.devices import Machine, Ranks
from slamflow.lm.engine import make_engine
from slamflow.lm.flops import training_flops_per_token
from slamflow.lm.metrics import Metrics
from slamflow.lm.objective import Objective
from slamflow.lm.objectives import TrainingSettings
from slamflow.lm.pace import NOTHING, Clock, Pace, Step, StepPace, TimePace
from slamflow.lm.peaks import peak_of
from slamflow.sharding import stable_hash

log = logging.getLogger("slamflow")
SECONDS_BETWEEN_LINES = 10.0
STOPPED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Trained:
    """The result of a training."""

    steps: int
    tokens: int
    seconds: float
    """Of the steps alone, without validation and saves."""
    validation_loss: dict[str, float]
    metrics: Path
    budget: dict[str, float]
    """With hours: `hours`, and `seconds` from the first step to the end of the last save. Else empty."""
    mfu: float | None = None
    """Model FLOPs utilization: the share of the devices' peak that the steps took, if the peak is known."""
    weights: dict[str, Tensor] | None = None
    """Those of the model, on the main rank, if it has only parts of them itself (ZeRO 3)."""


def train(
    model: PreTrainedModel,
    objective: Objective,
    settings: TrainingSettings,
    machine: Machine,
    ranks: Ranks,
    folder: Path,
    fingerprint: dict[str, Any],
) -> Trained:
    """Train `model` in place, resuming from the last save in `folder` if it has the same fingerprint.

    The caller holds the folder's lock. On SIGTERM the state is saved, from within a step or a validation too, and the
    process ends with 143; a validation that was left is made when the training goes on.
    Raises InputError when the loss is not finite; the last save is kept.
    """
    # Which share of the devices' peak a rate is: before ZeRO cuts the weights up.
    peak = peak_of(ranks.device, settings.precision)
    used = training_flops_per_token(model, objective.context) / (peak * ranks.count) if peak else None
    step, seconds, validation, last = 0, 0.0, {}, False
    timed: dict[str, Any] = {}
    unfinished: dict[str, Any] | None = None  # the line of a step whose validation was left
    saved = -1, False
    found = state.latest(folder, fingerprint)
    if found:
        path, record = found
        step, seconds, validation, last = (record[key] for key in ("step", "seconds", "validation_loss", "last"))
        timed, unfinished = record["pace"], record.get("unfinished")
        saved = step, unfinished is not None
        saves.load_weights(model, path)
    engine = make_engine(model, settings, machine, ranks, len(objective.micro_batches(0)))
    if found:
        saves.load_moments(engine, machine, path, step)
    run = files.sha256_json(fingerprint)
    clock = Clock(folder, run) if ranks.main and settings.hours is not None else None
    ranks.barrier()

    def save() -> None:
        nonlocal saved
        saved = step, unfinished is not None
        record = {
            "fingerprint": fingerprint,
            "step": step,
            "seconds": seconds,
            "validation_loss": validation,
            "last": last,
            "pace": pace.record(),
            "unfinished": unfinished,
        }
        state.save(folder, step, record, lambda to: saves.store(engine, machine, ranks, to), ranks.main, ranks.barrier)

    def save_and_say() -> None:
        if saved != (step, unfinished is not None):
            save()
        log.info("stopped by a signal; step %d is saved", step)

    def check() -> None:
        if ranks.sum(len(stopping))[0]:
            raise StoppedError

    def validate(line: dict[str, Any]) -> None:
        nonlocal validation, unfinished
        unfinished = line
        began = time.monotonic()
        engine.eval()
        with torch.no_grad():
            validation = objective.validate(engine, whole=last, between=check)
        engine.train()
        pace.add("validation", time.monotonic() - began)
        unfinished = None
        if validation:
            line["validation_loss"] = validation
            if not last and objective.validation_part < 1:
                line["validation_part"] = round(objective.validation_part, 6)

    with contextlib.ExitStack() as stack:
        stopping = stack.enter_context(_stop_signal())
        project = settings.wandb_project
        first = step + 1 - (unfinished is not None)
        metrics = stack.enter_context(Metrics(folder, first, project, run[:12])) if ranks.main else None
        pace: Pace = StepPace(objective.steps, settings, step)
        if settings.hours is not None:
            spent = clock.read() if clock else 0.0
            pace = TimePace(settings, timed, spent, objective.validation_steps, objective.validation_part)
        if step:
            log.info("going on after step %d of %d", step, pace.steps(step))
        stack.enter_context(_ending(save_and_say))
        if unfinished is not None:
            line = unfinished
            validate(line)
            if metrics is not None:
                metrics.add(line)
        said = time.monotonic()
        while not last:
            began = time.monotonic()
            if clock:
                clock.write(pace.spent())
            batches = objective.micro_batches(step)
            # The main rank decides and the sum tells the others.
            decided = pace.decide(step) if ranks.main else NOTHING
            own = sum(objective.count(batch) for batch in batches)
            count, stop, *shared = ranks.sum(own, len(stopping), *decided)
            if stop:
                raise StoppedError
            decision = Step(*shared)
            for group in engine.optimizer.param_groups:
                group["lr"] = decision.learning_rate
            # Dropout draws anew in each step and on each rank, and alike in a resumed run.
            torch.manual_seed(stable_hash(f"{settings.seed} {step} {ranks.rank}"))
            # Several ranks would have to agree: they look between steps, which are short on such devices.
            watched = Watched(batches, stopping) if ranks.count == 1 else batches
            means, norm = optimize(engine, objective, watched, count, settings, machine, ranks)
            step += 1
            last = bool(decision.last)
            if not math.isfinite(means["loss"]) or not math.isfinite(norm):
                raise InputError(
                    f"step {step}: the loss is {means['loss']} and the gradient's norm {norm}; "
                    f"lower learning_rate or lengthen warmup. The last good save stays in {folder}"
                )
            took = time.monotonic() - began
            seconds += took
            pace.add("step", took)
            line = {
                "step": step,
                "tokens": step * objective.tokens_per_step,
                **means,
                "learning_rate": decision.learning_rate,
                "gradient_norm": norm,
                "tokens_per_second": round(objective.tokens_per_step / took, 1),
            }
            if used is not None:
                line["mfu"] = round(used * objective.tokens_per_step / took, 4)
            if settings.hours is not None:
                line["budget_used"] = round(decision.used, 6)
            if decision.validate:
                validate(line)
            if metrics is not None:
                metrics.add(line)
            if decision.save:
                began = time.monotonic()
                save()
                pace.add("save", time.monotonic() - began)
            now = time.monotonic()
            if last or "validation_loss" in line or now - said >= SECONDS_BETWEEN_LINES:
                said = now
                log.info(
                    "step %d of %d: loss %.4f, %.0f tokens/s%s, %.0f s left%s",
                    step,
                    pace.steps(step),
                    means["loss"],
                    objective.tokens_per_step / took,
                    f", {100 * line['mfu']:.1f} % MFU" if "mfu" in line else "",
                    pace.seconds_left(step),
                    "".join(f", {name} {value:.4f}" for name, value in line.get("validation_loss", {}).items()),
                )
        budget = {} if settings.hours is None else {"hours": settings.hours, "seconds": round(pace.spent(), 1)}
    weights = saves.whole_state_dict(engine, machine, ranks) if machine.zero_stage == 3 else None
    tokens = step * objective.tokens_per_step
    mfu = None if used is None else round(used * tokens / seconds, 4)
    return Trained(step, tokens, seconds, validation, folder / "metrics.jsonl", budget, mfu=mfu, weights=weights)


def optimize(
    engine: Any,
    objective: Objective,
    batches: Sequence[Any],
    count: float,
    settings: TrainingSettings,
    machine: Machine,
    ranks: Ranks,
) -> tuple[dict[str, float], float]:
    """One step of the optimizer on this rank's `batches`, of `count` things over all ranks.

    Returns the mean loss and the objective's further means, over all ranks, and the norm of the gradient.
    """
    totals = torch.zeros(0)
    names: list[str] = []
    for batch in batches:
        loss, more = objective.loss(engine, batch)
        # DeepSpeed averages the gradients of the ranks: the factor makes it the mean over the whole batch.
        engine.backward(loss * (ranks.count / max(count, 1)), scale_wrt_gas=False)
        # In double precision, and on the device: asking for a number would have the host wait for it.
        own = torch.stack([_double(value, ranks.device) for value in (loss.detach(), *more.values())])
        totals = totals + own if names else own
        names = ["loss", *more]
        if engine.is_gradient_accumulation_boundary() and machine.zero_stage == 0:
            norm = torch.nn.utils.clip_grad_norm_(engine.module.parameters(), settings.gradient_clip)
        engine.step()
    if machine.zero_stage:
        norm = engine.get_global_grad_norm()
    if ranks.count > 1:
        torch.distributed.all_reduce(totals)
    # Here the host waits for the device, once in a step.
    *sums, length = torch.cat([totals, _double(norm, ranks.device)[None]]).tolist()
    return {name: total / max(count, 1) for name, total in zip(names, sums, strict=True)}, length


def _double(number: Tensor | float, device: torch.device) -> Tensor:
    return torch.as_tensor(number, dtype=torch.float64, device=device)


class StoppedError(Exception):
    """A signal has come that ends the training."""


class Watched(Sequence[Any]):
    """The micro-batches of a step; asking for the next one raises StoppedError once a signal has come.

    The step is then made again from its beginning, since the weights are still those before it.
    """

    def __init__(self, batches: Sequence[Any], stopping: list[int]) -> None:
        self.batches, self.stopping = batches, stopping

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: Any) -> Any:
        if self.stopping and index < len(self.batches):  # behind the last one the step is done
            raise StoppedError
        return self.batches[index]


@contextlib.contextmanager
def _ending(save: Callable[[], None]) -> Iterator[None]:
    """Save and end the process if a signal stops what is done within."""
    try:
        yield
    except StoppedError:
        save()
        raise SystemExit(STOPPED) from None


@contextlib.contextmanager
def _stop_signal() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM comes (a cluster's way to say that time is up)."""
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        received[:] = [number]

    before = signal.signal(signal.SIGTERM, remember)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
