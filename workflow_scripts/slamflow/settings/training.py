"""Models and how they are trained."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from slamflow.settings.base import Settings

OBSERVATION = frozenset({"validate_every", "save_every", "wandb_project"})
"""Keys that say how a training is watched and saved. The model does not depend on them, so they are no reason to train
again; a new value holds from the next training on."""


class Optimizer(Settings):
    """What pre-training and preference training have in common."""

    hours: Annotated[float | None, Field(gt=0)] = None
    """How long to train, from the first step to the last with validation and saves, on whatever device: the steps are
    planned so that the schedule ends when the time does. It stands instead of a number of tokens or epochs."""
    lengths: ClassVar[tuple[str, ...]] = ()
    """The keys that say how long the training is if `hours` does not."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "inverse_sqrt", "constant"] = "cosine"
    """What follows the warm-up."""
    min_learning_rate: Annotated[float, Field(ge=0)] = 5e-5
    """Floor of the cosine."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the steps (with hours: of the time) with a linear warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's weight decay, on matrices only."""
    betas: Annotated[list[float], Field(min_length=2, max_length=2)] = [0.9, 0.999]
    """AdamW's betas."""
    gradient_clip: Annotated[float, Field(gt=0)] = 0.5
    """Largest norm of the gradient."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Arithmetic; the weights and the optimiser's state are kept in fp32 either way."""
    validate_every: Annotated[int, Field(ge=1)] = 100
    """Steps between two validation losses; the last step has one always. A new value trains nothing again."""
    save_every: Annotated[int, Field(ge=1)] = 100
    """Steps between two saves of the training state. A new value trains nothing again."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of new weights and of the order of the rows."""
    wandb_project: str | None = None
    """Log to this Weights & Biases project as well (needs WANDB_API_KEY). A new value trains nothing again."""

    @model_validator(mode="before")
    @classmethod
    def hours_stand_alone(cls, values: Any) -> Any:
        """With hours there is no number of tokens or epochs, not even the default."""
        if not isinstance(values, dict) or values.get("hours") is None:
            return values
        for key in cls.lengths:
            if values.get(key) is not None:
                raise ValueError(f"give hours or {key}, not both (one of them may be null)")
        return {**values, **dict.fromkeys(cls.lengths)}

    @model_validator(mode="after")
    def length_is_known(self) -> Optimizer:
        if self.lengths and self.hours is None and all(getattr(self, key) is None for key in self.lengths):
            raise ValueError(f"give {' or '.join(self.lengths)} or hours")
        return self

    @model_validator(mode="after")
    def schedule_is_possible(self) -> Optimizer:
        if self.schedule == "cosine" and self.min_learning_rate > self.learning_rate:
            raise ValueError("min_learning_rate is above learning_rate")
        if self.schedule == "inverse_sqrt" and self.hours is not None and self.warmup == 0:
            raise ValueError("inverse_sqrt with hours needs a warmup: the rate falls with the time counted in warm-ups")
        return self


class Optimization(Optimizer):
    """How a model is optimised; `training:` sets the defaults and each model may say otherwise."""

    lengths: ClassVar[tuple[str, ...]] = ("tokens",)
    tokens: Annotated[int | None, Field(ge=1)] = 1_000_000
    """How many positions the model is trained on in all, padding included."""
    batch_tokens: Annotated[int, Field(ge=1)] = 8192
    """Positions per optimiser step, over all devices."""


class Model(Optimization):
    """One model of the recipe, resolved with the defaults of `training:`."""

    init: str | None = None
    """`scratch`, another model of this recipe (a text model, for TWIST), an asset, or a folder with a transformers
    causal LM."""
    architecture: dict[str, Any] | None = None
    """For init scratch: the transformers configuration (`model_type` and its keys)."""
    layers: Annotated[int | None, Field(ge=1)] = None
    """Keep only the first layers of the text model."""
    embeddings: Literal["first_rows", "random"] = "first_rows"
    """Embeddings of a warm start: the first rows of the text model's (as SlamKit does), or new ones."""
    rope_theta: Annotated[float | None, Field(gt=0)] = None
    """Override the base of the rotary position embedding."""
    data: str | None = None
    """The dataset (of `datasets:`) to train on."""

    @model_validator(mode="after")
    def start_is_clear(self) -> Model:
        if self.init is None:
            raise ValueError("say where the model starts: init: scratch, an asset, a folder or another model")
        if (self.init == "scratch") != (self.architecture is not None):
            raise ValueError("architecture belongs to init: scratch, and is needed there")
        if self.init == "scratch" and self.layers is not None:
            raise ValueError("layers belongs to a warm start; for scratch set it in architecture")
        if self.data is None:
            raise ValueError("say what the model is trained on: data: a name of datasets:")
        return self


class Preference(Optimizer):
    """A model trained to prefer the right ending of a pair to the wrong one (DPO): an entry of `models:` with the key
    `pairs`. The defaults of `training:` are for pre-training and do not concern it."""

    lengths: ClassVar[tuple[str, ...]] = ("epochs", "steps")
    pairs: str
    """The pairs (of `preferences:`)."""
    init: str
    """The model of this recipe that it starts from and is compared with."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """How dear it is to move away from the model it started from."""
    nll_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the right ending's mean negative log-likelihood per token, which is added to the loss of its pair and
    keeps that ending likely (Pang et al. 2024, arXiv:2404.19733, equation 1); 0 is plain DPO."""
    epochs: Annotated[int | None, Field(ge=1)] = 1
    """How often each pair is seen. With hours: as often, or as few of them, as the time allows."""
    steps: Annotated[int | None, Field(ge=1)] = None
    """Optimiser steps, in place of what `epochs` come to."""
    pairs_per_step: Annotated[int, Field(ge=1)] = 16
    """Pairs per optimiser step, over all devices."""
    context: Annotated[int, Field(ge=4, le=131072)] = 1024
    """Longest sequence, in tokens; pairs with a longer one are left out and counted."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    """Peak learning rate."""
    schedule: Literal["cosine", "inverse_sqrt", "constant"] = "inverse_sqrt"
    """What follows the warm-up."""
    min_learning_rate: Annotated[float, Field(ge=0)] = 0.0
    """Floor of the cosine."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps with a linear warm-up."""
