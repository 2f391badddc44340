"""Fit a codebook: k-means centroids of frames of speech. Or take a given one.

Reads speech shards (Parquet) and the encoder's transformers folder, or a given codebook (safetensors, .npy, or a
scikit-learn k-means pickle, which is never executed). Writes codebook.safetensors (`centroids`, and `mean` and
`scale` where features are standardized) and its manifest.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands, gpus
from slamflow.errors import InputError
from slamflow.tokenizers.codebook import read_codebook
from slamflow.tokenizers.extract import fit_units, warn_of_other_precision, write_codebook_manifest
from slamflow.tokenizers.job_settings import FitUnits
from slamflow.tokenizers.precision import precision_of
from slamflow.tokenizers.tokenizer import load_tokenizer, prepare_torch


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--audio", action=commands.Files, nargs="+", default=[], help="speech shards to fit on")
    parser.add_argument("--given", type=Path, help="a codebook to take instead of fitting one")
    parser.add_argument("--model", type=Path, help="folder with the weights of the tokenizer's kind; logmel has none")
    parser.add_argument("--output", type=Path, required=True, help="codebook.safetensors to write")
    parser.add_argument("--manifest", type=Path, required=True, help="JSON manifest to write")
    parser.add_argument("--workers", type=int, default=1, help="processes that encode; does not change the result")
    gpus.add_options(parser)
    arguments = parser.parse_args(argv)
    gpus.check(arguments)
    settings = commands.read_settings(FitUnits, arguments.settings)
    if arguments.given is not None:
        codebook = read_codebook(arguments.given)
        warn_of_other_precision(arguments.given, precision_of(settings.encoder))
        tokenizer = load_tokenizer(settings.encoder, arguments.model, arguments.given, prepare_torch())
        codebook.save(arguments.output)
        manifest = write_codebook_manifest(
            settings,
            arguments.model,
            codebook,
            tokenizer.tick_hz,
            arguments.output,
            arguments.manifest,
            {"given": arguments.given.name},
        )
    else:
        if not arguments.audio:
            raise InputError("nothing to fit on: give --audio and fit in the settings, or --given")
        manifest = fit_units(
            settings, arguments.audio, arguments.model, arguments.output, arguments.manifest, arguments.workers
        )
    commands.log.info("codebook of %d units, %d features", manifest["clusters"], manifest["dimension"])


if __name__ == "__main__":
    commands.run(main)
