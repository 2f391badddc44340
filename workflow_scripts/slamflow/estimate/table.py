"""An estimate as plain text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slamflow import files
from slamflow.estimate.estimate import Cost, Estimate, Speech, Sum, Training, add_up, extraction
from slamflow.estimate.rates import Device
from slamflow.lm.zero import WHOLE
from slamflow.recipe.recipe import Recipe
from slamflow.report.table import number, table


def amount(value: float | None) -> str:
    """A count as 1.41 B, 600.7 M or 12,000; a dash for None."""
    if value is None:
        return "-"
    for size, letter in ((1e9, "B"), (1e6, "M")):
        if value >= size:
            return f"{value / size:,.2f} {letter}"
    return f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes as 1.4 GB; a dash for None."""
    if value is None:
        return "-"
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if value >= unit:
            return f"{value / unit:,.1f} {name}"
    return f"{value / 1e3:,.1f} kB"


def hours(value: float | None) -> str:
    """Hours, with as many digits as matter; a dash for None."""
    if value is None:
        return "-"
    if 0 < value < 0.005:
        return "<0.01"
    return f"{value:,.1f}" if value >= 10 else f"{value:.2f}"


def partly(shown: Callable[[float | None], str], total: Sum) -> str:
    """A sum, with a + after it if a part is not known; a dash if nothing is."""
    if total.whole:
        return shown(total.value)
    return f"{shown(total.value)}+" if total.value else "-"


def device_hours(costs: list[Cost]) -> Sum:
    """Of all jobs together."""
    return Sum(sum(cost.device_hours.value for cost in costs), all(cost.device_hours.whole for cost in costs))


def measured_devices(recipe: Recipe, results: Path) -> dict[str, dict[str, Any]]:
    """What calibrate found on this machine, by model."""
    folder = results / "calibration" / recipe.recipe
    return {path.stem: files.read_json(path) for path in sorted(folder.glob("*.json")) if path.stem in recipe.models}


def state_fits(trainings: list[Training], device: Device, gpus: int) -> str:
    """Whether the state of the largest model fits, and by which means if not as it is."""
    known = [training for training in trainings if training.shape]
    if device.memory_gb is None or not known:
        return "-"
    largest = max(known, key=lambda training: training.state_gb() or 0.0)
    layout = largest.layout(device.memory_gb, gpus)
    if layout is None:
        return "no"
    return "yes" if layout == WHOLE else f"ZeRO {layout.stage}{', offload' if layout.offload else ''}"


def device_rows(
    recipe: Recipe, estimate: Estimate, devices: list[Device], prices: dict[str, float], gpus: int
) -> list[list[str]]:
    """One line a device: how long, on what, and what it takes; with several of it also how long on all."""
    rows = []
    for device in devices:
        costs = estimate.costs(recipe, device)
        whole = device_hours(costs)
        longest = max(costs, key=length)
        price = prices.get(device.name, prices.get(""))
        rows.append(
            [
                device.name,
                number(device.tflops) if device.tflops >= 1 else f"{device.tflops:.3f}",
                partly(hours, whole),
                *([partly(hours, times(whole, 1 / gpus))] if gpus > 1 else []),
                longest.rule,
                hours(length(longest)),
                state_fits(estimate.trainings, device, gpus),
                "-" if device.watts is None else partly(number, times(whole, device.watts / 1e3)),
                "-" if price is None else partly(lambda value: number(value, 2), times(whole, price)),
            ]
        )
    return rows


def speech_rows(speech: list[Speech]) -> list[list[str]]:
    """One line a corpus/split."""
    return [
        [
            one.name,
            ", ".join(one.encoders),
            number(one.hours),
            amount(one.tokens),
            size(one.bytes),
            "streamed" if one.download else "",
        ]
        for one in speech
    ]


def model_rows(estimate: Estimate, device: Device) -> list[list[str]]:
    """One line a model, on a device."""
    rows = []
    for training in estimate.trainings:
        takes, tokens = training.on(device)
        shape = training.shape
        step = training.tokens_per_step
        rows.append(
            [
                training.name,
                training.start,
                number(shape.parameters / 1e6 if shape else None),
                number(shape.without_embeddings / 1e6 if shape else None),
                f"{training.context:,}",
                number(training.flops_per_token / 1e9 if training.flops_per_token else None, 3),
                amount(tokens),
                amount(tokens / step) if tokens is not None and step else "-",
                hours(takes),
                number(training.state_gb()),
            ]
        )
    return rows


def length(cost: Cost) -> float:
    """Hours on the device, or core hours if these are more."""
    return max(cost.device_hours.value, cost.core_hours.value)


def times(total: Sum, factor: float) -> Sum:
    """A sum in another unit."""
    return Sum(total.value * factor, total.whole)


def stage_rows(costs: list[Cost]) -> list[list[str]]:
    """One line a kind of job, the longest first."""
    order = sorted(costs, key=length, reverse=True)
    return [[cost.rule, partly(hours, cost.device_hours), partly(hours, cost.core_hours)] for cost in order]


def extraction_rows(recipe: Recipe, estimate: Estimate, devices: list[Device]) -> list[list[str]]:
    """One line a device: hours of extraction by precision. None without an encoder that wants a device."""
    used = {name for speech in estimate.speech for name in speech.encoders}
    if all(recipe.encoders[name].gflop_per_second() is None for name in used):
        return []
    return [
        [
            device.name,
            *(
                partly(hours, extraction(recipe, estimate.speech, device, precision).device_hours)
                for precision in ("fp32", "tf32", "bf16")
            ),
        ]
        for device in devices
    ]


def calibration_rows(trainings: list[Training], measured: dict[str, dict[str, Any]]) -> list[list[str]]:
    """One line a model that calibrate measured here: for the tokens or the hours that the recipe now says."""
    rows = []
    for training in trainings:
        found = measured.get(training.name)
        if found is None:
            continue
        rate = found["tokens_per_second"] * 3600
        takes = training.hours if training.hours is not None else (training.tokens or 0) / rate
        rows.append(
            [
                training.name,
                f"{found['device']} ({found['ranks']})",
                number(found["tokens_per_second"], 0),
                f"{found['tflops']:.3g}",
                number(found["micro_batch_tokens"], 0),
                str(found["zero_stage"]),
                number(found["peak_memory_mb"] / 1e3),
                hours(takes),
                amount(takes * rate),
            ]
        )
    return rows


def run_rows(stages: list[dict[str, Any]]) -> list[list[str]]:
    """One line a rule that ran, the longest first."""
    return [
        [
            stage["rule"],
            hours(stage["seconds"] / 3600),
            size(None if stage["disk_mb"] is None else stage["disk_mb"] * 2**20),
        ]
        for stage in sorted(stages, key=lambda stage: -stage["seconds"])
    ]


def show(
    recipe: Recipe,
    estimate: Estimate,
    devices: list[Device],
    prices: dict[str, float],
    measured: dict[str, dict[str, Any]],
    last_run: dict[str, Any] | None,
    gpus: int = 1,
) -> str:
    """The whole estimate, on `gpus` of each device."""
    unknown = f", and {estimate.unknown_downloads} files of unknown size" if estimate.unknown_downloads else ""
    streamed = [one.bytes for one in estimate.speech if one.download]
    more = f"; streamed corpora {partly(size, add_up(streamed))}" if streamed else ""
    first = devices[0]
    parts = [
        f"{recipe.recipe}: what it takes. Nothing was run. A dash or a + marks what neither the recipe nor the "
        "rates tell.\n",
        table("Speech", ["corpus", "encoders", "hours", "tokens", "audio", ""], speech_rows(estimate.speech), 2),
        f"Downloads: assets {size(estimate.download_bytes)}{unknown}{more}\n",
        table(
            f"Models, on {first.name}",
            [
                "model",
                "from",
                "million parameters",
                "without embeddings",
                "context",
                "GFLOP/token",
                "tokens",
                "steps",
                "hours",
                "state GB",
            ],
            model_rows(estimate, first),
            2,
        ),
        table(
            "Measured on this machine (calibrate)",
            ["model", "device", "tokens/s", "TFLOP/s", "at once", "ZeRO", "memory GB", "hours", "tokens"],
            calibration_rows(estimate.trainings, measured),
            2,
        ),
        table(
            f"Jobs, on {first.name}", ["job", "device hours", "core hours"], stage_rows(estimate.costs(recipe, first))
        ),
        table(
            "Extraction, device hours by precision (`precision` of an encoder)",
            ["device", "fp32", "tf32", "bf16"],
            extraction_rows(recipe, estimate, devices),
        ),
        table("Disk", ["what", "size"], [[name, partly(size, value)] for name, value in estimate.disk.items()]),
        table(
            "Devices",
            [
                *("device", "TFLOP/s", "device hours", *([f"hours on {gpus}"] if gpus > 1 else [])),
                *("longest", "its hours", "state fits", "kWh", "price"),
            ],
            device_rows(recipe, estimate, devices, prices, gpus),
        ),
    ]
    if last_run is not None:
        parts.append(table("The last run here, measured", ["rule", "hours", "disk"], run_rows(last_run["stages"])))
    parts.append(notes(devices))
    return "\n".join(part for part in parts if part)


def notes(devices: list[Device]) -> str:
    """Where the figures come from."""
    lines = ["Where the figures come from"]
    lines += [f"* {device.name}: {device.source}." for device in devices]
    lines += [
        "* A token of training: 6 N, N without input embeddings, and causal attention over the context; of DPO 8 N, "
        "with the reference; of validation a third. A device's rate is taken to be the same for all models.",
        "* Extraction: arithmetic on data sheets, not measured. Products of matrices at 60 % of the dense peak "
        "in fp32, tf32 and bf16 (A5000 27.8, 55.6, 111; A100 19.5, 156, 312; H100 and H200 67, 495, 989 TFLOP/s), what "
        "lies between them at 80 % of the memory's speed (0.77, 2.0, 3.35, 4.8 TB/s). CPU cores: measured.",
        "* Units per second of speech, seconds of a story or a pair, and the costs of encoders and speech engines are "
        "those that their kinds state (slamflow/tokenizers, corpora, text, tts). Reading and decoding audio come on "
        "top.",
        "* State: 16 bytes a parameter for weight, gradient and moments; if that does not fit, as the first ZeRO stage "
        "or offload leaves it that does (slamflow/lm/zero.py). Activations come on top; calibrate measures both. Hours "
        "on several GPUs: the device hours shared out, as if talking to each other took no time. kWh: the board at its "
        "stated power. Scoring, continuations and vocoders are not counted.",
    ]
    return "\n".join(lines) + "\n"


def overview_row(recipe: Recipe, estimate: Estimate, devices: list[Device]) -> list[str]:
    """One line for a recipe: hours of speech, downloads, the largest model, its tokens, and hours by device."""
    first = devices[0]
    trainings = [training for training in estimate.trainings if recipe.trained[training.name].data is not None]
    largest = max(trainings, key=lambda one: (one.shape.parameters if one.shape else 0, one.tokens or 0), default=None)
    speech = add_up(one.hours for one in estimate.speech)
    return [
        recipe.recipe,
        partly(lambda value: number(value, 0), speech),
        partly(size, estimate.disk["assets"]),
        largest.name if largest else "-",
        number(largest.shape.parameters / 1e6 if largest and largest.shape else None, 0),
        amount(largest.on(first)[1]) if largest else "-",
        *(partly(hours, device_hours(estimate.costs(recipe, device))) for device in devices),
    ]
