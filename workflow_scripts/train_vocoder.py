"""Train a vocoder: deduplicated units to the speech of one voice, durations predicted.

Reads speech shards and the unit shards made from them. Writes vocoder.safetensors and vocoder.json (shape, voice,
course of the training) to the output folder.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.vocoders import VOCODERS
from slamflow.vocoders.job_settings import TrainVocoder


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--audio", action=commands.Files, nargs="+", required=True, help="speech shards")
    parser.add_argument(
        "--units", action=commands.Files, nargs="+", required=True, help="unit shards of the same corpora"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the vocoder")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; their number shows in the last bits")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(TrainVocoder, arguments.settings)
    kind = VOCODERS.module(settings.vocoder.kind)
    kind.train(settings, arguments.audio, arguments.units, arguments.threads, arguments.output)


if __name__ == "__main__":
    commands.run(main)
