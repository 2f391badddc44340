"""Write one shard of a corpus of minimal pairs as text.

Reads: nothing.
Writes: --output, JSONL with `id`, `split`, `phenomenon`, `good` and `bad` (what is spoken) and `cluster` (what pairs
share, so that an interval takes them together). Task `sblimp` makes sentences that differ in one point of grammar,
task `swuggy` words and pseudo-words.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, files
from slamflow.corpora.job_settings import WriteMinimalPairs
from slamflow.sharding import parse_shard, shard_of
from slamflow.text import PAIR_TEXTS


def main(argv: list[str]) -> None:
    arguments = commands.parser(__doc__)
    arguments.add_argument("--output", type=Path, required=True, help="JSONL to write")
    options = arguments.parse_args(argv)
    settings = commands.read_settings(WriteMinimalPairs, options.settings)
    index, count = parse_shard(settings.shard)
    write = PAIR_TEXTS.module(settings.task).write_minimal_pairs
    records = write(settings.seed, settings.split, settings.pairs)
    files.write_jsonl(options.output, [record for record in records if shard_of(record["id"], count) == index])
    commands.log.info("%s: of %d pairs", options.output, len(records))


if __name__ == "__main__":
    commands.run(main)
