"""Put the published figures of speech language models beside those that a run measured.

Reads the summary of the run and the speech.json of its models. Writes the table (JSON) and its page (HTML).
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, files
from slamflow.recipe.report import RenderLeaderboard
from slamflow.report.leaderboard import leaderboard, render
from slamflow.report.published import published_table


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--summary", type=Path, required=True, help="the summary, JSON")
    parser.add_argument(
        "--speech", type=commands.named_path, nargs="*", default=[], metavar="NAME=PATH", help="speech.json, by model"
    )
    parser.add_argument("--output", type=Path, required=True, help="the table, JSON")
    parser.add_argument("--page", type=Path, required=True, help="its page, HTML")
    arguments = parser.parse_args(argv)
    board = leaderboard(
        commands.read_settings(RenderLeaderboard, arguments.settings),
        published_table(),
        files.read_json(arguments.summary),
        {name: files.read_json(path) for name, path in arguments.speech},
    )
    files.write_json(arguments.output, board)
    files.write_text(arguments.page, render(board))
    rows = [row for section in board["sections"] for row in section["rows"]]
    commands.log.info("%d rows, %d of them measured", len(rows), sum(row["measured"] is not None for row in rows))


if __name__ == "__main__":
    commands.run(main)
