"""Train a model of units to prefer the right ending of a pair, by direct preference optimisation.

Reads  the model's folder (--parent) and pairs (--pairs, Parquet: id, prompt, chosen, rejected as lists of units; the
       endings have been deduplicated over the seam with the prompt).
Writes a transformers folder with speech.json, training.json and metrics.jsonl to --output, and while it trains the
       state that a killed run goes on from, and TensorBoard events, to --state.
Run it with torchrun; a single process may also be started with python.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.code_digest import code_digest
from slamflow.settings.training import Preference
from slamflow.training import devices
from slamflow.training.preference import prefer


def main(argv: list[str]) -> None:
    """Train the model that --settings describe."""
    parser = commands.parser(__doc__)
    parser.add_argument("--parent", type=Path, required=True, help="folder of the model to start from")
    parser.add_argument("--pairs", type=Path, required=True, help="Parquet file of pairs")
    parser.add_argument("--state", type=Path, required=True, help="folder for what a killed run goes on from")
    parser.add_argument("--output", type=Path, required=True, help="folder of the model")
    devices.add_machine_options(parser)
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(Preference, arguments.settings)
    ranks = devices.start(arguments.threads)
    prefer(
        settings,
        arguments.parent,
        arguments.pairs,
        devices.read_machine(arguments, ranks),
        ranks,
        arguments.state,
        arguments.output,
        code_digest(Path(__file__)),
    )
    devices.stop()


if __name__ == "__main__":
    commands.run(main)
