"""A whole recipe: every section, and the checks across sections."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from slamflow.settings.assets import Asset
from slamflow.settings.base import Settings
from slamflow.settings.corpora import Corpus
from slamflow.settings.evaluation import Benchmark, Evaluation
from slamflow.settings.packing import Dataset
from slamflow.settings.training import Model, Optimization
from slamflow.settings.units import Encoder

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]
RESERVED_MODELS = ("unigram", "5gram", "length")
OPTIMIZATION_KEYS = frozenset(Optimization.model_fields)


class Recipe(Settings):
    """config.yaml, or a file of recipes/."""

    recipe: Name
    """Name of the recipe; models and scores lie under it."""
    assets: dict[Name, Asset] = {}
    """Further assets, beside those of recipes/assets.yaml."""
    corpora: dict[Name, Corpus]
    """Where speech comes from."""
    encoders: dict[Name, Encoder]
    """What turns speech into units."""
    datasets: dict[Name, Dataset]
    """Token rows to train on."""
    training: Optimization = Optimization()
    """Defaults for every model."""
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    """The models to train."""
    benchmarks: dict[Name, Benchmark] = {}
    """What the models are scored on."""
    evaluation: Evaluation = Evaluation()
    """How scores are computed."""

    @model_validator(mode="before")
    @classmethod
    def models_inherit(cls, values: Any) -> Any:
        """Lay each model over the defaults of `training:`."""
        if not isinstance(values, dict):
            return values
        models, defaults = values.get("models"), values.get("training")
        if not isinstance(models, dict) or not isinstance(defaults, dict):
            return values
        known = {key: value for key, value in defaults.items() if key in OPTIMIZATION_KEYS}
        merged = {name: {**known, **model} if isinstance(model, dict) else model for name, model in models.items()}
        return {**values, "models": merged}

    @model_validator(mode="after")
    def names_exist(self) -> Recipe:
        """Every name that one section uses must be defined in another."""
        problems: list[str] = []

        def corpus_split(where: str, reference: str, spoken: bool = True) -> None:
            corpus, _, split = reference.partition("/")
            if corpus not in self.corpora:
                problems.append(f"{where}: no corpus {corpus!r}; corpora has {', '.join(self.corpora) or 'none'}")
            elif split not in self.corpora[corpus].splits:
                splits = ", ".join(f"{corpus}/{name}" for name in self.corpora[corpus].splits)
                problems.append(f"{where}: no split {reference!r}; there are {splits}")
            elif spoken and not self.corpora[corpus].splits[split].spoken:
                problems.append(f"{where}: {reference} is not spoken")

        for name, encoder in self.encoders.items():
            if (encoder.fit is None) == (encoder.codebook is None):
                problems.append(f"encoders.{name}: give either fit or codebook")
            for reference in encoder.fit.corpora if encoder.fit else []:
                corpus_split(f"encoders.{name}.fit.corpora", reference)
        if "text" in self.encoders:
            problems.append("encoders: the name text stands for the bytes of a text; choose another")
        for name, dataset in self.datasets.items():
            if dataset.encoder != "text" and dataset.encoder not in self.encoders:
                problems.append(f"datasets.{name}.encoder: no encoder {dataset.encoder!r}")
            for reference in dataset.train + dataset.validation:
                corpus_split(f"datasets.{name}", reference, spoken=dataset.encoder != "text")
        for name, model in self.models.items():
            if name in RESERVED_MODELS:
                problems.append(f"models.{name}: the name is taken by a trivial baseline")
            if model.data not in self.datasets:
                problems.append(f"models.{name}.data: no dataset {model.data!r}")
            seen = {name}
            parent = model.init
            while parent in self.models:
                if parent in seen:
                    problems.append(f"models.{name}.init: a circle of models")
                    break
                seen.add(parent)
                parent = self.models[parent].init
        for name, benchmark in self.benchmarks.items():
            if benchmark.encoder not in self.encoders:
                problems.append(f"benchmarks.{name}.encoder: no encoder {benchmark.encoder!r}")
            for part in ("dev", "test"):
                corpus_split(f"benchmarks.{name}.corpus", f"{benchmark.corpus}/{part}")
        if problems:
            raise ValueError("\n".join(problems))
        return self
