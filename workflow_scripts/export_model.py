"""Write a model of units as SlamKit's.

Reads a model's folder (config.json, model.safetensors). Writes the folder that SlamKit's UnitLM.from_pretrained reads.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.adapters.slamkit import export_slamkit


def main(argv: list[str]) -> None:
    """Export the model of --model."""
    parser = commands.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a model")
    parser.add_argument("--base-model", required=True, help="the text model it descends from: a hub name or a folder")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args(argv)
    export_slamkit(arguments.model, arguments.output, arguments.base_model)


if __name__ == "__main__":
    commands.run(main)
