"""The pins of envs/ are those of requirements.txt, and what the rules need."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from slamflow.code_digest import code_digest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = {line.strip() for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))


def pins(path: Path) -> list[str]:
    packages = yaml.safe_load(path.read_text())["dependencies"]
    return [pin for package in packages if isinstance(package, dict) for pin in package["pip"]]


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_pins_are_those_of_the_requirements(path: Path) -> None:
    assert pins(path)
    # Piper is a program under the GPL beside the project, no part of it; textlesslib too is a process of its own.
    assert set(pins(path)) <= REQUIREMENTS or path.stem in ("piper", "textless")
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", pin) for pin in pins(path))


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


def imported(path: Path) -> set[str]:
    """The packages that a file imports as it is imported itself."""
    statements = ast.parse(path.read_text()).body
    names = [alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in statements if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"slamflow"}


RULES = re.findall(
    r"^rule (\w+):.*?envs/(\w+)\.yaml",
    "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk")),
    re.S | re.M,
)
RULES += [("score_benchmarks", "torch"), ("score_baselines", "torch")]  # indented there


@pytest.mark.parametrize(("rule", "environment"), RULES)
def test_an_environment_has_what_its_commands_import(rule: str, environment: str) -> None:
    scripts = ROOT / "workflow_scripts"
    reached = [part.rsplit(":", 1)[0] for part in code_digest(scripts / f"{rule}.py").split()]
    packages = set().union(*(imported(scripts / file) for file in reached))
    named = {pin.split("==")[0].lower() for pin in pins(ROOT / "envs" / f"{environment}.yaml")}
    distributions = packages_distributions()
    missing = {package for package in packages if not named & {name.lower() for name in distributions[package]}}
    assert not missing
