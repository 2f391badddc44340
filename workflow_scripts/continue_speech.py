"""Let a model continue spoken prompts, and speak the result.

Reads speech shards, an encoder with its codebook, a vocoder, and a model of units (a transformers folder). Each
utterance is cut after the prompt, then encoded; the model continues, and the vocoder speaks prompt and continuation.
Instead of a model, `--baseline truth` takes the units of the true rest, and `--baseline shuffled` these in disorder:
the two ends of the scale. Writes units and FLAC (Parquet; columns in slamflow.generation.prompts.SCHEMA).
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.generation.continuations import continue_speech
from slamflow.settings.generation import ContinueSpeech


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path, help="transformers folder of the model")
    source.add_argument("--baseline", choices=("truth", "shuffled"), help="what stands in for a model")
    parser.add_argument("--audio", type=Path, nargs="+", required=True, help="speech shards")
    parser.add_argument("--codebook", type=Path, required=True, help="the codebook")
    parser.add_argument("--encoder-model", type=Path, help="the encoder's transformers folder; logmel has none")
    parser.add_argument(
        "--vocoder", type=Path, required=True, help="folder that train_vocoder or convert_vocoder wrote"
    )
    parser.add_argument("--output", type=Path, required=True, help="the continuations, Parquet")
    parser.add_argument("--workers", type=int, default=1, help="threads; their number changes nothing")
    arguments = parser.parse_args(argv)
    continue_speech(
        commands.read_settings(ContinueSpeech, arguments.settings),
        arguments.model or arguments.baseline,
        arguments.audio,
        arguments.codebook,
        arguments.encoder_model,
        arguments.vocoder,
        arguments.output,
        arguments.workers,
    )


if __name__ == "__main__":
    commands.run(main)
