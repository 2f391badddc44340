"""Convert a downloaded speech encoder into a transformers folder.

Reads   --input: a folder with one .pt file of fairseq (fairseq_hubert)
Writes  --output: config.json, preprocessor_config.json, model.safetensors
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.assets import ENCODER_CONVERTERS


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--convert", required=True, choices=ENCODER_CONVERTERS.names())
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    ENCODER_CONVERTERS.module(arguments.convert).convert(arguments.input, arguments.output)


if __name__ == "__main__":
    commands.run(main)
