"""Write units as SlamKit's features.

Reads unit shards (Parquet). Writes JSONL with SlamKit's `units`, `duration` and `file_name`, and what else a unit
shard knows under its own names.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.adapters.slamkit_units import export_jsonl


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--units", action=commands.Files, nargs="+", required=True, help="unit shards")
    parser.add_argument("--output", type=Path, required=True, help="JSONL to write")
    arguments = parser.parse_args(argv)
    commands.log.info("%d utterances", export_jsonl(arguments.units, arguments.output))


if __name__ == "__main__":
    commands.run(main)
