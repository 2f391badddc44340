"""Build one part of a benchmark of minimal pairs.

Reads story text (JSONL) and the units of the stories' parts ({id}.prompt, {id}.ending, {id}.wrong_detail), spoken
apart; for the kinds sblimp and swuggy, minimal pairs and the units of {id}.good and {id}.bad. Writes the pairs
(Parquet with id, phenomenon, cluster, good, bad) and a manifest that counts what was left out and why. A story or
pair with a part that is missing among the units (set aside as bad audio) is left out.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from slamflow import commands, files
from slamflow.evaluation import pairs
from slamflow.evaluation.items import write_items
from slamflow.evaluation.story_pairs import read_spoken, read_stories
from slamflow.settings.evaluation import BuildBenchmark


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--stories", type=Path, nargs="+", required=True, help="stories or minimal pairs, JSONL")
    parser.add_argument("--units", type=Path, nargs="+", required=True, help="unit shards of the same split")
    parser.add_argument("--output", type=Path, required=True, help="the items, Parquet")
    parser.add_argument("--manifest", type=Path, required=True, help="the manifest, JSON")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(BuildBenchmark, arguments.settings)
    stories = read_stories(
        arguments.stories, pairs.PUBLISHED_KEYS if settings.published else pairs.NEEDED_KEYS[settings.kind]
    )
    spoken = read_spoken(arguments.units)
    items, left_out = pairs.build(settings.kind, stories, spoken, settings.seed, settings.published)
    write_items(arguments.output, items)
    files.write_json(
        arguments.manifest,
        {
            "benchmark": settings.benchmark,
            "kind": settings.kind,
            "part": settings.part,
            "stories": len(stories),
            "items": len(items),
            "clusters": len({item.cluster for item in items}),
            "left_out": left_out,
            "sha256": files.sha256_file(arguments.output),
            "settings": settings.model_dump(),
            "versions": {"pyarrow": version("pyarrow")},
        },
    )
    commands.log.info("%d items of %d stories, left out: %s", len(items), len(stories), left_out or "none")


if __name__ == "__main__":
    commands.run(main)
