"""Write the page of a run: scores, curves, speech to listen to, in one HTML file that needs nothing else.

Reads the summary, the models' metrics.jsonl, unit shards, the vocoders' examples, and continuations with their
transcripts; what is not given is left out of the page. Writes HTML.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, files
from slamflow.report.page import Sources, render
from slamflow.settings.report import RenderReport


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--summary", type=Path, required=True, help="the summary, JSON")
    parser.add_argument("--metrics", type=Path, nargs="*", default=[], help="the models' metrics.jsonl")
    parser.add_argument("--units", type=Path, nargs="*", default=[], help="unit shards")
    parser.add_argument("--vocoder-examples", type=Path, nargs="*", default=[], help="examples of vocoders, Parquet")
    parser.add_argument("--continuations", type=Path, nargs="*", default=[], help="continuations, Parquet")
    parser.add_argument("--transcripts", type=Path, nargs="*", default=[], help="their transcripts, JSONL")
    parser.add_argument("--output", type=Path, required=True, help="the page, HTML")
    arguments = parser.parse_args(argv)
    sources = Sources(
        arguments.summary,
        arguments.metrics,
        arguments.units,
        arguments.vocoder_examples,
        arguments.continuations,
        arguments.transcripts,
    )
    page = render(commands.read_settings(RenderReport, arguments.settings), sources)
    files.write_text(arguments.output, page)
    commands.log.info("%s: %.1f MB", arguments.output, len(page.encode()) / 1e6)


if __name__ == "__main__":
    commands.run(main)
