"""The model's folder: an ordinary transformers folder, and what is known about its units and its training."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

from slamflow import files
from slamflow.lm.devices import Ranks, device_name
from slamflow.lm.model import export_model

if TYPE_CHECKING:
    from slamflow.lm.loop import Trained

PACKAGES = ("torch", "transformers", "deepspeed")


def versions() -> dict[str, str]:
    """Versions of the packages that a training's numbers depend on."""
    return {name: version(name) for name in PACKAGES}


def training_record(parameters: int, trained: Trained, ranks: Ranks, /, **more: Any) -> dict[str, Any]:
    """What training.json says."""
    return {
        "tokens": trained.tokens,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 3),
        "tokens_per_second": round(trained.tokens / trained.seconds, 1),
        "validation_loss": trained.validation_loss,
        "parameters": parameters,
        "versions": versions(),
        "device": device_name(ranks.device),
        "ranks": ranks.count,
        **({} if trained.mfu is None else {"mfu": trained.mfu}),
        **({"budget": trained.budget} if trained.budget else {}),
        **more,
    }


def write_model_folder(
    model: PreTrainedModel, speech: dict[str, Any], record: dict[str, Any], trained: Trained, output: Path
) -> None:
    """Write config.json, model.safetensors, speech.json, metrics.jsonl and training.json."""
    export_model(model, output, trained.weights)
    files.write_json(output / "speech.json", speech)
    files.write_text(output / "metrics.jsonl", trained.metrics.read_text(encoding="utf-8"))
    files.write_json(output / "training.json", record)
