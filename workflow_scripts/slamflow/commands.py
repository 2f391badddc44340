"""What every command has in common: its settings, its log, its errors."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from slamflow.errors import InputError
from slamflow.sharding import shard_paths

Settings = TypeVar("Settings", bound=BaseModel)
Item = TypeVar("Item")

log = logging.getLogger("slamflow")


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with the one option that all commands share."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--settings", default="{}", help="this stage's settings as one JSON object")
    return result


def read_settings(kind: type[Settings], text: str) -> Settings:
    """Check the JSON of --settings with the class that the configuration was checked with."""
    try:
        return kind.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise InputError(f"--settings is not valid JSON: {error}") from None
    except ValidationError as error:
        raise InputError(f"--settings: {describe_errors(error)}") from None


def named_path(text: str) -> tuple[str, Path]:
    """The two parts of an argument NAME=PATH."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path)


class Files(argparse.Action):
    """Paths, where one may stand for all shards, as in `train/?????-of-20000.parquet`: so many fit no command line."""

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _flag: str | None = None
    ) -> None:
        setattr(namespace, self.dest, [path for value in values for path in shard_paths(value)])


def describe_errors(error: ValidationError, where: str = "") -> str:
    """A pydantic error as lines of `key: what is wrong`."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"] if not str(part).startswith(("function-after", "tag:")))
        prefix = ".".join(part for part in (where, key) if part)
        message = "unknown key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        if item["type"] in ("float_type", "int_type") and _is_number(item["input"]):
            message = f"{item['input']!r} is text in YAML; write a number with a point, such as 1.0e-4"
        lines.append(f"{prefix}: {message}" if prefix else message)
    return "\n".join(lines)


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, str) and float(value) == float(value)
    except ValueError:
        return False


def run(main: Callable[[list[str]], None]) -> None:
    """Run a command's main(argv): log to stderr, end with 1 and a plain message on an InputError."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    try:
        main(sys.argv[1:])
    except InputError as error:
        log.error("%s", error)
        sys.exit(1)


def progress(items: Iterable[Item], total: int, what: str, every_seconds: float = 10.0) -> Iterator[Item]:
    """Yield `items`, logging count, rate and time left at intervals, in lines that read well in a file."""
    started = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= every_seconds or (done == total and now - started >= every_seconds):
            last = now
            rate = done / (now - started)
            log.info("%s: %d of %d, %.1f/s, %.0f s left", what, done, total, rate, max(0, total - done) / rate)
