"""Objectives: what a language model is trained to do. Each kind is a module; what they share is here.

A kind's module has a settings class, derived from `ModelSettings` or, if it learns from pairs, `PairsModelSettings`,
and one function:

    prepare(job, inputs, machine, ranks) -> Prepared

`job` is the TrainModel of slamflow.lm.job_settings, `inputs` say where the files of the command train lie. It gives the
model, the objective that the loop minimizes, and what speech.json and training.json say of them: see
slamflow.lm.objective. The files and flags come from `inputs` and `flags` of the settings class. For pairs all but the
loss is there: `prepare_on_pairs` of slamflow.lm.preference_loss.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from slamflow.kinds import Family
from slamflow.recipe.base import SectionSettings, Settings

if TYPE_CHECKING:
    from slamflow.jobs.results import Results
    from slamflow.recipe.recipe import Recipe

MONITORING_KEYS = frozenset({"validate_every", "validation_share", "save_every", "wandb_project"})
"""Keys that say how a training is monitored and saved. The model does not depend on them: a new value does not trigger
a rerun, and takes effect in the next training."""


class TrainingSettings(Settings):
    """How weights are optimized, whatever the objective."""

    lengths: ClassVar[tuple[str, ...]] = ()
    """The keys that say how long the training is if `hours` does not."""

    hours: Annotated[float | None, Field(gt=0)] = None
    """A fixed time budget, from the first step to the last with validation and saves, on any device: the schedule ends
    when the time does. It replaces a number of tokens, steps or epochs."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon` orthogonalizes the steps of the matrices inside the model (Jordan et al. 2024), at AdamW's scale, and
    leaves embeddings, output and norms to AdamW. It works with ZeRO stage 0 only."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "inverse_sqrt", "constant"] = "cosine"
    """What follows the warm-up."""
    min_learning_rate: Annotated[float, Field(ge=0)] = 5e-5
    """Floor of the cosine."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the steps (with hours: of the time) with a linear warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """The optimizer's weight decay, on matrices only."""
    betas: Annotated[list[float], Field(min_length=2, max_length=2)] = [0.9, 0.999]
    """AdamW's betas."""
    gradient_clip: Annotated[float, Field(gt=0)] = 0.5
    """Largest norm of the gradient."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Arithmetic; the weights and the optimizer's state are kept in fp32 either way."""
    validate_every: Annotated[int, Field(ge=1)] = 100
    """Steps between two validation losses; the last step has one always. A new value does not trigger a rerun."""
    validation_share: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Largest share of the training that the validations on the way take, by the operations they cost: a fixed part of
    the rows, evenly spread, is taken. The last validation takes all of them. A new value does not trigger a rerun."""
    save_every: Annotated[int, Field(ge=1)] = 100
    """Steps between two saves of the training state. A new value does not trigger a rerun."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of new weights and of the order of the data."""
    wandb_project: str | None = None
    """Log to this Weights & Biases project as well (needs WANDB_API_KEY). A new value does not trigger a rerun."""

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
    def length_is_known(self) -> TrainingSettings:
        if self.lengths and self.hours is None and all(getattr(self, key) is None for key in self.lengths):
            raise ValueError(f"give {' or '.join(self.lengths)} or hours")
        return self

    @model_validator(mode="after")
    def schedule_is_possible(self) -> TrainingSettings:
        if self.schedule == "cosine" and self.min_learning_rate > self.learning_rate:
            raise ValueError("min_learning_rate is above learning_rate")
        if self.schedule == "inverse_sqrt" and self.hours is not None and self.warmup == 0:
            raise ValueError("inverse_sqrt with hours needs a warmup: the rate falls with the time counted in warm-ups")
        return self


class TrainingDefaults(TrainingSettings):
    """Defaults for every model that is trained on rows; each model may say otherwise."""

    lengths: ClassVar[tuple[str, ...]] = ("tokens",)
    tokens: Annotated[int | None, Field(ge=1)] = 1_000_000
    """Positions that the model is trained on in total, padding included."""
    batch_tokens: Annotated[int, Field(ge=1)] = 8192
    """Positions per optimizer step, over all devices."""


class Amount(NamedTuple):
    """How much a training takes, as far as the recipe says."""

    context: int
    """Positions over which attention goes, at most."""
    tokens: float | None
    """Of the whole training; None if `hours` say how long it is, or if it is not known."""
    tokens_per_step: float | None
    validation_tokens: float | None = 0.0
    """Positions of a validation that takes all rows; None if that is not known."""


class ModelSettings(TrainingSettings, SectionSettings):
    """One model of the recipe."""

    inherited: ClassVar[frozenset[str]] = frozenset()
    """The keys of the section `training:` that are its defaults."""
    is_aligned: ClassVar[bool] = False
    """Whether it aligns the model that it starts from, which it is then compared with."""
    flops_factor: ClassVar[float] = 1.0
    """Operations per token, relative to next-token prediction."""
    objective: str
    """What the model is trained to do."""
    init: str | None = None
    """Where its weights come from."""
    data: str | None = None
    """The dataset that it is trained on, if it is trained on rows."""

    @abstractmethod
    def inputs(self, recipe: Recipe, results: Results) -> dict[str, list[str]]:
        """The files of its training besides the parent's, by name."""

    @abstractmethod
    def flags(self, recipe: Recipe, files: Mapping[str, list[str]]) -> list[str]:
        """The arguments of the command train for those files."""

    @abstractmethod
    def amount(self, recipe: Recipe, tokens_of: Callable[[str], float | None]) -> Amount:
        """How much the training takes, for the estimate. `tokens_of` tells the tokens of a corpus/split."""

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:
        parents = {name}
        parent = self.init
        while parent in recipe.trained:
            if parent in parents:
                yield f"models.{name}.init: a circle of models"
                return
            parents.add(parent)
            parent = recipe.trained[parent].init


class PairsModelSettings(ModelSettings):
    """A model that learns from pairs of a right and a wrong ending. The defaults of `training:` do not apply to it."""

    lengths: ClassVar[tuple[str, ...]] = ("epochs", "steps")
    is_aligned: ClassVar[bool] = True
    one_ending: ClassVar[float] = 0.79
    """Of a story that is spoken with both endings, the prompt and one of them; measured in the pocket: 11.15 of 14.19 s
    (docs/results.md)."""
    pairs: str
    """The pairs (of `preferences:`)."""
    init: str
    """The model of this recipe that it starts from and is compared with."""
    epochs: Annotated[int | None, Field(ge=1)] = 1
    """How often each pair is seen. With hours: as often as the time allows, perhaps less than once."""
    steps: Annotated[int | None, Field(ge=1)] = None
    """Optimizer steps, in place of what `epochs` come to."""
    pairs_per_step: Annotated[int, Field(ge=1)] = 16
    """Pairs per optimizer step, over all devices."""
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

    def inputs(self, recipe: Recipe, results: Results) -> dict[str, list[str]]:  # noqa: ARG002
        encoder = recipe.preferences[self.pairs].encoder
        return {
            "pairs": [f"<results>/preferences/{encoder}/{self.pairs}.parquet"],
            "speech": [f"<results>/models/{recipe.recipe}/{self.init}/speech.json"],
        }

    def flags(self, recipe: Recipe, files: Mapping[str, list[str]]) -> list[str]:  # noqa: ARG002
        return ["--pairs", *files["pairs"]]

    def amount(self, recipe: Recipe, tokens_of: Callable[[str], float | None]) -> Amount:
        pairs = recipe.preferences[self.pairs]
        corpus, _, split = pairs.reference.partition("/")
        told = tokens_of(pairs.reference)
        stories = getattr(recipe.corpora[corpus].splits.get(split), "stories", None)
        if told is None or stories is None:
            return Amount(self.context, None, None)
        length = told / stories * self.one_ending
        step = 2 * length * self.pairs_per_step
        steps = self.steps
        if steps is None and self.epochs is not None:
            steps = math.ceil(self.epochs * stories * len(pairs.negatives) / self.pairs_per_step)
        # Pairs are padded to the longest of a batch, so `context` bounds attention from above.
        return Amount(min(self.context, math.ceil(length)), None if steps is None else steps * step, step)

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:
        yield from super().problems(name, recipe)
        if self.pairs not in recipe.preferences:
            known = ", ".join(recipe.preferences) or "none"
            yield f"models.{name}.pairs: no preferences {self.pairs!r}; there are {known}"
        if self.init not in recipe.models:
            yield f"models.{name}.init: no model {self.init!r} to start from"
        elif self.pairs in recipe.preferences:
            spoken, told = recipe.encoder_of(name), recipe.preferences[self.pairs].encoder
            if spoken not in (None, told):
                yield f"models.{name}.pairs: {self.pairs} has units of {told}, but {self.init} speaks those of {spoken}"


OBJECTIVES = Family(
    "objectives",
    {
        "next_token": "slamflow.lm.objectives.next_token:NextTokenModel",
        "dpo": "slamflow.lm.objectives.dpo:DpoModel",
    },
    key="objective",
    default="next_token",
)
