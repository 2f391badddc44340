"""Score what needs no neural network on one part of a benchmark: a unigram, a 5-gram, and the length.

Reads the items (Parquet), their manifest and the unit shards that the n-grams are fitted on. Writes for each of the
three a score (JSON) and each pair's likelihoods (Parquet), as score_benchmark does for a model. The likelihoods of
`length` are numbers of tokens: the shorter sequence wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slamflow import commands, files, packing
from slamflow.evaluation import baselines, scores
from slamflow.evaluation.items import Units, read_items
from slamflow.settings.evaluation import Evaluation

NAMES = ("unigram", "5gram", "length")


def training_units(paths: list[Path]) -> Iterator[Units]:
    """The sequences of several unit shards, one after the other."""
    for path in paths:
        for block in packing.read_units(path):
            yield from np.split(block.values, np.cumsum(block.lengths)[:-1])


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--benchmark", required=True, help="its name")
    parser.add_argument("--part", choices=("dev", "test"), required=True)
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="unit shards to fit the n-grams on")
    parser.add_argument("--items", type=Path, required=True, help="the pairs, Parquet")
    parser.add_argument("--manifest", type=Path, required=True, help="the items' manifest, JSON")
    for name in NAMES:
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"the score of {name}, JSON")
        parser.add_argument(f"--{name}-pairs", type=Path, required=True, help="its likelihoods, Parquet")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(Evaluation, arguments.settings)
    items = read_items(arguments.items)
    sequences = [item.good for item in items] + [item.bad for item in items]
    train = baselines.take_tokens(training_units(arguments.train), settings.ngram_tokens)
    units = 1 + max(int(sequence.max(initial=0)) for sequence in [*train, *sequences])
    manifest = files.sha256_file(arguments.manifest)
    for name in NAMES:
        if name == "length":
            nll = baselines.lengths(sequences)
        else:
            order = 1 if name == "unigram" else 5
            nll = baselines.KneserNey(order, units).fit(train).mean_nll(sequences)
        about = {"benchmark": arguments.benchmark, "part": arguments.part, "model": name, "manifest": manifest}
        paths = [getattr(arguments, key) for key in (name, f"{name}_pairs")]
        score = scores.write_scores(items, nll[: len(items)], nll[len(items) :], about, *paths)
        commands.log.info("%s: %.1f %% of %d", name, 100 * score["accuracy"], score["n"])


if __name__ == "__main__":
    commands.run(main)
