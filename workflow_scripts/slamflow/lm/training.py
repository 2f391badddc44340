"""A whole training: from its inputs to the model's folder, whatever the objective."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from slamflow.lm import state
from slamflow.lm.devices import Machine, Ranks
from slamflow.lm.export import training_record, versions, write_model_folder
from slamflow.lm.job_settings import TrainModel
from slamflow.lm.loop import train
from slamflow.lm.model import parent_digest
from slamflow.lm.objective import Inputs
from slamflow.lm.objectives import MONITORING_KEYS, OBJECTIVES

KEYS_THAT_DO_NOT_AFFECT_WEIGHTS = MONITORING_KEYS | {"init", "data", "pairs"}
"""What init, data and pairs name is in the fingerprint by its content."""


def train_model(
    job: TrainModel,
    inputs: Inputs,
    machine: Machine,
    ranks: Ranks,
    state_folder: Path,
    output: Path,
    code: str,
) -> dict[str, Any]:
    """Train a model and write its folder; returns what training.json says.

    `code` is a digest of the command's code; with the settings, the versions and the digests of the data and the parent
    it decides whether a saved state is of this training. The saves are removed once the model is written. Raises
    InputError for inputs that do not fit, or while another process trains in `state_folder`.
    """
    settings = job.model
    with state.locked(state_folder) if ranks.main else contextlib.nullcontext():
        ranks.barrier()
        prepared = OBJECTIVES.module(settings.objective).prepare(job, inputs, machine, ranks)
        values = settings.model_dump()
        parent = parent_digest(inputs.parent) if inputs.parent else None
        fingerprint = {
            **{f"settings.{key}": value for key, value in values.items() if key not in KEYS_THAT_DO_NOT_AFFECT_WEIGHTS},
            **{f"data.{key}": value for key, value in prepared.data.items()},
            **{f"versions.{key}": value for key, value in versions().items()},
            "vocabulary": prepared.speech["vocabulary"],
            "parent": parent,
            "code": code,
        }
        parameters = sum(parameter.numel() for parameter in prepared.model.parameters())
        trained = train(prepared.model, prepared.objective, settings, machine, ranks, state_folder, fingerprint)
        record = training_record(
            parameters,
            trained,
            ranks,
            recipe=job.recipe,
            model=job.name,
            init=settings.init,
            seed=settings.seed,
            settings=values,
            data=prepared.data,
            parent=parent,
            **(vars(prepared.way) if prepared.way else {}),
            **prepared.record,
        )
        if ranks.main:
            write_model_folder(prepared.model, prepared.speech, record, trained, output)
            state.clear(state_folder)
        ranks.barrier()
    return record
