"""Write one shard of a story corpus as text.

Reads: nothing (text source `grammar`), or --source, a UTF-8 file of stories separated by `<|endoftext|>`
(in a file without that, by blank lines; without those, by line ends).
Writes: --output, JSONL with `id`, `split`, `shape`, `hero`, `object`, `event`, `text`, `prompt` (all but the last
sentence), `ending` (the last sentence) and `wrong_detail` (an ending that contradicts the story in one detail).
A file's stories have null for shape, hero, object, event and wrong_detail.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, files
from slamflow.errors import InputError
from slamflow.settings.corpora import WriteStories
from slamflow.stories import grammar, sources


def main(argv: list[str]) -> None:
    arguments = commands.parser(__doc__)
    arguments.add_argument("--source", type=Path, help="the file of stories, for text source `file`")
    arguments.add_argument("--output", type=Path, required=True, help="JSONL to write")
    options = arguments.parse_args(argv)
    settings = commands.read_settings(WriteStories, options.settings)
    if settings.text.source == "grammar":
        wanted = set(sources.item_ids(settings, None))
        stories = grammar.write_stories(settings.text.seed, settings.split, settings.stories or 0)
        records = [record for record in stories if record["id"] in wanted]
    else:
        records = from_file(settings, options.source)
    files.write_jsonl(options.output, records)
    commands.log.info("%s: %d stories", options.output, len(records))


def from_file(settings: WriteStories, source: Path | None) -> list[dict[str, str | None]]:
    """The records of a file's stories in this shard. Raises InputError if the file has none for the split."""
    found = sources.read_file(settings, source)
    if found.separator != "<|endoftext|>":
        commands.log.warning(
            "%s has no <|endoftext|>: its stories are taken to be separated by %s", source, found.separator
        )
    for reason, count in sorted(found.set_aside.items()):
        commands.log.warning("%s, split %s: %d set aside: %s", source, settings.split, count, reason)
    if not found.stories:
        raise InputError(f"{source}: no usable story for split {settings.split}; separate stories by <|endoftext|>")
    if settings.stories is not None and len(found.stories) < settings.stories:
        commands.log.warning(
            "%s, split %s: %d stories asked for, %d found", source, settings.split, settings.stories, len(found.stories)
        )
    records: list[dict[str, str | None]] = []
    for key, text in found.stories.items():
        item_id = f"{settings.split}-{key}"
        if not sources.in_shard(item_id, settings):
            continue
        prompt, ending = sources.split_ending(text)
        none = dict.fromkeys(("shape", "hero", "object", "event", "wrong_detail"))
        told = {"id": item_id, "split": settings.split, "text": text, "prompt": prompt, "ending": ending}
        records.append({**none, **told})
    return records


if __name__ == "__main__":
    commands.run(main)
