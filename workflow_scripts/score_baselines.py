"""Score baselines, which need no neural network, on one split of a benchmark.

Reads the items (Parquet), their manifest and the unit shards that baselines are fitted on. Writes for each baseline a
score (JSON) and each pair's likelihoods (Parquet), as score_benchmark does for a model. The likelihoods of `length` are
numbers of tokens: the shorter sequence wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slamflow import commands
from slamflow.errors import InputError
from slamflow.evaluation import scores
from slamflow.recipe.evaluation import ScoreBaselines
from slamflow.scorers import BASELINES
from slamflow.scorers.ngram import take_tokens
from slamflow.shards.items import Units, read_items, unit_arrays
from slamflow.shards.units import read_batches


def training_units(paths: list[Path]) -> Iterator[Units]:
    """The sequences of several unit shards, one after the other."""
    for path in paths:
        for batch in read_batches(path, ["units"], 1000):
            yield from unit_arrays(batch["units"])


def by_name(flag: str, values: list[tuple[str, Path]], names: list[str]) -> dict[str, Path]:
    """The paths of a repeated flag. Raises InputError unless each of the baselines has one."""
    paths = dict(values)
    if missing := [name for name in names if name not in paths]:
        raise InputError(f"{flag}: no path for {', '.join(missing)}; give {flag} {missing[0]}=PATH")
    return paths


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--train", type=Path, nargs="*", default=[], help="unit shards that baselines are fitted on")
    parser.add_argument("--items", type=Path, required=True, help="the pairs, Parquet")
    parser.add_argument("--manifest", type=Path, required=True, help="the items' manifest, JSON")
    for flag, what in (("--score", "a score, JSON"), ("--pairs", "its likelihoods, Parquet")):
        parser.add_argument(
            flag, type=commands.named_path, action="append", required=True, metavar="NAME=PATH", help=what
        )
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(ScoreBaselines, arguments.settings)
    score_paths = by_name("--score", arguments.score, settings.baselines)
    pair_paths = by_name("--pairs", arguments.pairs, settings.baselines)
    items = read_items(arguments.items)
    train = take_tokens(training_units(arguments.train), settings.ngram_tokens)
    sequences = [units for item in items for units in (item.good, item.bad)]
    units = 1 + max(int(sequence.max(initial=0)) for sequence in [*train, *sequences])
    for name in settings.baselines:
        about = scores.about(settings.name, settings.kind, settings.split, name, arguments.manifest)
        scorer = BASELINES.module(name).fit(train, units)
        score = scores.write_scores(items, scorer, about, score_paths[name], pair_paths[name])
        commands.log.info("%s: %.1f %% of %d", name, 100 * score["accuracy"], score["n"])


if __name__ == "__main__":
    commands.run(main)
