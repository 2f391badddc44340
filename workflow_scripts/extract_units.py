"""Turn the speech of one shard into units.

Reads a speech shard (Parquet), a codebook, and the folder with the encoder's weights. Writes a unit shard (Parquet with
`id`, `corpus`, `audio`, `speaker`, `split`, `text`, `start`, `seconds`, and the deduplicated `units` with their
`durations` in ticks), its manifest, and the list of recordings that could not be used, with the reason.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, gpus
from slamflow.tokenizers.extract import extract_shard
from slamflow.tokenizers.job_settings import ExtractUnits
from slamflow.tokenizers.workers import Work, encoder_pool


def main(argv: list[str]) -> None:
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
    arguments = parser.parse_args(argv)
    gpus.check(arguments)
    settings = commands.read_settings(ExtractUnits, arguments.settings)
    work = Work(settings.encoder, arguments.model, arguments.codebook, arguments.batch_seconds)
    with encoder_pool(work, arguments.workers) as pool:
        manifest = extract_shard(
            settings, pool, arguments.audio, arguments.output, arguments.manifest, arguments.quarantine
        )
    commands.log.info(
        "%d utterances, %.0f s of audio, %d units, %d near ties, %d set aside",
        *(manifest[key] for key in ("utterances", "seconds", "units", "near_ties", "quarantined")),
    )


if __name__ == "__main__":
    commands.run(main)
