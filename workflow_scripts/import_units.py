"""Read SlamKit's features as units.

Reads JSONL with `units`, `duration` and `file_name`. Writes a unit shard (Parquet).
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.adapters.slamkit_units import import_jsonl


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--jsonl", type=Path, required=True, help="SlamKit's features")
    parser.add_argument("--output", type=Path, required=True, help="the unit shard to write")
    parser.add_argument("--corpus", default="imported", help="corpus of lines that name none")
    parser.add_argument("--split", help="split of lines that name none")
    arguments = parser.parse_args(argv)
    count = import_jsonl(arguments.jsonl, arguments.output, arguments.corpus, arguments.split)
    commands.log.info("%d utterances", count)


if __name__ == "__main__":
    commands.run(main)
