"""Read SlamKit's model of units.

Reads the folder that SlamKit's UnitLM.save_pretrained wrote. Writes an ordinary transformers folder and speech.json.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.training.slamkit_model import import_slamkit


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of SlamKit")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args(argv)
    import_slamkit(arguments.model, arguments.output)


if __name__ == "__main__":
    commands.run(main)
