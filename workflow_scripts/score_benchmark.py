"""Score a model on one part of a benchmark of minimal pairs.

Reads the items (Parquet with id, phenomenon, cluster, good, bad), their manifest and a transformers folder. A pair is
right if the model gives the good sequence the lower mean negative log-likelihood per token. Writes the accuracy with
its 95 % interval (JSON) and each pair's likelihoods (Parquet). Computes in fp32, on the GPU if there is one.
"""

from __future__ import annotations

from pathlib import Path

import torch

from slamflow import commands, files
from slamflow.evaluation import likelihood, scores
from slamflow.evaluation.items import read_items
from slamflow.settings.evaluation import Evaluation


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--benchmark", required=True, help="its name")
    parser.add_argument("--part", choices=("dev", "test"), required=True)
    parser.add_argument("--model-name", required=True, help="the model's name in the score")
    parser.add_argument("--model", type=Path, required=True, help="transformers folder")
    parser.add_argument("--items", type=Path, required=True, help="the pairs, Parquet")
    parser.add_argument("--manifest", type=Path, required=True, help="the items' manifest, JSON")
    parser.add_argument("--output", type=Path, required=True, help="the score, JSON")
    parser.add_argument("--pairs", type=Path, required=True, help="each pair's likelihoods, Parquet")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    arguments = parser.parse_args(argv)
    commands.read_settings(Evaluation, arguments.settings)
    torch.set_num_threads(arguments.threads)
    items = read_items(arguments.items)
    model = likelihood.load_model(arguments.model)
    sequences = [item.good for item in items] + [item.bad for item in items]
    nll = likelihood.mean_nll(model, sequences)
    about = {
        "benchmark": arguments.benchmark,
        "part": arguments.part,
        "model": arguments.model_name,
        "manifest": files.sha256_file(arguments.manifest),
    }
    good, bad = nll[: len(items)], nll[len(items) :]
    score = scores.write_scores(items, good, bad, about, arguments.output, arguments.pairs)
    commands.log.info("%s: %.1f %% of %d", arguments.model_name, 100 * score["accuracy"], score["n"])


if __name__ == "__main__":
    commands.run(main)
