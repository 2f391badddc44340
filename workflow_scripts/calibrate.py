"""Measure how fast this device trains a model, and choose how many rows it takes at once.

Reads  the rows of --train and a transformers folder (--parent). Without --train, rows of random documents of
       --document-tokens units out of --units stand in for them, so that a device can be measured before there is data.
Writes what it found for this device to --output (JSON). The training reads it; no result depends on it.
Run it with torchrun as the training will be.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from slamflow import commands, files, gpus
from slamflow.errors import InputError
from slamflow.lm import devices
from slamflow.lm.calibration import calibrate, random_rows
from slamflow.lm.job_settings import TrainModel
from slamflow.lm.objective import Inputs


def main(argv: list[str]) -> None:
    """Measure the training that --settings describe."""
    parser = commands.parser(__doc__)
    parser.add_argument("--train", type=Path, help="folder of rows that will be trained on")
    parser.add_argument("--units", type=int, help="number of units, without --train")
    parser.add_argument("--context", type=int, default=1024, help="positions of a row, without --train")
    parser.add_argument("--document-tokens", type=int, default=1 << 30, help="length of a document, without --train")
    parser.add_argument("--parent", type=Path, help="transformers folder to start from")
    parser.add_argument("--output", type=Path, required=True, help="the JSON to write")
    parser.add_argument("--most-seconds", type=float, default=300.0, help="no further size is tried after that")
    devices.add_machine_options(parser)
    gpus.add_options(parser)
    arguments = parser.parse_args(argv)
    gpus.check(arguments)
    job = commands.read_settings(TrainModel, arguments.settings)
    ranks = devices.start(arguments.threads)
    machine = devices.read_machine(arguments, ranks)
    with tempfile.TemporaryDirectory() as folder:
        train = arguments.train
        if train is None:
            if arguments.units is None:
                raise InputError("give the rows to train on (--train), or the number of units (--units)")
            train = random_rows(Path(folder), arguments.context, arguments.units, arguments.document_tokens)
        found = calibrate(job, Inputs(arguments.parent, train), machine, ranks, arguments.most_seconds)
    if ranks.main:
        files.write_json(arguments.output, found)
    ranks.barrier()
    devices.stop()


if __name__ == "__main__":
    commands.run(main)
