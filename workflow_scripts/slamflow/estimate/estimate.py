"""What a recipe takes: arithmetic on its settings, the shapes of its models and a device's rates. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from slamflow.assets.asset import Asset
from slamflow.estimate import rates
from slamflow.estimate.rates import Device
from slamflow.lm.flops import Shape, training_flops_per_token
from slamflow.lm.objectives import Amount
from slamflow.lm.zero import WHOLE, Layout, layouts
from slamflow.recipe.recipe import Recipe
from slamflow.recipe.report import asset_uses
from slamflow.vocabulary import Vocabulary


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
    """By the encoder with the most units of those that read it; None if hours are not known or nothing reads it."""
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
    validation_share: float = 0.0
    """What validations on the way take, for a token of training."""
    last_validation: float = 0.0
    """What the last one takes, in tokens of training."""

    def on(self, device: Device) -> tuple[float | None, float | None]:
        """Hours, validation counted, and tokens on a device; None for what is not known."""
        if self.flops_per_token is None:
            return self.hours, self.tokens
        rate = device.tflops * 1e12 / self.flops_per_token * 3600
        if self.hours is not None:
            return self.hours, max(0.0, self.hours * rate - self.last_validation) / (1 + self.validation_share)
        if self.tokens is None:
            return None, None
        return (self.tokens * (1 + self.validation_share) + self.last_validation) / rate, self.tokens

    def state_gb(self, layout: Layout = WHOLE, gpus: int = 1) -> float | None:
        """Weights, gradients and moments on each of so many GPUs."""
        return self.shape.parameters * layout.bytes(gpus) / 1e9 if self.shape else None

    def layout(self, memory_gb: float, gpus: int) -> Layout | None:
        """The fastest layout whose state fits so many GPUs; None if none does, or the shape is not known."""
        for layout in layouts(gpus):
            need = self.state_gb(layout, gpus)
            if need is not None and need < memory_gb:
                return layout
        return None


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
            found.append(Cost(f"train {training.name}", device_hours=add_up([hours])))
        return found


def estimate(recipe: Recipe, assets: dict[str, Asset], shapes: dict[str, Shape | None]) -> Estimate:
    """All that does not depend on the device. `shapes` has each model of the recipe; None where it is not known."""
    result = Estimate(recipe.recipe)
    used = [assets[name] for name in asset_uses(recipe, assets)]
    sizes = [file.bytes for asset in used for file in asset.files.values()]
    result.download_bytes = sum(size for size in sizes if size is not None)
    result.unknown_downloads = sizes.count(None)
    encoders: dict[str, dict[str, None]] = {}
    for use in recipe.uses():
        # What becomes units, or fits a codebook. The prompts of continuations alone are not counted.
        if use.encoder is not None or (use.what == "audio" and use.reader.startswith("encoders.")):
            read = encoders.setdefault(use.reference, {})
            read.update({use.encoder: None} if use.encoder else {})
    for name, corpus in recipe.corpora.items():
        for split in corpus.splits:
            if (reference := f"{name}/{split}") in encoders:
                result.speech.append(_speech(recipe, name, split, tuple(encoders[reference])))
    for name in recipe.trained:
        result.trainings.append(_training(recipe, name, shapes.get(name), result.speech))
    result.disk = _disk(recipe, result)
    return result


def _speech(recipe: Recipe, name: str, split: str, encoders: tuple[str, ...]) -> Speech:
    corpus = recipe.corpora[name]
    hours, size = corpus.hours(split), corpus.bytes(split)
    most = max((recipe.encoders[encoder].units_per_second for encoder in encoders), default=None)
    tokens = hours * 3600 * most if hours is not None and most is not None else None
    on_disk: float | None = size
    if size is None and hours is not None:
        on_disk = hours * 3600 * rates.AUDIO_BYTES_PER_SECOND
    return Speech(f"{name}/{split}", hours, tokens, encoders, corpus.is_downloaded, on_disk)


def _training(recipe: Recipe, name: str, shape: Shape | None, speech: list[Speech]) -> Training:
    settings = recipe.trained[name]
    tokens = {one.name: one.tokens for one in speech}
    amount = settings.amount(recipe, tokens.get)
    flops = training_flops_per_token(shape, amount.context) * settings.flops_factor if shape else None
    start = str(settings.init)
    return Training(
        *(name, start, shape, amount.context, amount.tokens, settings.hours, flops, amount.tokens_per_step),
        *validation(amount, settings.validate_every, settings.validation_share),
    )


def validation(amount: Amount, every: int, most: float) -> tuple[float, float]:
    """What validations on the way take for a token of training, and the last one in tokens of training.

    A forward pass is a third of a step. If it is not known how long a validation is, those on the way take their
    largest share, `most`, and the last one is not counted.
    """
    between = (amount.tokens_per_step or 0.0) * every
    if not between or (amount.tokens is not None and amount.tokens < between):
        share = 0.0
    else:
        share = most if amount.validation_tokens is None else min(most, amount.validation_tokens / 3 / between)
    return share, (amount.validation_tokens or 0.0) / 3


def speaking_hours(recipe: Recipe, speech: list[Speech]) -> Sum:
    """Core hours of text to speech."""
    hours: list[float | None] = []
    for one in speech:
        engine = recipe.corpora[one.name.partition("/")[0]].engine
        if engine is not None:
            hours.append(_over(one.hours, engine.seconds_per_core_second))
    return add_up(hours)


def extraction(recipe: Recipe, speech: list[Speech], device: Device, precision: str | None = None) -> Cost:
    """Units of all speech: the encoders' arithmetic at the device's rate, without reading the audio.

    In the `precision` of each encoder, or all in the one that is given.
    """
    device_hours: list[float | None] = []
    core_hours: list[float | None] = []
    for one in speech:
        for encoder in (recipe.encoders[name] for name in one.encoders):
            gflop = encoder.gflop_per_second()
            if gflop is None:
                core_hours.append(_over(one.hours, encoder.seconds_per_core_second()))
            else:
                rate = device.encoder_tflops.get(precision or str(getattr(encoder, "precision", "fp32")))
                device_hours.append(None if one.hours is None or rate is None else one.hours * gflop / 1e3 / rate)
    return Cost("extract_units", add_up(device_hours), add_up(core_hours))


def _over(hours: float | None, rate: float | None) -> float | None:
    return None if hours is None or rate is None else hours / rate


def _disk(recipe: Recipe, result: Estimate) -> dict[str, Sum]:
    """Bytes that stay, by rule; of streamed audio what passes through."""
    tokens = {(one.name, encoder): one.tokens for one in result.speech for encoder in one.encoders}

    def times(factor: float, values: Iterable[float | None]) -> Sum:
        return add_up(None if value is None else factor * value for value in values)

    rows: list[float | None] = []
    for dataset in recipe.datasets.values():
        size = Vocabulary.of(dataset.vocabulary(recipe)).dtype.itemsize + rates.DOCUMENT_BYTES
        for reference in dataset.trained_on + dataset.validation:
            # How much text there is, is not known.
            known = None if dataset.is_text else tokens.get((reference, dataset.encoder))
            rows.append(None if known is None else size * known)
    parameters = [training.shape.parameters if training.shape else None for training in result.trainings]
    known_parameters = [one for one in parameters if one is not None]
    return {
        "assets": Sum(float(result.download_bytes), not result.unknown_downloads),
        "audio": add_up(one.bytes for one in result.speech),
        "units": times(rates.UNIT_BYTES, tokens.values()),
        "rows": add_up(rows),
        "models": times(4, parameters),
        "training state": Sum(
            2.0 * rates.SAVE_BYTES * max(known_parameters, default=0), len(known_parameters) == len(parameters)
        ),
    }
