"""SlamKit's features: JSONL with `units`, `duration` and `file_name`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slamflow.errors import InputError
from slamflow.files import atomic_path
from slamflow.shards.units import read_units, write_units

LARGEST = int(np.iinfo(np.uint16).max)
OWN_KEYS = ("id", "corpus", "speaker", "split", "text", "start", "seconds")
"""What a unit shard knows beyond SlamKit's three keys. SlamKit's own reader drops columns it does not know."""


def export_jsonl(shards: list[Path], output: Path) -> int:
    """Write the utterances of unit shards as SlamKit's features, in their order; returns how many."""
    count = 0
    with atomic_path(output) as temporary, open(temporary, "w", encoding="utf-8") as lines:
        for shard in shards:
            for row in read_units(shard):
                record = {"units": row["units"], "duration": row["durations"], "file_name": row["audio"]}
                record |= {key: row[key] for key in OWN_KEYS}
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
    return count


def import_jsonl(source: Path, output: Path, corpus: str, split: str | None) -> int:
    """Write SlamKit's features as one unit shard; returns the number of utterances.

    `corpus` and `split` stand in where a line does not say; the id is the file's name. Raises InputError with the
    number of the line for anything that is not a deduplicated sequence of units with as many durations.
    """
    count = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal count
        with open(source, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    count += 1
                    yield _parse(line, f"{source}, line {number}", corpus, split)

    write_units(output, rows())
    return count


def _parse(line: bytes, where: str, corpus: str, split: str | None) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError(f"{where}: not UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not valid JSON ({error.msg})") from None
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected a JSON object")
    for key in ("units", "file_name"):
        if key not in record:
            raise InputError(f"{where}: no {key}; SlamKit's features have units, duration and file_name")
    name = record["file_name"]
    if not isinstance(name, str):
        raise InputError(f"{where}: file_name is not a string")
    units = _numbers(record["units"], f"{where}: units", 0)
    durations = _numbers(record.get("duration", [1] * len(units)), f"{where}: duration", 1)
    if len(units) != len(durations):
        raise InputError(f"{where}: {len(units)} units, but {len(durations)} durations")
    repeated = next((i for i in range(1, len(units)) if units[i] == units[i - 1]), None)
    if repeated is not None:
        raise InputError(f"{where}: units {repeated - 1} and {repeated} are equal; expected deduplicated units")
    own = {key: record.get(key) for key in OWN_KEYS}
    for key, value in own.items():
        wanted: tuple[type, ...] = (int, float) if key in ("start", "seconds") else (str,)
        if value is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
            raise InputError(f"{where}: {key} is {value!r}, not a {'number' if int in wanted else 'string'}")
    return own | {
        "id": own["id"] or name,
        "corpus": own["corpus"] or corpus,
        "split": own["split"] or split,
        "audio": name,
        "start": 0.0 if own["start"] is None else own["start"],
        "units": units,
        "durations": durations,
    }


def _numbers(values: Any, where: str, smallest: int) -> list[int]:
    if not isinstance(values, list):
        raise InputError(f"{where} is not a list")
    for position, value in enumerate(values):
        if type(value) is not int or not smallest <= value <= LARGEST:
            raise InputError(f"{where}: {value!r} at position {position} is not in {smallest}..{LARGEST}")
    return values
