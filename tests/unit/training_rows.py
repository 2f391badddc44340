"""Rows and tiny models for the tests of training."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow.lm import devices
from slamflow.lm.devices import Machine
from slamflow.lm.job_settings import TrainModel
from slamflow.lm.objective import Inputs
from slamflow.lm.objectives import ModelSettings
from slamflow.lm.objectives.next_token import NextTokenModel
from slamflow.lm.training import train_model
from slamflow.packing import pack_files
from slamflow.recipe.base import canonical
from slamflow.recipe.datasets import PackTokens, VocabularySettings
from slamflow.shards.rows import Rows
from slamflow.vocabulary import Vocabulary

UNITS = 30
VOCABULARY = Vocabulary(units=UNITS)
CONTEXT = 48
LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


@functools.cache
def ranks() -> devices.Ranks:
    """This process as the only one of a training."""
    return devices.start(threads=1)


def documents(count: int, seed: int) -> list[list[int]]:
    """Unit sequences of 1 to 60 units in which each unit says a good deal about the next."""
    random = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        units = [int(random.integers(UNITS))]
        for step in random.choice([1, 2, 7], p=[0.8, 0.15, 0.05], size=int(random.integers(0, 60))):
            units.append((units[-1] + int(step)) % UNITS)
        result.append(units)
    return result


def write_rows(folder: Path, count: int = 60, seed: int = 0, context: int = CONTEXT) -> Path:
    """Pack `count` documents into rows with the project's own packer."""
    shard = folder.with_suffix(".parquet")
    shard.parent.mkdir(parents=True, exist_ok=True)
    units = documents(count, seed)
    ids = [f"{number:04d}" for number in range(count)]
    pq.write_table(pa.table({"id": ids, "units": pa.array(units, pa.list_(pa.uint16()))}), shard)
    pack_files([shard], PackTokens(context=context, vocabulary=VocabularySettings(units=UNITS), seed=0), folder)
    return folder


def rows(folder: Path, **options: Any) -> Rows:
    """Packed rows, opened."""
    return Rows(write_rows(folder, **options))


def settings(**changes: Any) -> NextTokenModel:
    """Settings of a tiny model from scratch: 12 steps of 4 rows, in fp32."""
    values = {
        "init": "scratch",
        "architecture": LLAMA,
        "data": "speech",
        "tokens": 12 * 4 * CONTEXT,
        "batch_tokens": 4 * CONTEXT,
        "learning_rate": 1e-2,
        "min_learning_rate": 1e-3,
        "precision": "fp32",
        "validate_every": 6,
        "save_every": 4,
        **changes,
    }
    return NextTokenModel.model_validate(values)


def job(model: ModelSettings) -> TrainModel:
    """Settings of a job that trains a model."""
    return TrainModel(recipe="tiny", name="model", model=model)


def json_of(model: ModelSettings) -> str:
    """The same as the argument --settings."""
    return canonical(job(model))


def train(model: ModelSettings, inputs: Inputs, state: Path, output: Path, machine: Machine | None = None) -> None:
    """Train a tiny model in this process."""
    train_model(job(model), inputs, machine or Machine(threads=1), ranks(), state, output, "code")
