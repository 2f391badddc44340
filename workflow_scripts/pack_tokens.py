"""Pack documents into token rows of one fixed length.

Reads  unit shards (Parquet with `id` and `units`), or for a vocabulary of text stories (JSONL with `id` and `text`).
Writes a folder for `datasets.load_from_disk` with the columns `input_ids` (uint16, or uint32 for a vocabulary of more
       than 65,536 tokens) and `document` (int32: which piece of the row a position belongs to, -1 for padding), and
       manifest.json, which has the vocabulary.

Each document is written as BOS, tokens, EOS. One that fits a row is never cut; a longer one is cut into full rows and
a rest, which gets no new BOS. With documents: joined they are one stream instead, each followed by EOS, that is cut
where a row is full; with padded each piece has a row of its own.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, packing
from slamflow.recipe.datasets import PackTokens


def main(argv: list[str]) -> None:
    """Pack the files of --input."""
    parser = commands.parser(__doc__)
    parser.add_argument(
        "--input", action=commands.Files, nargs="+", required=True, help="unit shards, or stories as JSONL"
    )
    parser.add_argument("--output", type=Path, required=True, help="the folder to write")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(PackTokens, arguments.settings)
    manifest = packing.pack_files(arguments.input, settings, arguments.output)
    commands.log.info(
        "%d documents, %d tokens -> %d rows, %.2f %% full",
        manifest["documents"],
        manifest["tokens"],
        manifest["rows"],
        100 * manifest["fill"],
    )


if __name__ == "__main__":
    commands.run(main)
