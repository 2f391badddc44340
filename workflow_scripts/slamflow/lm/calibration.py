"""How fast this device trains a model, and how many rows it should take at once.

The steps that are timed are the training loop's own (`slamflow.lm.loop.optimize`) on the real model, at the full
batch. Nothing of the experiment depends on what is found; only its time does.
"""

from __future__ import annotations

import gc
import logging
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch._dynamo.exc import TorchDynamoException

from slamflow.errors import InputError
from slamflow.lm.devices import Machine, Ranks, device_name
from slamflow.lm.engine import make_engine
from slamflow.lm.export import versions
from slamflow.lm.flops import training_flops_per_token
from slamflow.lm.job_settings import TrainModel
from slamflow.lm.loop import optimize
from slamflow.lm.objective import Inputs, Prepared
from slamflow.lm.objectives import OBJECTIVES, ModelSettings
from slamflow.lm.peaks import peak_of
from slamflow.lm.zero import WHOLE, Layout, layouts
from slamflow.packing import pack_files
from slamflow.recipe.datasets import PackTokens, VocabularySettings
from slamflow.shards.rows import Rows

log = logging.getLogger("slamflow")
WARM_UP_STEPS, TIMED_STEPS = 2, 3
AS_FAST = 0.98
"""A micro-batch counts as the fastest if it reaches this share of the best rate."""
FALLING = 0.9
"""Below this share of the best rate larger micro-batches are not tried."""
MEMORY_SHARE = 0.92
"""Of the device's memory, how much a training may take in the timed steps: another batch may need a little more."""
ROOM = 16
"""Random documents are packed into this many rows."""


@dataclass(frozen=True)
class Measured:
    """One micro-batch, timed."""

    rows: int
    seconds_per_step: float
    peak_memory_mb: int
    """Of the device, the largest of all ranks; on a CPU of the process, and of all it has done so far."""
    attention: str = ""
    compiled: bool = False


def micro_batches(rows: int) -> list[int]:
    """How many rows to try at once, of `rows` that a device gets in a step: about 1, 2, 4, ..., all.

    Each divides the step into parts that are as equal as can be.
    """
    sizes = set()
    size = 1
    while size < rows:
        parts = -(-rows // size)
        sizes.add(-(-rows // parts))
        size *= 2
    return sorted(sizes | {rows})


def choose(measured: list[Measured], memory_mb: float | None) -> Measured | None:
    """The largest of the fastest micro-batches that leave some memory; None if none does."""
    fit = [one for one in measured if memory_mb is None or one.peak_memory_mb <= MEMORY_SHARE * memory_mb]
    if not fit:
        return None
    best = min(one.seconds_per_step for one in fit)
    return max((one for one in fit if one.seconds_per_step * AS_FAST <= best), key=lambda one: one.rows)


def candidates(ranks: Ranks, optimizer: str) -> list[Layout]:
    """What is tried until something fits, the fastest first.

    On a CPU there is no other memory to save. Muon works with ZeRO stage 0 only.
    """
    if optimizer == "muon":
        return [WHOLE]
    return [layout for layout in layouts(ranks.count) if not layout.offload or ranks.device.type == "cuda"]


def random_rows(folder: Path, context: int, units: int, document_tokens: int, seed: int = 0) -> Path:
    """A folder of rows of random documents of `document_tokens` units, packed below `folder` as the real ones are."""
    random = np.random.default_rng(seed)
    each = max(1, min(document_tokens, context - 2))
    count = max(1, ROOM * context // (each + 2))
    documents = [random.integers(0, units, each).tolist() for _ in range(count)]
    shard = folder / "documents.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    table = {"id": [f"{number:06d}" for number in range(count)], "units": pa.array(documents, pa.list_(pa.uint32()))}
    pq.write_table(pa.table(table), shard)
    rows = folder / "rows"
    pack_files([shard], PackTokens(context=context, vocabulary=VocabularySettings(units=units), seed=seed), rows)
    return rows


def calibrate(
    job: TrainModel,
    inputs: Inputs,
    machine: Machine,
    ranks: Ranks,
    most_seconds: float = 300.0,
) -> dict[str, Any]:
    """Try micro-batches, and ways to attend, and return the best for this device, as JSON values.

    What takes less memory of the device and is slower (`candidates`) is tried only if ZeRO stage 0 does not fit. No
    further micro-batch is begun after `most_seconds`. A model that cannot be compiled is measured, and will be trained,
    as it is. Raises InputError if not even one row fits, or without rows to train on.
    """
    if inputs.train is None:
        raise InputError("a calibration needs rows: give --train")
    context = Rows(inputs.train).context
    prepare = partial(OBJECTIVES.module(job.model.objective).prepare, job, inputs)
    prepared: Prepared = prepare(machine, ranks)
    tokens_per_step, steps = prepared.objective.tokens_per_step, prepared.objective.steps
    parameters = sum(parameter.numel() for parameter in prepared.model.parameters())
    per_token = training_flops_per_token(prepared.model, context)
    del prepared
    memory = _memory_mb(ranks.device)
    if memory is not None:
        memory = -ranks.largest(-memory)
        share_memory(ranks)
    attempt = partial(_attempt, prepare, job.model, context, tokens_per_step, ranks)
    sizes = micro_batches(-(-(tokens_per_step // context) // ranks.count))
    if ranks.device.type == "cuda":
        # What a device is left with less than this for was never worth it; compiling takes a minute for each.
        smaller = [size for size in sizes[:-1] if size * context < Machine.micro_batch_tokens]
        sizes = [size for size in sizes if size not in smaller]
    else:
        smaller = []
    tried: list[dict[str, Any]] = []
    chosen = None
    for stage, offload in candidates(ranks, job.model.optimizer):
        asked = replace(machine, zero_stage=stage, offload=offload)
        measured = None
        try:
            measured = _ladder(attempt, sizes, smaller, asked, ranks, most_seconds)
        except TorchDynamoException as error:
            if machine.compile is not None:
                raise
            log.warning("the model cannot be compiled, so it is trained as it is: %s", str(error).strip()[:300])
        if measured is None:  # not above, where the error still holds what was on the device
            _free(ranks.device)
            machine = replace(machine, compile=False, attention=machine.attention or "sdpa")
            asked = replace(machine, zero_stage=stage, offload=offload)
            measured = _ladder(attempt, sizes, smaller, asked, ranks, most_seconds)
        chosen = choose(measured, memory)
        if chosen is not None and chosen.attention == "flex_attention" and machine.attention is None:
            # Which is faster depends on the card and on how long the documents are.
            other = attempt(replace(asked, attention="sdpa"), chosen.rows)
            measured += [other] if other else []
            chosen = choose([one for one in measured if one.rows == chosen.rows], memory) or chosen
        tried += [{"zero_stage": stage, "offload": offload, **vars(one)} for one in measured]
        if chosen is not None:
            break
    if chosen is None:
        raise InputError(
            f"not even one row of {context} positions fits {device_name(ranks.device)} ({memory:.0f} MB); "
            "take a shorter context, a smaller model, or more devices"
        )
    peak = peak_of(ranks.device, job.model.precision)
    tokens_per_second = tokens_per_step / chosen.seconds_per_step
    each = -(-(tokens_per_step // context) // ranks.count)
    if job.model.hours is not None:
        steps = round(job.model.hours * 3600 / chosen.seconds_per_step)
    return {
        "device": device_name(ranks.device),
        "ranks": ranks.count,
        "memory_mb": memory,
        "versions": versions(),
        "parameters": parameters,
        "context": context,
        "tokens_per_step": tokens_per_step,
        "micro_batch_tokens": chosen.rows * context,
        "accumulation": -(-each // chosen.rows),
        "zero_stage": stage,
        "attention": chosen.attention,
        "compile": chosen.compiled,
        "offload": offload,
        "seconds_per_step": round(chosen.seconds_per_step, 4),
        "tokens_per_second": round(tokens_per_second, 1),
        "peak_memory_mb": chosen.peak_memory_mb,
        "flops_per_token": per_token,
        "tflops": round(per_token * tokens_per_second / 1e12, 3),
        "mfu": round(per_token * tokens_per_second / (peak * ranks.count), 4) if peak else None,
        "hours": round(steps * chosen.seconds_per_step / 3600, 3),
        "steps": steps,
        "tokens": steps * tokens_per_step,
        "tried": tried,
    }


def _ladder(
    attempt: Callable[[Machine, int], Measured | None],
    sizes: list[int],
    smaller: list[int],
    machine: Machine,
    ranks: Ranks,
    most_seconds: float,
) -> list[Measured]:
    """Time one micro-batch after the other until memory, speed or time ends it; the `smaller` ones if none fits."""
    began = time.monotonic()
    measured: list[Measured] = []
    for size in sizes:
        found = attempt(machine, size)
        if found is None:
            break
        measured.append(found)
        seconds = found.seconds_per_step
        best = min(other.seconds_per_step for other in measured)
        slower, spent = ranks.sum(seconds * FALLING > best, time.monotonic() - began)
        if slower == ranks.count or spent / ranks.count > most_seconds:
            break
    for size in [] if measured else reversed(smaller):
        found = attempt(machine, size)
        if found is not None:
            return [found]
    return measured


def _attempt(
    prepare: Callable[[Machine, Ranks], Prepared],
    settings: ModelSettings,
    context: int,
    tokens_per_step: int,
    ranks: Ranks,
    machine: Machine,
    rows: int,
) -> Measured | None:
    """Time one micro-batch of some rows; None if it is too much for the memory of some rank."""
    torch.compiler.reset()
    machine = replace(machine, micro_batch_tokens=rows * context)
    prepared = prepare(machine, ranks)
    way = prepared.way
    seconds, peak_memory_mb, too_much = 0.0, 0, 0.0
    try:
        seconds, peak_memory_mb = _measure(prepared, settings, machine, ranks)
    except torch.OutOfMemoryError:
        too_much = 1.0
    del prepared
    _free(ranks.device)
    # Too much for one is too much for all.
    if ranks.largest(too_much):
        log.info("%d rows at once: too much for the memory", rows)
        return None
    peak_memory_mb = round(ranks.largest(peak_memory_mb))
    attention, compiled = (way.attention, way.compiled) if way else ("", False)
    said = f" with {attention}{', compiled' if compiled else ''}" if way else ""
    log.info("%d rows at once%s: %.0f tokens/s, %d MB", rows, said, tokens_per_step / seconds, peak_memory_mb)
    return Measured(rows, seconds, peak_memory_mb, attention, compiled)


def share_memory(ranks: Ranks) -> None:
    """Let each rank have as much of its device as the rank that can have least.

    The ranks do the same with tensors of the same sizes, so all run out of memory at the same one. If one did while the
    others went on, these would wait for it in a sum for ever.
    """
    if ranks.count == 1:
        return
    free, total = torch.cuda.mem_get_info(ranks.device)
    least = -ranks.largest(-(free + torch.cuda.memory_reserved(ranks.device)) / total)
    torch.cuda.set_per_process_memory_fraction(least, ranks.device)


def _measure(prepared: Prepared, settings: ModelSettings, machine: Machine, ranks: Ranks) -> tuple[float, int]:
    """Time a few whole steps: seconds of a step, and the peak of memory in MB."""
    objective = prepared.objective
    engine = make_engine(prepared.model, settings, machine, ranks, len(objective.micro_batches(0)))
    cuda = ranks.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(ranks.device)
    seconds = []
    for step in range(WARM_UP_STEPS + TIMED_STEPS):
        began = time.monotonic()
        batches = objective.micro_batches(step)
        (count,) = ranks.sum(sum(objective.count(batch) for batch in batches))
        optimize(engine, objective, batches, count, settings, machine, ranks)
        if cuda:
            torch.cuda.synchronize(ranks.device)
        seconds.append(time.monotonic() - began)
    (total,) = ranks.sum(statistics.median(seconds[WARM_UP_STEPS:]))
    peak = (
        torch.cuda.max_memory_reserved(ranks.device)
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return total / ranks.count, round(peak / 1e6)


def _memory_mb(device: torch.device) -> float | None:
    """The device's memory; None on a CPU, whose memory others use too."""
    if device.type != "cuda":
        return None
    return round(torch.cuda.get_device_properties(device).total_memory / 1e6)


def _free(device: torch.device) -> None:
    """Give back what an engine held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
