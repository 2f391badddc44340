"""Score a model on benchmarks of minimal pairs.

Reads the items of each benchmark and split (Parquet with id, phenomenon, cluster, good, bad), their manifest and a
model's folder. A pair is right if the model gives the good sequence the lower mean negative log-likelihood per token.
Writes for each benchmark and split the accuracy with its 95 % interval (JSON) and each pair's likelihoods (Parquet).
Pairs that the model cannot read, because they are longer than its context, are left out and counted. Computes in fp32,
on the GPU if there is one. A score that is there and was made from the same model, pairs and code is kept.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import torch

from slamflow import commands, files, gpus
from slamflow.code_digest import code_digest
from slamflow.evaluation import scores
from slamflow.recipe.evaluation import ScoreBenchmarks
from slamflow.scorers.language_model import LanguageModelScorer
from slamflow.shards.items import read_items

COMPUTED_BY = ("torch", "transformers")
CONFIGURATION = ("config.json", "speech.json")
FLAGS = {
    "--items": "the pairs, Parquet",
    "--manifest": "the items' manifest, JSON",
    "--output": "the score, JSON",
    "--pairs": "each pair's likelihoods, Parquet",
}


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="transformers folder with speech.json")
    for flag, what in FLAGS.items():
        parser.add_argument(
            flag, type=commands.named_path, action="append", required=True, metavar="BENCHMARK.SPLIT=PATH", help=what
        )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    gpus.add_options(parser)
    arguments = parser.parse_args(argv)
    gpus.check(arguments)
    settings = commands.read_settings(ScoreBenchmarks, arguments.settings)
    torch.set_num_threads(arguments.threads)
    names = [f"{scored.benchmark}.{scored.split}" for scored in settings.scored]
    items, manifests, outputs, pairs = (
        scores.paths_by_name(flag, getattr(arguments, flag.strip("-")), names) for flag in FLAGS
    )
    common = {
        "code": code_digest(Path(__file__).resolve()),
        "versions": {name: version(name) for name in COMPUTED_BY},
        "model": {path.name: files.sha256_file(path) for path in model_files(arguments.model)},
    }
    scorer: LanguageModelScorer | None = None
    for name, scored in zip(names, settings.scored, strict=True):
        about = scores.about(scored.benchmark, scored.kind, scored.split, settings.model, manifests[name])
        made_from = files.sha256_json({**common, "about": about})
        if scores.is_made_from(made_from, outputs[name], pairs[name]):
            commands.log.info("%s: kept, since it was made from the same model, pairs and code", name)
            continue
        scorer = scorer or LanguageModelScorer.load(arguments.model)
        readable, left_out = scorer.readable(read_items(items[name]))
        good, bad = ([getattr(item, side) for item in readable] for side in ("good", "bad"))
        score = scores.write_scores(
            readable, good, bad, scorer, about, outputs[name], pairs[name], left_out=left_out, made_from=made_from
        )
        accuracy = f"{100 * score['accuracy']:.1f} % of {score['n']}" if score["n"] else "nothing can be scored"
        commands.log.info("%s, %s: %s, left out: %s", settings.model, name, accuracy, score["left_out"] or "none")


def model_files(folder: Path) -> list[Path]:
    """The files of a model that its likelihoods follow from."""
    return sorted(path for path in folder.iterdir() if path.suffix == ".safetensors" or path.name in CONFIGURATION)


if __name__ == "__main__":
    commands.run(main)
