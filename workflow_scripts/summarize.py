"""Gather everything that one wants to know of a run.

Reads scores with their pairs, the models' training.json, unit shards beside their manifests, the manifests of
codebooks, the distances between voices, the scores of vocoders and continuations, and Snakemake's benchmark files
({rule}/{job}.tsv under the folder of job costs). Writes results/summary/<recipe>.json; print_summary shows it.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, files
from slamflow.recipe.report import Summarize
from slamflow.report.summary import summarize


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="scores, JSON")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="their likelihoods, in the same order")
    parser.add_argument("--training", type=Path, nargs="*", default=[], help="the models' training.json")
    parser.add_argument(
        "--unit-manifests",
        action=commands.Files,
        nargs="*",
        default=[],
        help="manifests of unit shards; these lie beside",
    )
    parser.add_argument("--codebooks", type=Path, nargs="*", default=[], help="manifests of codebooks")
    parser.add_argument("--voices", type=Path, nargs="*", default=[], help="distances between voices, JSON")
    parser.add_argument("--vocoders", type=Path, nargs="*", default=[], help="scores of vocoders, JSON")
    parser.add_argument("--generation", type=Path, nargs="*", default=[], help="scores of continuations, JSON")
    parser.add_argument("--judgements", type=Path, nargs="*", default=[], help="a judge's grades of them, JSON")
    parser.add_argument("--job-costs", type=Path, help="folder with Snakemake's benchmark files, inside the results")
    parser.add_argument("--resources", type=Path, help="folder of assets and converted models, for their sizes")
    parser.add_argument("--output", type=Path, required=True, help="the summary, JSON")
    arguments = parser.parse_args(argv)
    summary = summarize(
        commands.read_settings(Summarize, arguments.settings),
        arguments.scores,
        arguments.pairs,
        arguments.training,
        arguments.unit_manifests,
        arguments.codebooks,
        arguments.voices,
        arguments.vocoders,
        arguments.generation,
        arguments.judgements,
        arguments.job_costs,
        arguments.resources,
    )
    files.write_json(arguments.output, summary)


if __name__ == "__main__":
    commands.run(main)
