"""A whole recipe: every section, and the checks across sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from slamflow.adapters import ADAPTERS, SystemSettings
from slamflow.assets.asset import Asset
from slamflow.benchmarks import BENCHMARKS, BenchmarkSettings
from slamflow.corpora import CORPORA, CorpusSettings
from slamflow.lm.objectives import OBJECTIVES, ModelSettings, TrainingDefaults
from slamflow.recipe.base import SectionSettings, Settings, Use
from slamflow.recipe.datasets import Dataset
from slamflow.recipe.evaluation import Evaluation
from slamflow.recipe.generation import Generation
from slamflow.recipe.preferences import Preferences
from slamflow.recipe.rehearsal import Rehearsal
from slamflow.scorers import BASELINES
from slamflow.tokenizers import TOKENIZERS, TokenizerSettings
from slamflow.vocoders import VOCODERS, VocoderSettings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]
REFERENCE_CONTINUATIONS = ("truth", "shuffled")
"""Between these lie the continuations of models: the utterance's own rest, and its units shuffled."""


def _is_published(model: Any) -> str:
    """Which of the two a model's entry is, as pydantic's tag."""
    published = "adapter" in model if isinstance(model, dict) else isinstance(model, SystemSettings)
    return "tag:published" if published else "tag:trained"


AnyModel = Annotated[
    Annotated[ModelSettings, OBJECTIVES, Tag("tag:trained")]
    | Annotated[SystemSettings, ADAPTERS, Tag("tag:published")],
    Discriminator(_is_published),
]


class Recipe(Settings):
    """config.yaml, or a file of recipes/."""

    recipe: Name
    """Name of the recipe; models and scores lie under it."""
    compute: Literal["device", "core"] = "device"
    """What a job that computes with models gets: `device`, the GPU (all cores, where there is none), one job at a time;
    `core`, one core, and jobs run side by side, which is faster overall for models as small as the pocket's."""
    assets: dict[Name, Asset] = {}
    """Further assets, beside those of recipes/assets.yaml."""
    corpora: dict[Name, Annotated[CorpusSettings, CORPORA]]
    """Where speech comes from."""
    encoders: dict[Name, Annotated[TokenizerSettings, TOKENIZERS]]
    """The speech tokenizers: what turns speech into units."""
    datasets: dict[Name, Dataset] = {}
    """Token rows to train on."""
    training: TrainingDefaults = TrainingDefaults()
    """Defaults for every model that is trained on rows."""
    preferences: dict[Name, Preferences] = {}
    """Pairs of right and wrong endings."""
    models: Annotated[dict[Name, AnyModel], Field(min_length=1)]
    """The models: those to train, and published ones, which have an `adapter` and are scored only."""
    benchmarks: dict[Name, Annotated[BenchmarkSettings, BENCHMARKS]] = {}
    """What the models are scored on."""
    evaluation: Evaluation = Evaluation()
    """How scores are computed."""
    vocoders: dict[Name, Annotated[VocoderSettings, VOCODERS]] = {}
    """What turns units back into speech, by the encoder of the units."""
    generation: Generation | None = None
    """Spoken continuations of prompts; null makes none."""
    rehearsal: Rehearsal | None = None
    """Run the whole workflow in tiny sizes, under results/rehearsal/; null runs it as it stands."""

    @model_validator(mode="before")
    @classmethod
    def models_inherit(cls, values: Any) -> Any:
        """Lay each model whose objective takes them over the defaults of `training:`."""
        if not isinstance(values, dict):
            return values
        models, defaults = values.get("models"), values.get("training")
        if not isinstance(models, dict) or not isinstance(defaults, dict):
            return values
        merged = {
            name: {**_inherited(model, defaults), **model} if isinstance(model, dict) else model
            for name, model in models.items()
        }
        return {**values, "models": merged}

    @model_validator(mode="after")
    def sections_agree(self) -> Recipe:
        """Every name that one section uses must be defined in another."""
        problems = [problem for name, entry in self._entries() for problem in entry.problems(name, self)]
        if "text" in self.encoders:
            problems.append("encoders: the name text stands for the bytes of a text; choose another")
        for name in self.models:
            if name in BASELINES.names():
                problems.append(f"models.{name}: the name is taken by a baseline")
            if name in REFERENCE_CONTINUATIONS:
                problems.append(f"models.{name}: the name is taken by a reference of the continuations")
        problems += self.evaluation.problems(self)
        if self.generation is not None:
            problems += self.generation.problems(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _entries(self) -> Iterator[tuple[str, SectionSettings]]:
        """The named entries of all sections."""
        yield from self.corpora.items()
        yield from self.encoders.items()
        yield from self.datasets.items()
        yield from self.models.items()
        yield from self.benchmarks.items()
        yield from self.preferences.items()
        yield from self.vocoders.items()

    def uses(self) -> list[Use]:
        """Which part of the recipe reads which split of a corpus, each once."""
        found = [use for name, entry in self._entries() for use in entry.uses(name, self)]
        found += self.evaluation.uses(self)
        if self.generation is not None:
            found += self.generation.uses()
        return list(dict.fromkeys(found))

    def reference_problem(self, where: str, reference: str, spoken: bool = True) -> str | None:
        """What is wrong with corpus/split as the value of the key `where`; None if there is such a split."""
        name, _, split = reference.partition("/")
        if name not in self.corpora:
            return f"{where}: no corpus {name!r}; corpora has {', '.join(self.corpora) or 'none'}"
        corpus = self.corpora[name]
        if split not in corpus.splits:
            splits = ", ".join(f"{name}/{other}" for other in corpus.splits)
            return f"{where}: no split {reference!r}; there are {splits}"
        if spoken and not corpus.splits[split].is_spoken:
            return f"{where}: {reference} is not spoken"
        return None

    def stories_problem(self, where: str, reference: str, spoken: bool = True) -> str | None:
        """Like `reference_problem`, for a corpus that must hold stories."""
        name = reference.partition("/")[0]
        if name in self.corpora and self.corpora[name].holds != "stories":
            return f"{where}: {name} is of kind {self.corpora[name].kind}; only a corpus of kind stories will do here"
        return self.reference_problem(where, reference, spoken)

    def streamed(self) -> list[str]:
        """The corpus/split of recordings that are dropped once they are encoded.

        They can be fetched again (a dataset of the hub, downloaded archives), and nothing but units is made of them.
        """
        kept = {use.reference for use in self.uses() if use.what == "audio"}
        return [
            f"{name}/{split}"
            for name, corpus in self.corpora.items()
            for split in corpus.splits
            if corpus.is_streamed(split) and f"{name}/{split}" not in kept
        ]

    @property
    def trained(self) -> dict[str, ModelSettings]:
        """The models that are trained here."""
        return {name: model for name, model in self.models.items() if isinstance(model, ModelSettings)}

    @property
    def systems(self) -> dict[str, SystemSettings]:
        """The published models, which are scored and not trained."""
        return {name: model for name, model in self.models.items() if isinstance(model, SystemSettings)}

    def _origin(self, model: str) -> ModelSettings | SystemSettings | None:
        """The settings of a model, or of the one that an aligned model comes from; None if it cannot be told."""
        seen = set()
        while model in self.models and model not in seen:
            seen.add(model)
            settings = self.models[model]
            if isinstance(settings, SystemSettings) or settings.data is not None:
                return settings
            model = str(settings.init)
        return None

    def dataset_of(self, model: str) -> Dataset | None:
        """The dataset that a model was trained on, or its parent for one that is aligned; None if it cannot be told."""
        origin = self._origin(model)
        return self.datasets.get(str(origin.data)) if isinstance(origin, ModelSettings) else None

    def encoder_of(self, model: str) -> str | None:
        """The encoder whose units a model speaks, `text` for a text model; None if it cannot be told."""
        origin = self._origin(model)
        if isinstance(origin, SystemSettings):
            return origin.encoder
        dataset = self.dataset_of(model)
        return dataset.encoder if dataset else None

    def models_of(self, encoder: str) -> list[str]:
        """The models that speak the units of an encoder."""
        return [name for name in self.models if self.encoder_of(name) == encoder]


def _inherited(model: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The keys of `training:` that a model takes over; a published one has no use for any."""
    if "adapter" in model:
        return {}
    objective = model.get("objective", OBJECTIVES.default)
    keys = OBJECTIVES.settings(objective).inherited if objective in OBJECTIVES.names() else frozenset()
    # A model's own hours or tokens stand against either of the defaults.
    own = {"hours", "tokens"} if {"hours", "tokens"} & model.keys() else set()
    return {key: value for key, value in defaults.items() if key in keys and key not in own}
