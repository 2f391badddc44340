"""A whole recipe: every section, and the checks across sections."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from slamflow.settings.assets import Asset
from slamflow.settings.audio import AudioArchive, AudioFolder, HubAudio, LibriSpeech
from slamflow.settings.base import Settings
from slamflow.settings.corpora import MinimalPairCorpus, PairTask, StoryCorpus, StorySplit
from slamflow.settings.evaluation import Benchmark, Evaluation
from slamflow.settings.generation import Generation
from slamflow.settings.packing import Dataset
from slamflow.settings.preferences import Preferences
from slamflow.settings.rehearsal import Rehearsal
from slamflow.settings.spoken_pairs import SpokenPairCorpus
from slamflow.settings.training import Model, Optimization, Preference
from slamflow.settings.units import Encoder
from slamflow.settings.vocoder import AnyVocoder, Vocoder

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]
RESERVED_MODELS = ("unigram", "5gram", "length")
BASELINE_CONTINUATIONS = ("truth", "shuffled")
OPTIMIZATION_KEYS = frozenset(Optimization.model_fields)


def _kind_of_model(values: Any) -> str:
    """A model with pairs is trained on preferences, any other on rows of tokens."""
    has_pairs = "pairs" in values if isinstance(values, dict) else isinstance(values, Preference)
    return "tag:preference" if has_pairs else "tag:pretrained"


AnyModel = Annotated[
    Annotated[Model, Tag("tag:pretrained")] | Annotated[Preference, Tag("tag:preference")],
    Discriminator(_kind_of_model),
]


def _kind_of_corpus(values: Any) -> str:
    return f"tag:{values.get('kind') if isinstance(values, dict) else getattr(values, 'kind', None)}"


Corpus = Annotated[
    Annotated[StoryCorpus, Tag("tag:stories")]
    | Annotated[MinimalPairCorpus, Tag("tag:minimal_pairs")]
    | Annotated[SpokenPairCorpus, Tag("tag:spoken_pairs")]
    | Annotated[LibriSpeech, Tag("tag:librispeech")]
    | Annotated[AudioFolder, Tag("tag:folder")]
    | Annotated[AudioArchive, Tag("tag:archive")]
    | Annotated[HubAudio, Tag("tag:hub")],
    Discriminator(
        _kind_of_corpus,
        custom_error_type="corpus_kind",
        custom_error_message="needs kind: stories, minimal_pairs, spoken_pairs, librispeech, folder, archive or hub",
    ),
]


class Recipe(Settings):
    """config.yaml, or a file of recipes/."""

    recipe: Name
    """Name of the recipe; models and scores lie under it."""
    compute: Literal["device", "core"] = "device"
    """What a job that computes with models gets: `device`, the GPU (all cores, where there is none), one job at a time;
    `core`, one core, and jobs run side by side: more gets done so where models are as small as the pocket's."""
    assets: dict[Name, Asset] = {}
    """Further assets, beside those of recipes/assets.yaml."""
    corpora: dict[Name, Corpus]
    """Where speech comes from."""
    encoders: dict[Name, Encoder]
    """What turns speech into units."""
    datasets: dict[Name, Dataset]
    """Token rows to train on."""
    training: Optimization = Optimization()
    """Defaults for every model that is trained on rows."""
    preferences: dict[Name, Preferences] = {}
    """Pairs of right and wrong endings."""
    models: Annotated[dict[Name, AnyModel], Field(min_length=1)]
    """The models to train."""
    benchmarks: dict[Name, Benchmark] = {}
    """What the models are scored on."""
    evaluation: Evaluation = Evaluation()
    """How scores are computed."""
    vocoders: dict[Name, AnyVocoder] = {}
    """What turns units back into speech, by the encoder of the units."""
    generation: Generation | None = None
    """Spoken continuations of prompts; null makes none."""
    rehearsal: Rehearsal | None = None
    """Run the whole workflow in tiny sizes, under results/rehearsal/; null runs it as it stands."""

    @model_validator(mode="before")
    @classmethod
    def models_inherit(cls, values: Any) -> Any:
        """Lay each model that is trained on rows over the defaults of `training:`."""
        if not isinstance(values, dict):
            return values
        models, defaults = values.get("models"), values.get("training")
        if not isinstance(models, dict) or not isinstance(defaults, dict):
            return values
        known = {key: value for key, value in defaults.items() if key in OPTIMIZATION_KEYS}

        def inherited(model: dict[str, Any]) -> dict[str, Any]:
            # A model's own hours or tokens stand against either of the defaults.
            own = {"hours", "tokens"} if {"hours", "tokens"} & model.keys() else set()
            return {key: value for key, value in known.items() if key not in own}

        merged = {
            name: {**inherited(model), **model} if isinstance(model, dict) and "pairs" not in model else model
            for name, model in models.items()
        }
        return {**values, "models": merged}

    @model_validator(mode="after")
    def names_exist(self) -> Recipe:
        """Every name that one section uses must be defined in another."""
        problems: list[str] = []

        def corpus_split(where: str, reference: str, spoken: bool = True, stories: bool = False) -> None:
            corpus, _, split = reference.partition("/")
            if corpus not in self.corpora:
                problems.append(f"{where}: no corpus {corpus!r}; corpora has {', '.join(self.corpora) or 'none'}")
            elif stories and not isinstance(self.corpora[corpus], StoryCorpus):
                kind = self.corpora[corpus].kind
                problems.append(f"{where}: {corpus} is of kind {kind}; only a corpus of kind stories will do here")
            elif split not in self.corpora[corpus].splits:
                splits = ", ".join(f"{corpus}/{name}" for name in self.corpora[corpus].splits)
                problems.append(f"{where}: no split {reference!r}; there are {splits}")
            else:
                settings = self.corpora[corpus].splits[split]  # type: ignore[index]
                if spoken and isinstance(settings, StorySplit) and not settings.spoken:
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
            for reference in dataset.trained_on + dataset.validation:
                is_text = dataset.encoder == "text"
                corpus_split(f"datasets.{name}", reference, spoken=not is_text, stories=is_text)
        for name, model in self.models.items():
            if name in RESERVED_MODELS:
                problems.append(f"models.{name}: the name is taken by a trivial baseline")
            if name in BASELINE_CONTINUATIONS:
                problems.append(f"models.{name}: the name is taken by an end of the scale of continuations")
            if isinstance(model, Model) and model.data not in self.datasets:
                problems.append(f"models.{name}.data: no dataset {model.data!r}")
            if isinstance(model, Preference):
                if model.pairs not in self.preferences:
                    known = ", ".join(self.preferences) or "none"
                    problems.append(f"models.{name}.pairs: no preferences {model.pairs!r}; there are {known}")
                if model.init not in self.models:
                    problems.append(f"models.{name}.init: no model {model.init!r} to start from")
            seen = {name}
            parent = model.init
            while parent in self.models:
                if parent in seen:
                    problems.append(f"models.{name}.init: a circle of models")
                    break
                seen.add(parent)
                parent = self.models[parent].init
            else:
                problems += self._unit_problems(name)
        for name, benchmark in self.benchmarks.items():
            if benchmark.encoder not in self.encoders:
                problems.append(f"benchmarks.{name}.encoder: no encoder {benchmark.encoder!r}")
            problems += [
                f"benchmarks.{name}.models: {model!r} is no model of units of {benchmark.encoder}"
                for model in benchmark.models or []
                if self.encoder_of(model) != benchmark.encoder
            ]
            corpus = self.corpora.get(benchmark.corpus)
            of_pairs = benchmark.kind in get_args(PairTask)
            stories = not of_pairs and not isinstance(corpus, SpokenPairCorpus)
            corpus_split(f"benchmarks.{name}.corpus", f"{benchmark.corpus}/test", stories=stories)
            if isinstance(corpus, SpokenPairCorpus):
                if corpus.task != benchmark.kind:
                    problems.append(
                        f"benchmarks.{name}.corpus: {benchmark.corpus} has task {corpus.task}, not {benchmark.kind}"
                    )
            elif of_pairs and corpus is not None:
                task = corpus.task if isinstance(corpus, MinimalPairCorpus) else None
                if task != benchmark.kind:
                    found = f"task {task}" if task else f"kind {corpus.kind}"
                    problems.append(
                        f"benchmarks.{name}.corpus: {benchmark.kind} needs a corpus of kind minimal_pairs and task "
                        f"{benchmark.kind}; {benchmark.corpus} is of {found}"
                    )
        for name in self.evaluation.voices:
            if name not in self.corpora:
                problems.append(f"evaluation.voices: no corpus {name!r}; corpora has {', '.join(self.corpora)}")
            elif isinstance(self.corpora[name], MinimalPairCorpus | SpokenPairCorpus):
                problems.append(f"evaluation.voices: {name} is of minimal pairs, which no two voices say")
        for name, preferences in self.preferences.items():
            if preferences.encoder not in self.encoders:
                problems.append(f"preferences.{name}.encoder: no encoder {preferences.encoder!r}")
            corpus_split(f"preferences.{name}.corpus", f"{preferences.corpus}/preference", stories=True)
        for name, vocoder in self.vocoders.items():
            if name not in self.encoders:
                problems.append(f"vocoders.{name}: no encoder of that name; there are {', '.join(self.encoders)}")
            for reference in vocoder.corpora if isinstance(vocoder, Vocoder) else []:
                corpus_split(f"vocoders.{name}.corpora", reference)
            for reference in vocoder.held_out:
                corpus_split(f"vocoders.{name}.held_out", reference)
        if self.generation is not None:
            corpus_split("generation.corpus", f"{self.generation.corpus}/test")
            problems += self._generation_problems(self.generation)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _generation_problems(self, generation: Generation) -> list[str]:
        """What keeps models from continuing: they need an encoder, its units and a vocoder for these."""
        if generation.encoder not in self.encoders:
            return [f"generation.encoder: no encoder {generation.encoder!r}"]
        problems = []
        if generation.encoder not in self.vocoders:
            problems.append(f"generation.encoder: no vocoder for the units of {generation.encoder}; add it to vocoders")
        for name in generation.models or []:
            if name not in self.models:
                problems.append(f"generation.models: no model {name!r}; there are {', '.join(self.models)}")
            elif self.encoder_of(name) != generation.encoder:
                problems.append(f"generation.models: {name} does not speak units of {generation.encoder}")
        return problems

    def streamed(self) -> list[str]:
        """The corpus/split of recordings that are dropped once they are encoded.

        They can be had again (a dataset of the hub, downloaded archives), and nothing but units is made of them.
        """
        kept = {reference for encoder in self.encoders.values() if encoder.fit for reference in encoder.fit.corpora}
        for vocoder in self.vocoders.values():
            kept.update(vocoder.speech())
        if self.generation is not None:
            kept.add(f"{self.generation.corpus}/test")
        found = []
        for name, corpus in self.corpora.items():
            for split in corpus.splits:
                downloaded = isinstance(corpus, HubAudio) or (
                    isinstance(corpus, AudioArchive)
                    and all(archive.startswith("asset:") for archive in corpus.splits[split].archives)
                )
                if downloaded and f"{name}/{split}" not in kept:
                    found.append(f"{name}/{split}")
        return found

    def _unit_problems(self, name: str) -> list[str]:
        """What keeps a model from being trained on its pairs: they must be told in the units that it speaks."""
        model = self.models[name]
        if not isinstance(model, Preference) or model.pairs not in self.preferences:
            return []
        spoken, told = self.encoder_of(name), self.preferences[model.pairs].encoder
        if spoken in (None, told):
            return []
        return [f"models.{name}.pairs: {model.pairs} is told in units of {told}, but {model.init} speaks {spoken}"]

    def encoder_of(self, name: str) -> str | None:
        """The encoder whose units a model speaks, `text` for a text model; None if it cannot be told."""
        model = self.models.get(name)
        while isinstance(model, Preference):
            model = self.models.get(model.init)
        dataset = self.datasets.get(str(model.data)) if model else None
        return dataset.encoder if dataset else None
