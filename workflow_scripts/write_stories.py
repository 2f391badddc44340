"""Write one shard of a story corpus as text.

Reads: nothing (text source `grammar`), or --source: a UTF-8 file of stories separated by `<|endoftext|>` (in a file
without that, by blank lines; without those, by line ends), Parquet files with a column of texts, or SWAG's train.csv.
Writes: --output, JSONL with `id`, `split`, `shape`, `hero`, `object`, `event`, `text`, `prompt` (all but the last
sentence), `ending` (the last sentence) and `wrong_detail` (an ending that contradicts the story in one detail).
Stories that are read have null for shape, hero, object, event and (but for SWAG's) wrong_detail.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

from slamflow import commands, files
from slamflow.errors import InputError
from slamflow.settings.corpora import WriteStories
from slamflow.stories import grammar, sources, tables


def main(argv: list[str]) -> None:
    arguments = commands.parser(__doc__)
    arguments.add_argument("--source", type=Path, nargs="*", default=[], help="the file, or files, of stories")
    arguments.add_argument("--output", type=Path, required=True, help="JSONL to write")
    options = arguments.parse_args(argv)
    settings = commands.read_settings(WriteStories, options.settings)
    if settings.text.source == "grammar":
        wanted = set(sources.item_ids(settings, None))
        stories = grammar.write_stories(settings.text.seed, settings.split, settings.stories or 0)
        records = [record for record in stories if record["id"] in wanted]
    elif settings.text.source == "parquet":
        records = from_tables(settings, options.source)
    elif len(options.source) != 1:
        raise InputError(f"--source: text source {settings.text.source} is one file, {len(options.source)} were given")
    elif settings.text.source == "swag":
        records = from_swag(settings, options.source[0])
    else:
        records = from_file(settings, options.source[0])
    files.write_jsonl(options.output, records)
    commands.log.info("%s: %d stories", options.output, len(records))


Record = dict[str, str | None]
NOT_TOLD: Record = dict.fromkeys(("shape", "hero", "object", "event", "wrong_detail"))


def from_file(settings: WriteStories, source: Path) -> list[Record]:
    """The records of a file's stories in this shard. Raises InputError if the file has none for the split."""
    found = sources.read_file(settings, source)
    if found.separator != "<|endoftext|>":
        commands.log.warning(
            "%s has no <|endoftext|>: its stories are taken to be separated by %s", source, found.separator
        )
    if not found.stories:
        raise InputError(f"{source}: no usable story for split {settings.split}; separate stories by <|endoftext|>")
    warn(source, settings, found.set_aside, len(found.stories))
    return [record(settings, key, text) for key, text in found.stories.items() if in_shard(settings, key)]


def from_tables(settings: WriteStories, paths: list[Path]) -> list[Record]:
    """The records of the texts of Parquet files in this shard. Raises InputError if there are none for the split."""
    set_aside: Counter[str] = Counter()
    records = []
    count = 0
    for key, text in sources.usable(tables.texts(paths, settings.text.column), settings, set_aside):
        count += 1
        if in_shard(settings, key):
            records.append(record(settings, key, text))
    shown = paths[0].parent if paths else "--source"
    if not count:
        raise InputError(f"{shown}: no usable story for split {settings.split} in column {settings.text.column}")
    warn(shown, settings, set_aside, count)
    return records


def from_swag(settings: WriteStories, path: Path) -> list[Record]:
    """The records of SWAG's gold rows in this shard. Raises InputError if the file has none."""
    set_aside: Counter[str] = Counter()
    rows = list(itertools.islice(sources.swag_rows(path, settings.text.seed, set_aside), settings.stories))
    if not rows:
        raise InputError(f"{path}: no gold row; give SWAG's train.csv")
    warn(path, settings, set_aside, len(rows))
    return [
        {
            **NOT_TOLD,
            "id": f"{settings.split}-{row.key}",
            "split": settings.split,
            "text": f"{row.prompt} {row.ending}",
            "prompt": row.prompt,
            "ending": row.ending,
            "wrong_detail": row.wrong,
        }
        for row in rows
        if in_shard(settings, row.key)
    ]


def in_shard(settings: WriteStories, key: str) -> bool:
    """Whether the story with this content hash belongs to this shard."""
    return sources.in_shard(f"{settings.split}-{key}", settings)


def record(settings: WriteStories, key: str, text: str) -> Record:
    """The record of a text that ends with a sentence of its own."""
    prompt, ending = sources.split_ending(text)
    told = {"id": f"{settings.split}-{key}", "split": settings.split, "text": text, "prompt": prompt, "ending": ending}
    return {**NOT_TOLD, **told}


def warn(source: object, settings: WriteStories, set_aside: Counter[str], found: int) -> None:
    """Say what was set aside, and if there is less than was asked for."""
    for reason, count in sorted(set_aside.items()):
        commands.log.warning("%s, split %s: %d set aside: %s", source, settings.split, count, reason)
    if settings.stories is not None and found < settings.stories:
        commands.log.warning(
            "%s, split %s: %d stories asked for, %d found", source, settings.split, settings.stories, found
        )


if __name__ == "__main__":
    commands.run(main)
