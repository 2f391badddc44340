"""Write the page of a run: scores, curves, speech to listen to, in one HTML file that needs nothing else.

Reads the summary, the models' metrics.jsonl, the vocoders' examples, and continuations with their transcripts; what is
not given is left out of the page. Writes HTML.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, files
from slamflow.recipe.report import RenderReport
from slamflow.report.page import Sources, render


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--summary", type=Path, required=True, help="the summary, JSON")
    parser.add_argument("--continuations", type=Path, nargs="*", default=[], help="continuations, Parquet")
    for flag, what in (
        ("--metrics", "the models' metrics.jsonl, by model"),
        ("--transcripts", "transcripts of continuations, JSONL, by model"),
        ("--vocoder-examples", "examples of vocoders, Parquet, by encoder"),
    ):
        parser.add_argument(flag, type=commands.named_path, nargs="*", default=[], metavar="NAME=PATH", help=what)
    parser.add_argument("--output", type=Path, required=True, help="the page, HTML")
    arguments = parser.parse_args(argv)
    sources = Sources(
        summary=arguments.summary,
        continuations=arguments.continuations,
        metrics=dict(arguments.metrics),
        transcripts=dict(arguments.transcripts),
        examples=dict(arguments.vocoder_examples),
    )
    page = render(commands.read_settings(RenderReport, arguments.settings), sources)
    files.write_text(arguments.output, page)
    commands.log.info("%s: %.1f MB", arguments.output, len(page.encode()) / 1e6)


if __name__ == "__main__":
    commands.run(main)
