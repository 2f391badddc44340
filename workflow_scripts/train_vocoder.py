"""Train a vocoder: deduplicated units to the speech of one voice, durations predicted.

Reads speech shards and the unit shards made from them. Writes vocoder.safetensors and vocoder.json (shape, voice,
course of the training) to the output folder.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import torch

from slamflow import commands, files
from slamflow.settings.vocoder import TrainVocoder
from slamflow.vocoder.synthesis import DESCRIPTION, WEIGHTS
from slamflow.vocoder.training import train


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--audio", type=Path, nargs="+", required=True, help="speech shards")
    parser.add_argument("--units", type=Path, nargs="+", required=True, help="unit shards of the same corpora")
    parser.add_argument("--output", type=Path, required=True, help="folder of the vocoder")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; their number shows in the last bits")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(TrainVocoder, arguments.settings)
    torch.set_num_threads(arguments.threads)
    vocoder, record = train(settings, arguments.audio, arguments.units)
    vocoder.save_weights(arguments.output / WEIGHTS)
    files.write_json(
        arguments.output / DESCRIPTION,
        {
            "units": settings.units,
            "frame_rate_hz": settings.frame_rate_hz,
            "width": settings.training.width,
            "blocks": settings.training.blocks,
            "training": record,
            "settings": settings.model_dump(),
            "sha256": files.sha256_file(arguments.output / WEIGHTS),
            "versions": {name: version(name) for name in ("numpy", "soundfile", "soxr", "torch")},
        },
    )


if __name__ == "__main__":
    commands.run(main)
