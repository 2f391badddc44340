"""Build preference pairs from stories whose parts were spoken apart.

Reads story text (JSONL) and the units of the stories' parts ({id}.prompt, {id}.ending, {id}.wrong_detail). Writes the
pairs (Parquet with id, prompt, chosen, rejected) and a manifest that counts what was left out and why.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from slamflow import commands, files, preferences
from slamflow.benchmarks.pairs import read_records, read_spoken
from slamflow.benchmarks.story_pairs import STORY_KEYS
from slamflow.recipe.preferences import BuildPreferences
from slamflow.shards.pairs import write_pairs


def main(argv: list[str]) -> None:
    """Build the pairs of one preference split."""
    parser = commands.parser(__doc__)
    parser.add_argument("--stories", action=commands.Files, nargs="+", required=True, help="story text, JSONL")
    parser.add_argument(
        "--units", action=commands.Files, nargs="+", required=True, help="unit shards of the same split"
    )
    parser.add_argument("--output", type=Path, required=True, help="the pairs, Parquet")
    parser.add_argument("--manifest", type=Path, required=True, help="the manifest, JSON")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(BuildPreferences, arguments.settings)
    stories = read_records(arguments.stories, STORY_KEYS)
    pairs, left_out = preferences.build(settings, stories, read_spoken(arguments.units))
    write_pairs(arguments.output, pairs)
    files.write_json(
        arguments.manifest,
        {
            "name": settings.name,
            "encoder": settings.encoder,
            "stories": len(stories),
            "pairs": len(pairs),
            "left_out": left_out,
            "sha256": files.sha256_file(arguments.output),
            "settings": settings.model_dump(),
            "versions": {"pyarrow": version("pyarrow")},
        },
    )
    commands.log.info("%d pairs of %d stories, left out: %s", len(pairs), len(stories), left_out or "none")


if __name__ == "__main__":
    commands.run(main)
