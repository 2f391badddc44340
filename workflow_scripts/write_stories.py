"""Write one shard of a story corpus as text.

Reads: nothing (text source `grammar`), or --source: a UTF-8 file of stories separated by `<|endoftext|>` (in a file
without that, by blank lines; without those, by line ends), Parquet files with a column of texts, or SWAG's train.csv.
Writes: --output, JSONL with `id`, `split`, `shape`, `hero`, `object`, `event`, `text`, `prompt` (all but the last
sentence), `ending` (the last sentence) and `wrong_detail` (an ending that contradicts the story in one detail).
Stories that are read have null for shape, hero, object, event and (but for SWAG's) wrong_detail.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, files
from slamflow.corpora.job_settings import WriteStories
from slamflow.text import TEXT_SOURCES


def main(argv: list[str]) -> None:
    arguments = commands.parser(__doc__)
    arguments.add_argument("--source", type=Path, nargs="*", default=[], help="the file, or files, of stories")
    arguments.add_argument("--output", type=Path, required=True, help="JSONL to write")
    options = arguments.parse_args(argv)
    settings = commands.read_settings(WriteStories, options.settings)
    records = TEXT_SOURCES.module(settings.text.source).records(settings.text, settings, options.source)
    files.write_jsonl(options.output, records)
    commands.log.info("%s: %d stories", options.output, len(records))


if __name__ == "__main__":
    commands.run(main)
