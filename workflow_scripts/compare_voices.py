"""Measure how far the units of the same sentence are apart in different voices.

Reads: --units, unit shards of a corpus in which several speakers say the same sentences.
Writes: --output, JSON with `encoder`, `corpus`, `speakers`, `shared_texts`; `same_text` (pairs of utterances of one
text by two speakers) and `different_text` (of two texts by one speaker), each {n, mean, ci95} of the edit distance
divided by the length of the longer one; and `ratio` {value, ci95} of the first to the second. Intervals are
bootstrapped over speakers; figures are null where there are no pairs.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, files
from slamflow.evaluation.voices import compare_voices
from slamflow.recipe.evaluation import CompareVoices


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--units", action=commands.Files, nargs="+", required=True, help="unit shards")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(CompareVoices, arguments.settings)
    found = compare_voices(arguments.units)
    files.write_json(arguments.output, {**settings.model_dump(), **found})
    if not found["same_text"]["n"]:
        commands.log.warning("%s: no sentence is said by two speakers; nothing to compare", settings.corpus)
        return
    commands.log.info(
        "same text, different voices: %.3f (%d pairs); different texts, same voice: %s",
        found["same_text"]["mean"],
        found["same_text"]["n"],
        found["different_text"]["mean"],
    )


if __name__ == "__main__":
    commands.run(main)
