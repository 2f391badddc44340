"""What is copied into a model's folder so that it stands alone."""

from __future__ import annotations

from pathlib import Path

import pytest

import package_model as command
from slamflow import files
from slamflow.errors import InputError
from slamflow.lm.speech import speech_record
from tests.unit.training_rows import VOCABULARY


def parts(folder: Path) -> dict[str, Path]:
    """A model's folder, and what it needs, elsewhere."""
    contents = {
        "codebook": "units/codebook.safetensors",
        "weights": "asset/model.safetensors",
        "shape": "asset/more/config.json",
        "vocoder": "vocoder/vocoder.json",
    }
    found = {name: folder / path for name, path in contents.items()}
    for name, path in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    speech = speech_record(
        VOCABULARY, "cold", "mel", {"kind": "logmel"}, {"sha256": files.sha256_file(found["codebook"])}
    )
    files.write_json(folder / "model/speech.json", speech)
    return {**found, "model": folder / "model"}


def package(found: dict[str, Path], encoder: tuple[str, ...], vocoder: tuple[str, ...]) -> dict[str, str]:
    options = ["--model", str(found["model"]), "--codebook", str(found["codebook"])]
    for flag, names in (("--encoder", encoder), ("--vocoder", vocoder)):
        if names:
            options += [flag, *(str(found[name]) for name in names)]
    command.main(options)
    record = files.read_json(found["model"] / "package.json")
    assert (record["format"], record["model"]) == (1, "cold")
    listed: dict[str, str] = record["files"]
    return listed


def test_everything_is_copied_and_listed(tmp_path: Path) -> None:
    found = parts(tmp_path)
    listed = package(found, ("weights", "shape"), ("vocoder",))
    assert set(listed) == {
        "codebook.safetensors",
        "encoder/model.safetensors",
        "encoder/more/config.json",
        "vocoder/vocoder.json",
    }
    assert all(files.sha256_file(found["model"] / name) == digest for name, digest in listed.items())
    assert (found["model"] / "encoder/more/config.json").read_text() == "shape"


def test_what_is_no_longer_needed_goes(tmp_path: Path) -> None:
    found = parts(tmp_path)
    package(found, ("weights", "shape"), ("vocoder",))
    assert set(package(found, (), ())) == {"codebook.safetensors"}
    assert sorted(path.name for path in found["model"].iterdir()) == [
        "codebook.safetensors",
        "package.json",
        "speech.json",
    ]


def test_the_codebook_must_be_the_models(tmp_path: Path) -> None:
    found = parts(tmp_path)
    found["codebook"].write_text("another")
    with pytest.raises(InputError, match="is not the codebook of"):
        package(found, (), ())
