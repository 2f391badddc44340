"""Score a model on one split of a benchmark of minimal pairs.

Reads the items (Parquet with id, phenomenon, cluster, good, bad), their manifest and a model's folder. A pair is right
if the model gives the good sequence the lower mean negative log-likelihood per token. Writes the accuracy with its 95 %
interval (JSON) and each pair's likelihoods (Parquet). Computes in fp32, on the GPU if there is one.
"""

from __future__ import annotations

from pathlib import Path

import torch

from slamflow import commands
from slamflow.evaluation import scores
from slamflow.recipe.evaluation import ScoreBenchmark
from slamflow.scorers.language_model import LanguageModelScorer
from slamflow.shards.items import read_items


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="transformers folder with speech.json")
    parser.add_argument("--items", type=Path, required=True, help="the pairs, Parquet")
    parser.add_argument("--manifest", type=Path, required=True, help="the items' manifest, JSON")
    parser.add_argument("--output", type=Path, required=True, help="the score, JSON")
    parser.add_argument("--pairs", type=Path, required=True, help="each pair's likelihoods, Parquet")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(ScoreBenchmark, arguments.settings)
    torch.set_num_threads(arguments.threads)
    items = read_items(arguments.items)
    about = scores.about(settings.name, settings.kind, settings.split, settings.model, arguments.manifest)
    scorer = LanguageModelScorer.load(arguments.model)
    score = scores.write_scores(items, scorer, about, arguments.output, arguments.pairs)
    commands.log.info("%s: %.1f %% of %d", settings.model, 100 * score["accuracy"], score["n"])


if __name__ == "__main__":
    commands.run(main)
