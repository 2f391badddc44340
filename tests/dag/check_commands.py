"""Have the commands' own parsers, and classes of settings, read how the commands were called.

    python check_commands.py CALLED

reads: CALLED, a line of JSON for each call: the command's file and its arguments
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock


class Inert(type):
    """What stands in for anything of a library: a class whose attributes and calls are such classes too."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert(name, (), {})

    def __call__(cls, *_arguments: Any, **_named: Any) -> Any:
        return Inert(cls.__name__, (), {})


class InertLibraries(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what commands import of neither their own folder nor Python: libraries that do nothing, in no time."""

    def __init__(self, own: set[str]) -> None:
        self.real = own | sys.stdlib_module_names

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> importlib.machinery.ModuleSpec | None:
        real = name.split(".")[0] in self.real
        return None if real else importlib.machinery.ModuleSpec(name, self, is_package=True)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__getattr__ = lambda name: getattr(Inert(module.__name__, (), {}), name)  # type: ignore[method-assign]


class ParsedError(Exception):
    """Ends a command that has parsed its arguments, which it has."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments


def settings_class(module: types.ModuleType) -> Any:
    """The class by which a command checks its settings: what it gives commands.read_settings; None if it does not."""
    assert module.__file__
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("read_settings"):
            return eval(ast.unparse(node.args[0]), vars(module))
    return None


def errors(calls: list[list[str]]) -> Iterator[str]:
    """What is wrong with each call."""
    from slamflow import commands
    from slamflow.errors import InputError

    parse = argparse.ArgumentParser.parse_args

    def parse_only(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
        raise ParsedError(parse(parser, arguments))

    def refuse(_parser: argparse.ArgumentParser, message: str) -> None:
        raise InputError(message)

    for file, *arguments in calls:
        name = Path(file).stem
        with (
            mock.patch.object(argparse.ArgumentParser, "parse_args", parse_only),
            mock.patch.object(argparse.ArgumentParser, "error", refuse),
        ):
            try:
                importlib.import_module(name).main(arguments)
                yield f"{name}.py: it parses no arguments"
                continue
            except ParsedError as parsed:
                settings, text = settings_class(sys.modules[name]), parsed.arguments.settings
            except InputError as error:
                yield f"{name}.py: {error}"
                continue
        try:
            if settings:
                commands.read_settings(settings, text)
            elif text != "{}":
                yield f"{name}.py: it reads no settings"
        except InputError as error:
            yield f"{name}.py: {error}"


if __name__ == "__main__":
    called = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    folder = Path(called[0][0]).parent
    # Libraries that are imported already, such as pydantic, are real.
    sys.meta_path.insert(0, InertLibraries({path.stem for path in folder.iterdir()}))
    sys.path.insert(0, str(folder))
    wrong = list(dict.fromkeys(errors(called)))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
