"""What a recipe takes: arithmetic on its settings, the shapes of its models and a device's rates. Nothing is run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from slamflow.costs import rates
from slamflow.costs.flops import Shape, training_flops_per_token
from slamflow.costs.rates import Device
from slamflow.settings.assets import Asset
from slamflow.settings.corpora import MinimalPairCorpus, StoryCorpus
from slamflow.settings.packing import Dataset
from slamflow.settings.recipe import Recipe
from slamflow.settings.report import asset_uses
from slamflow.settings.training import Model, Preference

DPO_FLOPS = 8 / 6
"""Of a token of preference training, to one of pre-training: forward, backward, and the reference's forward."""


class Sum(NamedTuple):
    """What is known of a sum."""

    value: float = 0.0
    whole: bool = True
    """False if a part of it is not known."""


NOTHING = Sum()


def add_up(values: Iterable[float | None]) -> Sum:
    """A sum; None is a part that is not known."""
    parts = list(values)
    return Sum(sum(part for part in parts if part is not None), None not in parts)


@dataclass(frozen=True)
class Speech:
    """One corpus/split."""

    name: str
    hours: float | None
    """Of audio; None if the recipe does not say."""
    tokens: float | None
    """By the encoder with the most frames of those that read it; None if hours are not known or nothing reads it."""
    encoders: tuple[str, ...]
    download: bool
    """Whether its audio comes from outside while the recipe runs, over and above assets."""
    bytes: float | None
    """Of its audio on disk, or on its way through it."""


@dataclass(frozen=True)
class Training:
    """One model. On a device, either its tokens or its hours follow from the other."""

    name: str
    start: str
    shape: Shape | None
    context: int
    tokens: float | None
    hours: float | None
    flops_per_token: float | None
    tokens_per_step: float | None

    def on(self, device: Device) -> tuple[float | None, float | None]:
        """Hours and tokens on a device; None for what is not known."""
        if self.flops_per_token is None:
            return self.hours, self.tokens
        rate = device.tflops * 1e12 / self.flops_per_token * 3600
        if self.hours is not None:
            return self.hours, self.hours * rate
        return (self.tokens / rate if self.tokens is not None else None), self.tokens

    def state_gb(self) -> float | None:
        """Weights, gradients and moments on the device."""
        return self.shape.parameters * rates.STATE_BYTES / 1e9 if self.shape else None


@dataclass(frozen=True)
class Cost:
    """What one kind of job takes on one device."""

    rule: str
    device_hours: Sum = NOTHING
    core_hours: Sum = NOTHING
    """Of cores of a CPU, if the device is none."""


@dataclass
class Estimate:
    """A whole recipe."""

    recipe: str
    speech: list[Speech] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    download_bytes: int = 0
    unknown_downloads: int = 0
    """Files of assets whose size is not stated."""
    disk: dict[str, Sum] = field(default_factory=dict)
    """Bytes by rule."""

    def costs(self, recipe: Recipe, device: Device) -> list[Cost]:
        """Jobs that take long, on a device."""
        found = [Cost("synthesize_stories", core_hours=speaking_hours(recipe, self.speech))]
        found.append(extraction(recipe, self.speech, device))
        for training in self.trainings:
            hours, _ = training.on(device)
            rule = "dpo" if isinstance(recipe.models[training.name], Preference) else "pretrain"
            found.append(Cost(f"{rule} {training.name}", device_hours=add_up([hours])))
        return found


def estimate(recipe: Recipe, assets: dict[str, Asset], shapes: dict[str, Shape | None]) -> Estimate:
    """All that does not depend on the device. `shapes` has each model of the recipe; None where it is not known."""
    result = Estimate(recipe.recipe)
    used = [assets[name] for name in asset_uses(recipe, assets)]
    sizes = [file.bytes for asset in used for file in asset.files.values()]
    result.download_bytes = sum(size for size in sizes if size is not None)
    result.unknown_downloads = sizes.count(None)
    readers = used_by(recipe)
    for name, corpus in recipe.corpora.items():
        for split in corpus.splits:
            reference = f"{name}/{split}"
            if reference in readers or _is_fitted(recipe, reference):
                result.speech.append(_speech(recipe, name, split, tuple(readers.get(reference, ()))))
    for name in recipe.models:
        result.trainings.append(_training(recipe, name, shapes.get(name), result.speech))
    result.disk = _disk(recipe, result)
    return result


def used_by(recipe: Recipe) -> dict[str, list[str]]:
    """The encoders that read each corpus/split."""
    found: dict[str, dict[str, None]] = {}

    def add(reference: str, encoder: str) -> None:
        found.setdefault(reference, {})[encoder] = None

    for dataset in recipe.datasets.values():
        if dataset.encoder != "text":
            for reference in [*dataset.train, *dataset.validation]:
                add(reference, dataset.encoder)
    for benchmark in recipe.benchmarks.values():
        for part in ("dev", "test"):
            if part in recipe.corpora[benchmark.corpus].splits:
                add(f"{benchmark.corpus}/{part}", benchmark.encoder)
    for pairs in recipe.preferences.values():
        add(f"{pairs.corpus}/preference", pairs.encoder)
    for encoder, vocoder in recipe.vocoders.items():
        for reference in vocoder.speech():
            add(reference, encoder)
    return {reference: list(encoders) for reference, encoders in found.items()}


def _is_fitted(recipe: Recipe, reference: str) -> bool:
    return any(encoder.fit and reference in encoder.fit.corpora for encoder in recipe.encoders.values())


def _speech(recipe: Recipe, name: str, split: str, encoders: tuple[str, ...]) -> Speech:
    corpus = recipe.corpora[name]
    settings: Any = corpus.splits[split]  # type: ignore[index]
    hours = getattr(settings, "hours", None)
    if hours is None and isinstance(corpus, StoryCorpus) and corpus.text.source == "grammar" and settings.stories:
        seconds = rates.GRAMMAR_STORY_SECONDS.get(split, rates.GRAMMAR_STORY_SECONDS_IN_ONE)
        hours = settings.stories * seconds / 3600
    if isinstance(corpus, MinimalPairCorpus):
        hours = settings.pairs * rates.PAIR_SECONDS[corpus.task] / 3600
    most = max((recipe.encoders[encoder].frame_rate_hz for encoder in encoders), default=None)
    tokens = hours * 3600 * most * rates.UNITS_PER_FRAME if hours is not None and most is not None else None
    streamed = corpus.kind in ("hub", "spoken_pairs") and getattr(corpus, "repo", None) is not None
    size = getattr(settings, "bytes", None)
    if size is None and hours is not None:
        size = hours * 3600 * rates.AUDIO_BYTES_PER_SECOND
    return Speech(f"{name}/{split}", hours, tokens, encoders, streamed, size)


def _training(recipe: Recipe, name: str, shape: Shape | None, speech: list[Speech]) -> Training:
    settings = recipe.models[name]
    if isinstance(settings, Model):
        dataset = recipe.datasets[str(settings.data)]
        flops = training_flops_per_token(shape, dataset.context) if shape else None
        rows = max(1, round(settings.batch_tokens / dataset.context))
        each = rows * dataset.context
        whole = math.ceil(settings.tokens / each) * each if settings.tokens is not None else None
        return Training(name, str(settings.init), shape, dataset.context, whole, settings.hours, flops, each)
    tokens, step = _preference_tokens(recipe, settings, speech)
    # Pairs are padded to the longest of a batch, so `context` bounds attention from above.
    length = _pair_tokens(recipe, settings, speech)
    context = min(settings.context, math.ceil(length)) if length is not None else settings.context
    flops = training_flops_per_token(shape, context) * DPO_FLOPS if shape else None
    return Training(name, settings.init, shape, context, tokens, settings.hours, flops, step)


def _pair_tokens(recipe: Recipe, settings: Preference, speech: list[Speech]) -> float | None:
    """Tokens of one of the two sequences of a pair, on average."""
    pairs = recipe.preferences[settings.pairs]
    split = next((one for one in speech if one.name == f"{pairs.corpus}/preference"), None)
    corpus = recipe.corpora[pairs.corpus]
    stories = getattr(corpus.splits.get("preference"), "stories", None)  # type: ignore[call-overload]
    if split is None or split.tokens is None or stories is None:
        return None
    return float(split.tokens / stories * rates.ONE_ENDING)


def _preference_tokens(recipe: Recipe, settings: Preference, speech: list[Speech]) -> tuple[float | None, float | None]:
    """Tokens of a whole preference training, and of a step; None where the recipe does not say."""
    length = _pair_tokens(recipe, settings, speech)
    if length is None:
        return None, None
    pairs = recipe.preferences[settings.pairs]
    stories: Any = getattr(recipe.corpora[pairs.corpus].splits["preference"], "stories", None)  # type: ignore[index]
    step = 2 * length * settings.pairs_per_step
    steps = getattr(settings, "steps", None)
    if steps is None and settings.epochs is not None:
        steps = math.ceil(settings.epochs * stories * len(pairs.wrong) / settings.pairs_per_step)
    return (steps * step if steps is not None else None), step


def speaking_hours(recipe: Recipe, speech: list[Speech]) -> Sum:
    """Core hours of text to speech."""
    hours: list[float | None] = []
    for one in speech:
        engine = getattr(recipe.corpora[one.name.partition("/")[0]], "speech", None)
        if engine is not None:
            rate = rates.SPOKEN_PER_CORE.get(engine.engine)
            hours.append(one.hours / rate if one.hours is not None and rate is not None else None)
    return add_up(hours)


def extraction(recipe: Recipe, speech: list[Speech], device: Device) -> Cost:
    """Units of all speech: the encoders' arithmetic at the device's rate, without reading the audio."""
    device_hours: list[float | None] = []
    core_hours: list[float | None] = []
    for one in speech:
        for name in one.encoders:
            encoder = recipe.encoders[name]
            if encoder.kind == "whisper":
                core_hours.append(None if one.hours is None else one.hours / rates.WHISPER_TINY_PER_CORE)
            elif encoder.kind != "logmel":
                per_hour = rates.HUBERT_GFLOP_PER_SECOND / 1e3 / device.tflops
                device_hours.append(None if one.hours is None else one.hours * per_hour)
    return Cost("extract_units", add_up(device_hours), add_up(core_hours))


def _disk(recipe: Recipe, result: Estimate) -> dict[str, Sum]:
    """Bytes that stay, by rule; of streamed audio what passes through."""
    tokens = {(one.name, encoder): one.tokens for one in result.speech for encoder in one.encoders}

    def of_dataset(dataset: Dataset) -> list[float | None]:
        references = [*dataset.train, *dataset.validation]
        return [None if dataset.encoder == "text" else tokens.get((name, dataset.encoder)) for name in references]

    def times(factor: float, values: Iterable[float | None]) -> Sum:
        return add_up(None if value is None else factor * value for value in values)

    parameters = [training.shape.parameters if training.shape else None for training in result.trainings]
    known = [one for one in parameters if one is not None]
    return {
        "assets": Sum(float(result.download_bytes), not result.unknown_downloads),
        "audio": add_up(one.bytes for one in result.speech),
        "units": times(rates.UNIT_BYTES, tokens.values()),
        "rows": times(rates.ROW_BYTES, [one for dataset in recipe.datasets.values() for one in of_dataset(dataset)]),
        "models": times(4, parameters),
        "training state": Sum(2.0 * rates.SAVE_BYTES * max(known, default=0), len(known) == len(parameters)),
    }
