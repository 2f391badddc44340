"""What a model's folder needs to stand alone: its codebook, its tokenizer's network, perhaps a vocoder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from slamflow import files
from slamflow.errors import InputError
from slamflow.lm.speech import read_speech

CODEBOOK = "codebook.safetensors"
FORMAT = 1
"""Of package.json."""


def package_model(model: Path, codebook: Path, encoder: list[Path], vocoder: list[Path]) -> dict[str, str]:
    """Copy into the folder of a model what it needs besides, and list it in package.json.

    The codebook becomes codebook.safetensors; the files of the tokenizer's network and of the vocoder go to the folders
    `encoder` and `vocoder` with their places below the folder that they have in common. Returns the SHA-256 of each
    file by its path in the model's folder. Raises InputError for a codebook that is not the model's.
    """
    speech, _ = read_speech(model)
    if speech["codebook_sha256"] != files.sha256_file(codebook):
        raise InputError(f"{codebook}: is not the codebook of {model}, by the SHA-256 in its speech.json")
    copies = {CODEBOOK: codebook, **_placed("encoder", encoder), **_placed("vocoder", vocoder)}
    # Files of an earlier packaging do not belong to this one.
    for folder in ("encoder", "vocoder"):
        shutil.rmtree(model / folder, ignore_errors=True)
    for name, source in copies.items():
        with files.atomic_path(model / name) as path:
            shutil.copyfile(source, path)
    digests = {name: files.sha256_file(model / name) for name in copies}
    record = {"format": FORMAT, "model": speech["model"], "files": digests}
    files.write_json(model / "package.json", record)
    return digests


def _placed(folder: str, sources: list[Path]) -> dict[str, Path]:
    """Files by their places in a folder of the model's."""
    if not sources:
        return {}
    common = os.path.commonpath([source.parent for source in sources])
    return {f"{folder}/{source.relative_to(common).as_posix()}": source for source in sources}
