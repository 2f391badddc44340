"""speech.json: how speech becomes the tokens of a model, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slamflow import files
from slamflow.errors import InputError
from slamflow.vocabulary import Vocabulary

FORMAT = 1
"""Of speech.json."""


def speech_record(
    vocabulary: Vocabulary,
    model: str | None = None,
    encoder: str | None = None,
    tokenizer: dict[str, Any] | None = None,
    codebook: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What speech.json says: how speech becomes the tokens of a model.

    Parameters: the names of the `model` and its `encoder` in their recipe, the settings of the `tokenizer`, and the
    manifest of its `codebook`; None where there is none (a text model), or nothing is known (an imported one).
    """
    manifest = codebook or {}
    return {
        "format": FORMAT,
        "model": model,
        "encoder": encoder,
        "tokenizer": tokenizer,
        "tick_hz": manifest.get("frame_rate_hz"),
        "codebook_sha256": manifest.get("sha256"),
        "encoder_sha256": manifest.get("encoder_sha256"),
        "vocabulary": vocabulary.record(),
    }


def read_speech(folder: Path) -> tuple[dict[str, Any], Vocabulary]:
    """The speech.json of a model's folder, and the vocabulary in it. Raises InputError if it is missing or too old."""
    path = folder / "speech.json"
    if not path.is_file():
        raise InputError(f"{folder}: no speech.json; train or import the model with this version")
    record = files.read_json(path)
    if record.get("format") != FORMAT:
        raise InputError(f"{path}: is of another version; train or import the model again")
    return record, Vocabulary.read(record.get("vocabulary"), path)
