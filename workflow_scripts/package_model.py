"""Put into a model's folder what it needs to stand alone.

Reads  the model's folder (--model), its codebook, the files of its tokenizer's network and of a vocoder.
Writes codebook.safetensors, encoder/, vocoder/ and package.json into the model's folder; package.json lists every
       copied file with its SHA-256.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.lm.package import package_model


def main(argv: list[str]) -> None:
    """Package the model of --model."""
    parser = commands.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--codebook", type=Path, required=True, help="codebook whose units it speaks")
    parser.add_argument("--encoder", type=Path, nargs="+", default=[], help="files of the tokenizer's network")
    parser.add_argument("--vocoder", type=Path, nargs="+", default=[], help="files of a vocoder of these units")
    arguments = parser.parse_args(argv)
    copied = package_model(arguments.model, arguments.codebook, arguments.encoder, arguments.vocoder)
    commands.log.info("%d files copied", len(copied))


if __name__ == "__main__":
    commands.run(main)
