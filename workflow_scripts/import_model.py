"""Read a published model of units.

Reads  a folder in the format of --kind. Writes an ordinary transformers folder with speech.json.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.adapters import ADAPTERS


def main(argv: list[str]) -> None:
    """Convert the model of --model."""
    parser = commands.parser(__doc__)
    parser.add_argument("--kind", choices=ADAPTERS.names(), required=True, help="the format of the model")
    parser.add_argument("--model", type=Path, required=True, help="the folder as it was published")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args(argv)
    ADAPTERS.module(arguments.kind).convert(arguments.model, arguments.output)


if __name__ == "__main__":
    commands.run(main)
