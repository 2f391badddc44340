"""Jobs read the fields of settings and call none of their methods, since settings classes are in no code digest."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

import slamflow
from slamflow.code_digest import code_digest
from slamflow.kinds import Family
from slamflow.recipe.base import Settings

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
NO_JOBS = {"summarize", "render_report", "estimate", "describe_settings", "why", "print_summary"}
"""Commands that are given the whole recipe, which they ask, or that are no jobs."""


def modules() -> Iterator[Any]:
    """All modules of the library."""
    for found in pkgutil.walk_packages(slamflow.__path__, "slamflow."):
        if not found.name.startswith("slamflow.textless"):  # another environment's
            yield importlib.import_module(found.name)


ALL = list(modules())
FAMILIES = {id(value): value for module in ALL for value in vars(module).values() if isinstance(value, Family)}


def subclasses(base: type) -> Iterator[type]:
    for found in base.__subclasses__():
        yield found
        yield from subclasses(found)


CLASSES: dict[str, type[Settings]] = {found.__name__: found for found in subclasses(Settings)}


def code_of_jobs() -> set[str]:
    """The files that some job's code digest holds, whatever the kinds."""
    kinds = [family.module_name(name) for family in FAMILIES.values() for name in family.names()]
    commands = [path for path in SCRIPTS.glob("*.py") if path.stem not in NO_JOBS]
    return {part.partition(":")[0] for command in commands for part in code_digest(command, kinds).split()}


def settings_in(annotation: Any) -> type[Settings] | None:
    """The settings class of a field, if it has one."""
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, Settings):
            return part
    return None


def kind_of(node: ast.expr, known: dict[str, type[Settings]]) -> type[Settings] | None:
    """The settings class of an expression such as `job.model`, by the annotations of parameters and fields."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := kind_of(node.value, known)) is not None:
        field = owner.model_fields.get(node.attr)
        return settings_in(field.annotation) if field else None
    return None


def calls_of_methods(path: Path) -> Iterator[str]:
    """What a file asks of settings that is no field of theirs."""
    tree = ast.parse(path.read_text())
    settings = {node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in CLASSES}
    functions = [node for part in tree.body if part not in settings for node in ast.walk(part)]
    for function in functions:
        if not isinstance(function, ast.FunctionDef):
            continue
        named = {
            argument.arg: ast.unparse(argument.annotation) for argument in function.args.args if argument.annotation
        }
        known = {name: CLASSES[text] for name, text in named.items() if text in CLASSES}
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and (owner := kind_of(node.value, known)) is not None:
                kinds = [owner, *subclasses(owner)]
                is_field = any(node.attr in kind.model_fields for kind in kinds)
                if not is_field and not hasattr(BaseModel, node.attr):
                    yield f"{path.name}:{node.lineno}: {ast.unparse(node)}"


def test_jobs_call_no_methods_of_settings() -> None:
    files = code_of_jobs()
    assert "slamflow/tokenizers/extract.py" in files
    assert "slamflow/lm/loop.py" in files
    assert [call for name in sorted(files) for call in calls_of_methods(SCRIPTS / name)] == []


def test_a_call_would_be_found(tmp_path: Path) -> None:
    code = (
        "def f(settings: ExtractUnits):\n    return settings.encoder.tick_hz, settings.encoder.kind, settings.corpus\n"
    )
    (tmp_path / "job.py").write_text(code)
    assert list(calls_of_methods(tmp_path / "job.py")) == ["job.py:2: settings.encoder.tick_hz"]


def test_all_settings_classes_are_left_out_of_digests() -> None:
    """By the name of a base class, which is all that the digest sees."""
    for module in ALL:
        tree = ast.parse(Path(module.__file__).read_text())
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and issubclass(getattr(module, node.name), Settings):
                bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                is_base = getattr(module, node.name) is Settings
                assert is_base or any(base.endswith("Settings") for base in bases), f"{module.__name__}.{node.name}"
