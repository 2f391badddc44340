"""Next-token prediction on packed rows: from scratch, or from a text model (TWIST, Hassid et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from slamflow.errors import InputError
from slamflow.lm.objectives import Amount, ModelSettings, TrainingDefaults

if TYPE_CHECKING:
    from slamflow.jobs.results import Results
    from slamflow.jobs.sources import Sources
    from slamflow.lm.devices import Machine, Ranks
    from slamflow.lm.job_settings import TrainModel
    from slamflow.lm.objective import Inputs, Prepared
    from slamflow.recipe.recipe import Recipe


class NextTokenModel(ModelSettings, TrainingDefaults):
    """A model that is trained to predict the next token of rows; the defaults are those of `training:`."""

    inherited: ClassVar[frozenset[str]] = frozenset(TrainingDefaults.model_fields)
    objective: Literal["next_token"] = "next_token"
    """Next-token prediction; the default."""
    init: str | None = None
    """`scratch`, another model of this recipe (a text model, for TWIST), an asset, or a folder with a transformers
    causal LM."""
    architecture: dict[str, Any] | None = None
    """For init scratch: the transformers configuration (`model_type` and its keys). Dropout is none but where a key
    here says so."""
    depth_scaled: list[str] = []
    """For init scratch: names of the layers' matrices, such as [o_proj, down_proj], that are drawn with a standard
    deviation of `initializer_range` / sqrt(2 x layers), as GPT-2's residual projections are."""
    layers: Annotated[int | None, Field(ge=1)] = None
    """Keep only the first layers of the text model."""
    embeddings: Literal["first_rows", "random"] = "first_rows"
    """Embeddings of a warm start: the first rows of the text model's (as SlamKit does), or new ones."""
    rope_theta: Annotated[float | None, Field(gt=0)] = None
    """Override the base of the rotary position embedding."""
    data: str | None = None
    """The dataset (of `datasets:`) to train on."""

    @model_validator(mode="after")
    def start_is_clear(self) -> NextTokenModel:
        if self.init is None:
            raise ValueError("say where the model starts: init: scratch, an asset, a folder or another model")
        if (self.init == "scratch") != (self.architecture is not None):
            raise ValueError("architecture belongs to init: scratch, and is needed there")
        if self.init != "scratch" and self.depth_scaled:
            raise ValueError("depth_scaled belongs to init: scratch")
        if self.init == "scratch" and self.layers is not None:
            raise ValueError("layers belongs to a warm start; for scratch set it in architecture")
        if self.data is None:
            raise ValueError("say what the model is trained on: data: a name of datasets:")
        return self

    def inputs(self, recipe: Recipe, results: Results) -> dict[str, list[str]]:
        data = str(self.data)
        dataset = recipe.datasets[data]
        parts = [part for part in results.parts(data) if part != "train"]
        return {
            "train": results.rows(data, "train"),
            "validation": [file for part in parts for file in results.rows(data, part)],
            "tokenizer": [] if dataset.is_text else [f"<results>/units/{dataset.encoder}/codebook.json"],
        }

    def flags(self, recipe: Recipe, files: Mapping[str, list[str]]) -> list[str]:
        flags = ["--train", str(Path(files["train"][0]).parent)]
        folders = dict.fromkeys(str(Path(file).parent) for file in files["validation"])
        for name, folder in zip(recipe.datasets[str(self.data)].validation, folders, strict=True):
            flags += ["--validation", f"{name}={folder}"]
        return [*flags, "--tokenizer", *files["tokenizer"]] if files["tokenizer"] else flags

    def amount(self, recipe: Recipe, tokens_of: Callable[[str], float | None]) -> Amount:
        dataset = recipe.datasets[str(self.data)]
        context = dataset.context
        step = max(1, round(self.batch_tokens / context)) * context
        whole = math.ceil(self.tokens / step) * step if self.tokens is not None else None
        # How much text there is, is not known.
        validation = [None if dataset.is_text else tokens_of(reference) for reference in dataset.validation]
        known = [tokens for tokens in validation if tokens is not None]
        return Amount(context, whole, step, sum(known) if len(known) == len(validation) else None)

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        if self.init != "scratch":
            yield from sources.model_problems(f"{key}.init", str(self.init))

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:
        yield from super().problems(name, recipe)
        if self.data not in recipe.datasets:
            yield f"models.{name}.data: no dataset {self.data!r}"
        if self.init in recipe.systems:
            yield f"models.{name}.init: {self.init} is a published model; only a model of pairs can start from it"


def prepare(job: TrainModel, inputs: Inputs, machine: Machine, ranks: Ranks) -> Prepared:
    """The model at its start, and its rows. Raises InputError for rows of different vocabularies."""
    from slamflow import files
    from slamflow.lm.compilation import make_fast
    from slamflow.lm.initial import build_model
    from slamflow.lm.next_token_loss import NextToken
    from slamflow.lm.objective import Prepared
    from slamflow.lm.speech import speech_record
    from slamflow.shards.rows import Rows

    settings = job.model
    assert isinstance(settings, NextTokenModel)
    if inputs.train is None:
        raise InputError("next-token prediction needs rows: give --train")
    rows = Rows(inputs.train)
    validation = {name: Rows(folder) for name, folder in inputs.validation.items()}
    for name, other in validation.items():
        if other.vocabulary != rows.vocabulary:
            raise InputError(f"--validation {name}: {other.folder} has another vocabulary than {rows.folder}")
    model = build_model(settings, rows.vocabulary, rows.context, inputs.parent)
    way = make_fast(model, machine, ranks.device, settings.precision)
    objective = NextToken(
        rows, validation, settings, way.attention, machine.micro_batch_tokens, ranks, way.fixed_shapes
    )
    tokenizer = job.tokenizer.model_dump(mode="json") if job.tokenizer else None
    codebook = files.read_json(inputs.tokenizer) if inputs.tokenizer else None
    return Prepared(
        model,
        objective,
        speech_record(rows.vocabulary, job.name, job.encoder, tokenizer, codebook),
        {"train": rows.digest, **{f"validation.{name}": part.digest for name, part in validation.items()}},
        way=way,
    )
