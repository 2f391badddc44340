"""The pins of envs/ are those of requirements.txt."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
REQUIREMENTS = {line.strip() for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))


def pins(path: Path) -> list[str]:
    packages = yaml.safe_load(path.read_text())["dependencies"]
    return [pin for package in packages if isinstance(package, dict) for pin in package["pip"]]


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_pins_are_those_of_the_requirements(path: Path) -> None:
    assert pins(path)
    # Piper is a program under the GPL beside the project, no part of it.
    assert set(pins(path)) <= REQUIREMENTS or pins(path) == ["piper-tts==1.8.0"]


def test_torch_is_the_one_that_was_tried() -> None:
    assert "torch==2.13.0" in REQUIREMENTS
    assert not any("nvidia" in pin or "@" in pin for pin in REQUIREMENTS)


def test_rules_name_environments_that_exist() -> None:
    named = {
        line.strip().strip('"').removeprefix("../envs/")
        for path in (ROOT / "rules").glob("*.smk")
        for line in path.read_text().splitlines()
        if "../envs/" in line
    }
    assert named <= {path.name for path in ENVIRONMENTS}
    assert named
