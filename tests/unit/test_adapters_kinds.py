"""Every adapter of a published system keeps the family's contract."""

from __future__ import annotations

from pathlib import Path

import pytest

import import_model as command
from slamflow.adapters import ADAPTERS, SystemSettings
from slamflow.errors import InputError

SCRIPTS = Path(command.__file__).parent


@pytest.mark.parametrize("name", ADAPTERS.names())
def test_the_settings_name_the_kind(name: str) -> None:
    settings = ADAPTERS.settings(name)
    assert issubclass(settings, SystemSettings)
    assert settings.__doc__
    found = settings.model_validate({"adapter": name, "weights": "asset", "encoder": "hubert"})
    assert (found.adapter, found.weights, found.encoder) == (name, "asset", "hubert")


@pytest.mark.parametrize("name", ADAPTERS.names())
def test_a_folder_of_another_format_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "other"}')
    with pytest.raises(InputError, match=r"config\.json"):
        command.main(["--adapter", name, "--source", str(tmp_path), "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
