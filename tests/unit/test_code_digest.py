"""A comment reruns nothing, an edit reruns what uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slamflow.code_digest import code_digest

COMMAND = """'''A command.'''

from slamflow import packing


def main() -> int:
    '''Do it.'''
    return packing.f()
"""
MODULE = '"""A module."""\n\nfrom slamflow.deep import helper\n\n\ndef f() -> int:\n    return helper.g()\n'
HELPER = "def g() -> int:\n    return 1\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "one")


def make_checkout(root: Path) -> Path:
    package = root / "slamflow"
    (package / "deep").mkdir(parents=True)
    for path in (package / "__init__.py", package / "deep/__init__.py"):
        path.write_text("")
    (root / "command.py").write_text(COMMAND)
    (package / "packing.py").write_text(MODULE)
    (package / "unused.py").write_text(HELPER)
    (package / "deep/helper.py").write_text(HELPER)
    return root


def digest(root: Path) -> str:
    return code_digest(root / "command.py")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("command.py", COMMAND + "\n# a comment\n"),
        ("command.py", COMMAND.replace("Do it.", "Do it, said otherwise.")),
        ("slamflow/packing.py", MODULE.replace("A module.", "Another docstring.\n")),
        ("slamflow/deep/helper.py", HELPER.replace("    return", "\n    return")),
        ("slamflow/unused.py", HELPER.replace("1", "2")),
    ],
)
def test_what_changes_nothing(checkout: Path, name: str, text: str) -> None:
    before = digest(checkout)
    (checkout / name).write_text(text)
    assert digest(checkout) == before


@pytest.mark.parametrize("name", ["command.py", "slamflow/packing.py", "slamflow/deep/helper.py"])
def test_an_edit_counts_at_any_depth(checkout: Path, name: str) -> None:
    before = digest(checkout)
    path = checkout / name
    path.write_text(path.read_text().replace("-> int", "-> float"))
    assert digest(checkout) != before


def test_an_edit_of_a_package_counts(checkout: Path) -> None:
    before = digest(checkout)
    (checkout / "slamflow/deep/__init__.py").write_text("SIDE_EFFECT = print")
    assert digest(checkout) != before


def test_a_moved_checkout_is_the_same(checkout: Path, tmp_path: Path) -> None:
    assert digest(make_checkout(tmp_path / "elsewhere")) == digest(checkout)


KIND = '''
from slamflow.deep import helper
from slamflow.settings import LIMIT
from slamflow.unused import g


class Mine(BaseSettings):
    """What a recipe may say."""

    number: int = LIMIT

    def cost(self) -> int:
        return g()


def work() -> int:
    return helper.g()
'''
REGISTRY = (
    'FAMILY = Family("mine", {"mine": "slamflow.kind:Mine"})\n\n\ndef load(name):\n    return FAMILY.module(name)\n'
)


@pytest.fixture
def with_kind(checkout: Path) -> Path:
    (checkout / "slamflow/settings.py").write_text("LIMIT = 1\n")
    (checkout / "slamflow/kind.py").write_text(KIND)
    (checkout / "slamflow/registry.py").write_text(REGISTRY)
    (checkout / "command.py").write_text(COMMAND + "\n\nfrom slamflow.registry import load\n\nload('mine')\n")
    return checkout


def kind_digest(root: Path) -> str:
    return code_digest(root / "command.py", ["slamflow.kind"])


def test_a_kind_counts_only_where_it_is_used(with_kind: Path) -> None:
    without, used = digest(with_kind), kind_digest(with_kind)
    assert "slamflow/kind.py" in used
    assert "slamflow/kind.py" not in without
    (with_kind / "slamflow/kind.py").write_text(KIND.replace("helper.g()", "helper.g() + 1"))
    assert digest(with_kind) == without
    assert kind_digest(with_kind) != used


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("kind.py", "number: int = LIMIT", "number: int = LIMIT\n    more: str = 'x'"),
        ("kind.py", "return g()", "return 2 * g()"),
        ("settings.py", "1", "2"),
        ("unused.py", "1", "2"),
        ("registry.py", '"mine": "slamflow.kind:Mine"', '"mine": "slamflow.kind:Mine", "new": "slamflow.new:New"'),
    ],
)
def test_settings_classes_and_lists_of_kinds_do_not_count(with_kind: Path, name: str, old: str, new: str) -> None:
    before = kind_digest(with_kind)
    path = with_kind / "slamflow" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert kind_digest(with_kind) == before


def test_an_import_that_only_type_checkers_see_does_not_count(with_kind: Path) -> None:
    path = with_kind / "slamflow/packing.py"
    guarded = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from slamflow.unused import g\n\n"
    path.write_text(path.read_text().replace("def f()", guarded + "\ndef f()"))
    assert "slamflow/unused.py" not in digest(with_kind)


def test_an_import_inside_a_function_counts(with_kind: Path) -> None:
    path = with_kind / "slamflow/packing.py"
    path.write_text(
        path.read_text().replace("    return helper", "    from slamflow.unused import g\n\n    g()\n    return helper")
    )
    assert "slamflow/unused.py" in digest(with_kind)
