"""Every text-to-speech engine: what a kind must have, and what a recipe may say of it."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from slamflow.errors import InputError
from slamflow.jobs.sources import Sources
from slamflow.tts import ENGINES, EngineSettings, Program


def example(engine: str, folder: Path) -> dict[str, Any]:
    """Settings of an engine, and what it needs of a folder. A new kind needs an example here."""
    files: list[str]
    match engine:
        case "hibari":
            return {"voices": {"plain": 1.0, "high": 1.2}}
        case "kokoro":
            files = ["model.onnx.1", "model.onnx.2", "af_heart.bin", "bm_lewis.bin"]
            voices = ["af_heart", "bm_lewis"]
        case "piper":
            files = ["joe.onnx", "joe.onnx.json", "amy.onnx", "amy.onnx.json"]
            voices = ["joe", "amy"]
        case _:
            raise AssertionError(f"no example of engine {engine}")
    for file in files:
        (folder / file).touch()
    return {"voices": voices, "model": str(folder)}


@pytest.fixture(params=ENGINES.names())
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> EngineSettings:
    settings: EngineSettings = ENGINES.settings(request.param).model_validate(
        {"engine": request.param, **example(request.param, tmp_path)}
    )
    return settings


def test_a_kind_tells_of_itself(engine: EngineSettings) -> None:
    module = ENGINES.module(engine.engine)
    assert module.__doc__
    assert type(engine).__doc__
    assert list(inspect.signature(module.start).parameters) == ["settings", "model"]
    assert all(version(package) for package in module.PACKAGES)
    assert engine.voice_names() == [f"{engine.engine} {voice}" for voice in engine.voices]
    assert len(engine.voice_names()) == 2
    speed = engine.seconds_per_core_second
    assert speed is None or speed > 0
    for program in engine.programs:
        assert isinstance(program, Program)
        assert program.licence
        assert program.citation


def test_files_are_in_one_folder_and_what_is_missing_is_named(engine: EngineSettings, tmp_path: Path) -> None:
    sources = Sources({}, Path())
    assert list(engine.file_problems("here", sources)) == []
    files = engine.files(sources)
    assert {Path(file).parent for file in files} <= {tmp_path}
    if not files:
        return
    Path(files[-1]).unlink()
    assert list(engine.file_problems("here", sources)) == [f"here.voices: {tmp_path} has no {Path(files[-1]).name}"]
    lost = engine.model_copy(update={"model": "nowhere"})
    assert list(lost.file_problems("here", sources)) == ["here.model: 'nowhere' is neither an asset () nor a folder"]
    with pytest.raises(InputError, match=f"--model: the engine {engine.engine} needs the folder"):
        ENGINES.module(engine.engine).start(engine, None)


def test_voices_are_needed(engine: EngineSettings) -> None:
    with pytest.raises(ValidationError, match="voices"):
        type(engine).model_validate({**engine.model_dump(), "voices": type(engine.voices)()})


def test_the_default_engine_needs_no_files() -> None:
    default = ENGINES.make_default()
    assert default.files(Sources({}, Path())) == []
    assert default.voice_names() == ["hibari plain"]
