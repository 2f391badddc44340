"""Print the summary of a run (results/summary/<recipe>.json) as tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slamflow import commands, files
from slamflow.errors import InputError
from slamflow.report.table import render


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("summary", type=Path)
    path = parser.parse_args(argv).summary
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the workflow first")
    sys.stdout.write(render(files.read_json(path)))


if __name__ == "__main__":
    commands.run(main)
