"""Collect one shard of a benchmark, or of preference pairs, that were published as speech.

Reads: --source, a folder of pairs, or archives; or a dataset of the hub, whose files pass through --downloads (for an
unpinned one --commit is the JSON of pin_revision, which says the commit).
Writes: --output, a speech shard with the utterances {id}.good and {id}.bad; --text, JSONL that says of each pair its
`id`, `good` and `bad` (what is said, empty if not known), `cluster` (what the voices of a pair share) and
`phenomenon` (of preference pairs: `id`, and what is said in `prompt`, `ending` and `wrong_detail`, as the utterances
are called then); --manifest, JSON with counts, seconds, settings, SHA-256 and versions; --quarantine, JSONL of what was
set aside, with the reason.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.corpora.job_settings import CollectPairs
from slamflow.corpora.pair_files import collect_pairs
from slamflow.corpora.revisions import pin


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--source", type=Path, nargs="*", default=[], help="the folder of pairs, or archives")
    parser.add_argument("--commit", type=Path, help="JSON that says the commit of a dataset without a fixed one")
    parser.add_argument("--output", type=Path, required=True, help="the speech shard to write")
    parser.add_argument("--text", type=Path, required=True, help="JSONL of the pairs, to write")
    parser.add_argument("--manifest", type=Path, required=True, help="JSON manifest to write")
    parser.add_argument("--quarantine", type=Path, required=True, help="JSONL of what was set aside, to write")
    parser.add_argument("--downloads", type=Path, default=Path("resources/.downloads"), help="for files of the hub")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(CollectPairs, arguments.settings)
    settings = settings.model_copy(update={"pairs": pin(settings.pairs, arguments.commit)})
    manifest = collect_pairs(
        settings,
        arguments.source,
        arguments.output,
        arguments.text,
        arguments.manifest,
        arguments.quarantine,
        arguments.downloads,
    )
    commands.log.info("%d pairs, %d recordings set aside", manifest["pairs"], manifest["quarantined"])


if __name__ == "__main__":
    commands.run(main)
