"""The model's folder: an ordinary transformers folder, and what is known about its units and its training."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from slamflow import files
from slamflow.packing import BOS, EOS, FIRST_UNIT, PAD
from slamflow.training.devices import Ranks, device_name
from slamflow.training.loop import Trained

PACKAGES = ("torch", "transformers", "deepspeed")


def versions() -> dict[str, str]:
    """Versions of the packages that a training's numbers depend on."""
    return {name: version(name) for name in PACKAGES}


def training_record(model: PreTrainedModel, trained: Trained, ranks: Ranks, **more: Any) -> dict[str, Any]:
    """What training.json says."""
    return {
        "tokens": trained.tokens,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 3),
        "tokens_per_second": round(trained.tokens / trained.seconds, 1),
        "validation_loss": trained.validation_loss,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "versions": versions(),
        "device": device_name(ranks.device),
        "ranks": ranks.count,
        **({"budget": trained.budget} if trained.budget else {}),
        **more,
    }


def write_model_folder(
    model: PreTrainedModel, speech: dict[str, Any], record: dict[str, Any], metrics: Path, output: Path
) -> None:
    """Write config.json, model.safetensors, speech.json, metrics.jsonl and training.json."""
    export_model(model, output)
    files.write_json(output / "speech.json", speech)
    files.write_text(output / "metrics.jsonl", metrics.read_text(encoding="utf-8"))
    files.write_json(output / "training.json", record)


def export_model(model: PreTrainedModel, output: Path) -> None:
    """Write config.json and model.safetensors, each whole or not at all."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".export.") as temporary:
        model.save_pretrained(temporary, max_shard_size="1TB")
        for name in ("model.safetensors", "config.json"):
            with files.atomic_path(output / name) as path:
                (Path(temporary) / name).rename(path)


def speech_record(codebook: dict[str, Any] | None) -> dict[str, Any]:
    """What speech.json says: whose units the model speaks, from the codebook's manifest; nulls for a text model."""
    manifest = codebook or {}
    encoder = manifest.get("settings", {})
    return {
        "encoder": encoder.get("kind"),
        "encoder_model": encoder.get("model"),
        "encoder_sha256": manifest.get("encoder_sha256"),
        "layer": encoder.get("layer"),
        "codebook_sha256": manifest.get("sha256"),
        "units": manifest.get("clusters"),
        "frame_rate_hz": manifest.get("frame_rate_hz"),
        "vocoder": None,
        "tokens": {"pad": PAD, "bos": BOS, "eos": EOS, "first_unit": FIRST_UNIT},
    }
