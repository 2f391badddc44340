"""Train a language model: on token rows, or on preference pairs, as the objective of its settings asks.

Reads  the model to start from (--parent, a transformers folder), and what the objective asks for: the rows of --train
       and of each --validation with the manifest of their codebook (--tokenizer), or the pairs of --pairs (Parquet: id,
       prompt, chosen, rejected as lists of units).
Writes a transformers folder with speech.json, training.json and metrics.jsonl to --output, and while it trains the
       resumable training state, and TensorBoard events, to --state.
Run it with torchrun; a single process may also be started with python.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, gpus
from slamflow.code_digest import code_digest
from slamflow.lm import devices
from slamflow.lm.job_settings import TrainModel
from slamflow.lm.objective import Inputs
from slamflow.lm.objectives import OBJECTIVES
from slamflow.lm.training import train_model


def main(argv: list[str]) -> None:
    """Train the model that --settings describe."""
    parser = commands.parser(__doc__)
    parser.add_argument("--parent", type=Path, help="transformers folder to start from")
    parser.add_argument("--train", type=Path, help="folder of rows to train on")
    parser.add_argument(
        "--validation",
        type=commands.named_path,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=FOLDER",
        help="rows for a validation loss",
    )
    parser.add_argument("--tokenizer", type=Path, help="manifest of the codebook; none for a text model")
    parser.add_argument("--pairs", type=Path, help="Parquet file of preference pairs")
    parser.add_argument("--state", type=Path, required=True, help="folder of the resumable training state")
    parser.add_argument("--output", type=Path, required=True, help="folder of the model")
    devices.add_machine_options(parser)
    gpus.add_options(parser)
    arguments = parser.parse_args(argv)
    gpus.check(arguments)
    job = commands.read_settings(TrainModel, arguments.settings)
    inputs = Inputs(
        arguments.parent,
        arguments.train,
        dict(arguments.validation),
        arguments.pairs,
        arguments.tokenizer,
    )
    ranks = devices.start(arguments.threads)
    train_model(
        job,
        inputs,
        devices.read_machine(arguments, ranks),
        ranks,
        arguments.state,
        arguments.output,
        code_digest(Path(__file__), [OBJECTIVES.module_name(job.model.objective)]),
    )
    devices.stop()


if __name__ == "__main__":
    commands.run(main)
