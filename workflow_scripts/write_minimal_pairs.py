"""Write one shard of a corpus of minimal pairs as text.

Reads: nothing (the pairs are made in the words of the grammar: task `sblimp` makes sentences that differ in one point
of grammar, task `swuggy` words and pseudo-words), or --source, the file of pairs that the settings' `text` describes.
Writes: --output, JSONL with `id`, `split`, `phenomenon`, `good` and `bad` (what is spoken) and `cluster` (what pairs
share, so that an interval takes them together). Of a file also `prompt`, if `good` and `bad` are endings of one, which
is spoken apart; and for a pair that cannot be used its `id`, `split` and the reason, `left_out`, alone.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from slamflow import commands, files
from slamflow.corpora.job_settings import WriteMinimalPairs
from slamflow.errors import InputError
from slamflow.sharding import parse_shard, shard_of
from slamflow.text import PAIR_SOURCES, PAIR_TEXTS
from slamflow.text.pair_records import records


def main(argv: list[str]) -> None:
    arguments = commands.parser(__doc__)
    arguments.add_argument("--source", type=Path, help="the file of pairs")
    arguments.add_argument("--output", type=Path, required=True, help="JSONL to write")
    options = arguments.parse_args(argv)
    settings = commands.read_settings(WriteMinimalPairs, options.settings)
    written = of_grammar(settings) if settings.text is None else of_file(settings, options.source)
    files.write_jsonl(options.output, written)
    left_out = Counter(record["left_out"] for record in written if "left_out" in record)
    commands.log.info("%s: %d pairs, left out: %s", options.output, len(written) - left_out.total(), dict(left_out))


def of_grammar(settings: WriteMinimalPairs) -> list[dict[str, Any]]:
    """The pairs of one shard in the words of the grammar."""
    index, count = parse_shard(settings.shard)
    write = PAIR_TEXTS.module(settings.task).write_minimal_pairs
    return [
        record
        for record in write(settings.seed, settings.split, settings.pairs)
        if shard_of(record["id"], count) == index
    ]


def of_file(settings: WriteMinimalPairs, source: Path | None) -> list[dict[str, Any]]:
    """The pairs of one shard of a file. Raises InputError without a file."""
    assert settings.text is not None
    if source is None:
        raise InputError("--source: the file of pairs is needed")
    return list(records(PAIR_SOURCES.module(settings.text.source).pairs(settings.text, source), settings))


if __name__ == "__main__":
    commands.run(main)
