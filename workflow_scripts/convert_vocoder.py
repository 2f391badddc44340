"""Convert a published vocoder: deduplicated units to the speech of one voice, durations predicted.

Reads   --input: a folder with the generator (.pt) and the configuration (.json) of a unit HiFi-GAN
Writes  --output: vocoder.safetensors, vocoder.json
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.vocoders import VOCODERS
from slamflow.vocoders.job_settings import ConvertVocoder


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    vocoder = commands.read_settings(ConvertVocoder, arguments.settings).vocoder
    VOCODERS.module(vocoder.kind).convert(vocoder, arguments.input, arguments.output)


if __name__ == "__main__":
    commands.run(main)
