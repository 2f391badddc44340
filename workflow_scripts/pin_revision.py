"""Keep the newest commit of a dataset of the hub that has no fixed one in the recipe.

Reads: the hub. Writes: --output, JSON with `repo` and `commit`; put the commit into the recipe to fix it for good.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, files
from slamflow.corpora.hub_tables import newest_commit


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--repo", required=True, help="owner/name")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    arguments = parser.parse_args(argv)
    commit = newest_commit(arguments.repo)
    files.write_json(arguments.output, {"repo": arguments.repo, "commit": commit})
    commands.log.info("%s: its newest commit is %s", arguments.repo, commit)


if __name__ == "__main__":
    commands.run(main)
