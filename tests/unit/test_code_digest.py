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
