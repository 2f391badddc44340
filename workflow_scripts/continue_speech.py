"""Let a model continue spoken prompts, and speak the result.

Reads speech shards, a tokenizer's codebook, a vocoder, and a model of units (a folder with speech.json). Each utterance
is cut after the prompt, then encoded; the model continues, and the vocoder speaks prompt and continuation. Without
--model, the settings' model `truth` takes the units of the true rest, and `shuffled` these units shuffled: the two ends
of the scale. Writes units and FLAC (Parquet; columns in slamflow.shards.continuations), and the list of prompts with
the SHA-256 of their audio (JSON).
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, gpus
from slamflow.generation.continuations import continue_speech
from slamflow.recipe.generation import ContinueSpeech


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--model", type=Path, help="transformers folder with speech.json; truth and shuffled have none")
    parser.add_argument("--audio", action=commands.Files, nargs="+", required=True, help="speech shards")
    parser.add_argument("--codebook", type=Path, required=True, help="the codebook")
    parser.add_argument("--tokenizer-model", type=Path, help="the folder with the tokenizer's weights; logmel has none")
    parser.add_argument(
        "--vocoder", type=Path, required=True, help="folder that train_vocoder or convert_vocoder wrote"
    )
    parser.add_argument("--output", type=Path, required=True, help="the continuations, Parquet")
    parser.add_argument("--prompts", type=Path, required=True, help="the list of prompts, JSON, to write")
    parser.add_argument("--workers", type=int, default=1, help="threads; their number changes nothing")
    gpus.add_options(parser)
    arguments = parser.parse_args(argv)
    gpus.check(arguments)
    continue_speech(
        commands.read_settings(ContinueSpeech, arguments.settings),
        arguments.model,
        arguments.audio,
        arguments.codebook,
        arguments.tokenizer_model,
        arguments.vocoder,
        arguments.output,
        arguments.prompts,
        arguments.workers,
    )


if __name__ == "__main__":
    commands.run(main)
