"""Turn the speech of one shard into units.

Reads a speech shard (Parquet), a codebook, and the folder with the encoder's weights. Writes a unit shard (Parquet with
`id`, `corpus`, `audio`, `speaker`, `split`, `text`, `start`, `seconds`, and the deduplicated `units` with their
`durations` in ticks), its manifest, and the list of recordings that could not be used, with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from slamflow import commands, gpus, standing
from slamflow.tokenizers.job_settings import ExtractUnits

if TYPE_CHECKING:
    from slamflow.tokenizers.workers import Loaded


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments of one call."""
    parser = commands.parser(__doc__)
    parser.add_argument("--audio", type=Path, required=True, help="the speech shard")
    parser.add_argument("--codebook", type=Path, required=True, help="the codebook")
    parser.add_argument("--model", type=Path, help="folder with the weights of the tokenizer's kind; logmel has none")
    parser.add_argument("--output", type=Path, required=True, help="the unit shard to write")
    parser.add_argument("--manifest", type=Path, required=True, help="JSON manifest to write")
    parser.add_argument("--quarantine", type=Path, required=True, help="JSONL of what was set aside, to write")
    parser.add_argument("--workers", type=int, default=1, help="processes that encode; does not change the result")
    parser.add_argument(
        "--batch-seconds", type=float, help="audio encoded at once; by default one file on a CPU, with CUDA by memory"
    )
    gpus.add_options(parser)
    parser.add_argument(
        "--stay",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="with a GPU: a process with the loaded encoder waits this long for the next shard",
    )
    return parser.parse_args(argv)


def run(arguments: argparse.Namespace, loaded: Loaded) -> None:
    """Extract one shard."""
    gpus.check(arguments)
    # Seconds of torch, which a call that is answered by another process does not need.
    from slamflow.tokenizers.extract import extract_shard
    from slamflow.tokenizers.workers import Work

    settings = commands.read_settings(ExtractUnits, arguments.settings)
    work = Work(settings.encoder, arguments.model, arguments.codebook, arguments.batch_seconds)
    manifest = extract_shard(
        settings,
        loaded.encoder(work, arguments.workers),
        arguments.audio,
        arguments.output,
        arguments.manifest,
        arguments.quarantine,
    )
    commands.log.info(
        "%d utterances, %.0f s of audio, %d units, %d near ties, %d set aside",
        *(manifest[key] for key in ("utterances", "seconds", "units", "near_ties", "quarantined")),
    )


def serve(place: Path, idle_seconds: float) -> None:
    """Extract the shards of one call after another, as slamflow.standing says."""
    with contextlib.ExitStack() as stack:
        kept: list[Loaded] = []

        def answer(argv: list[str]) -> None:
            # With the first call and not before: who calls waits for this process to listen.
            import torch

            from slamflow.tokenizers.workers import Loaded

            if not kept:
                kept.append(stack.enter_context(Loaded()))
            run(parse(argv), kept[0])
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

        standing.serve(place, answer, idle_seconds)


def main(argv: list[str]) -> None:
    if argv[:1] == [standing.SERVE]:
        serve(Path(argv[1]), float(argv[2]))
        return
    arguments = parse(argv)
    if arguments.stay and standing.has_gpu() and (place := standing.place_of(Path(__file__))):
        start = [sys.executable, __file__, standing.SERVE, str(place), str(arguments.stay)]
        status = standing.ask(place, start, argv)
        if status is not None:
            if status:
                sys.exit(status)
            return
    from slamflow.tokenizers.workers import Loaded

    with Loaded() as loaded:
        run(arguments, loaded)


if __name__ == "__main__":
    commands.run(main)
