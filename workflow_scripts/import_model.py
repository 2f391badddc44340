"""Make a published model of units one that the workflow scores.

Reads  the model's folder as it was published (--source), and what is known of the encoder of its units.
Writes an ordinary transformers folder with speech.json (--output).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slamflow import commands, files
from slamflow.adapters import ADAPTERS, ImportModel
from slamflow.errors import InputError
from slamflow.lm.speech import speech_record


def main(argv: list[str]) -> None:
    """Convert the model of --source."""
    parser = commands.parser(__doc__)
    parser.add_argument("--adapter", choices=ADAPTERS.names(), required=True, help="the format of the model")
    parser.add_argument("--source", type=Path, required=True, help="the folder as it was published")
    parser.add_argument("--codebook", type=Path, help="manifest of the encoder's codebook, JSON")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(ImportModel, arguments.settings)
    codebook = files.read_json(arguments.codebook) if arguments.codebook else None
    vocabulary = ADAPTERS.module(arguments.adapter).convert(arguments.source, arguments.output)
    units = codebook["clusters"] if codebook else vocabulary.units
    spare = ADAPTERS.settings(arguments.adapter).spare_units
    if units > vocabulary.units or (units < vocabulary.units and not spare):
        raise InputError(
            f"{arguments.source}: the model speaks {vocabulary.units} units, the encoder {settings.encoder} has {units}"
        )
    vocabulary = replace(vocabulary, units=units)
    tokenizer = settings.tokenizer.model_dump(mode="json") if settings.tokenizer else None
    record = speech_record(vocabulary, settings.name, settings.encoder, tokenizer, codebook)
    files.write_json(arguments.output / "speech.json", record)
    commands.log.info("%d units, special tokens %s", vocabulary.units, record["vocabulary"]["special"])


if __name__ == "__main__":
    commands.run(main)
