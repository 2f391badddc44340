"""Train a language model on token rows, from scratch or from a text model.

Reads  the rows of --train and of each --validation, a codebook's manifest and a transformers folder (--parent).
Writes a transformers folder with speech.json, training.json and metrics.jsonl to --output, and while it trains the
       state that a killed run goes on from, and TensorBoard events, to --state.
Run it with torchrun; a single process may also be started with python.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.code_digest import code_digest
from slamflow.errors import InputError
from slamflow.settings.training import Model
from slamflow.training import devices
from slamflow.training.pretraining import pretrain
from slamflow.training.rows import Rows


def named_folder(text: str) -> tuple[str, Path]:
    """NAME=FOLDER as a pair."""
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise InputError(f"--validation {text}: write NAME=FOLDER")
    return name, Path(folder)


def main(argv: list[str]) -> None:
    """Train the model that --settings describe."""
    parser = commands.parser(__doc__)
    parser.add_argument("--train", type=Path, required=True, help="folder of rows to train on")
    parser.add_argument(
        "--validation", nargs="+", action="extend", default=[], metavar="NAME=ROWS", help="rows for a validation loss"
    )
    parser.add_argument("--vocabulary", type=int, required=True, help="number of tokens, the special ones included")
    parser.add_argument("--parent", type=Path, help="transformers folder to start from")
    parser.add_argument("--codebook-manifest", type=Path, help="manifest of the codebook; none for a text model")
    parser.add_argument("--state", type=Path, required=True, help="folder for what a killed run goes on from")
    parser.add_argument("--output", type=Path, required=True, help="folder of the model")
    devices.add_machine_options(parser)
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(Model, arguments.settings)
    validation = {name: Rows(folder) for name, folder in map(named_folder, arguments.validation)}
    ranks = devices.start(arguments.threads)
    pretrain(
        settings,
        arguments.vocabulary,
        Rows(arguments.train),
        validation,
        arguments.parent,
        arguments.codebook_manifest,
        devices.read_machine(arguments, ranks),
        ranks,
        arguments.state,
        arguments.output,
        code_digest(Path(__file__)),
    )
    devices.stop()


if __name__ == "__main__":
    commands.run(main)
