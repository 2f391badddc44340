"""Evaluate a vocoder: WER and PER of held-out speech, in the original and resynthesized from its units.

Reads a vocoder, speech shards, the unit shards made from them, a CTranslate2 Whisper, and the network of DNSMOS if its
figures are wanted. Writes word error rates by Whisper and phone error rates by hama, against the texts, the agreement
of units with phones, and DNSMOS's ratings (JSON), and a few pairs to listen to (Parquet with id, speaker, text, the
transcripts, and both sounds as FLAC).
"""

from __future__ import annotations

from pathlib import Path

import torch

from slamflow import commands, files
from slamflow.evaluation.dnsmos import Dnsmos
from slamflow.evaluation.intelligibility import (
    choose,
    listen,
    phone_purity,
    ratings,
    summarize,
    versions,
    write_examples,
)
from slamflow.recognition.whisper import WhisperRecognizer
from slamflow.vocoders.job_settings import ScoreVocoder
from slamflow.vocoders.vocoder import WEIGHTS, load_vocoder


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument(
        "--vocoder", type=Path, required=True, help="folder that train_vocoder or convert_vocoder wrote"
    )
    parser.add_argument("--audio", action=commands.Files, nargs="+", required=True, help="held-out speech shards")
    parser.add_argument(
        "--units", action=commands.Files, nargs="+", required=True, help="unit shards of the same corpora"
    )
    parser.add_argument("--recognizer", type=Path, required=True, help="CTranslate2 Whisper folder")
    parser.add_argument("--dnsmos", type=Path, help="network of DNSMOS P.835, ONNX; without it nothing is rated")
    parser.add_argument("--output", type=Path, required=True, help="the score, JSON")
    parser.add_argument("--examples", type=Path, required=True, help="pairs to listen to, Parquet")
    parser.add_argument("--workers", type=int, default=1, help="threads; their number changes nothing")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(ScoreVocoder, arguments.settings)
    torch.set_num_threads(1)
    vocoder = load_vocoder(arguments.vocoder)
    utterances = choose(arguments.audio, arguments.units, settings.utterances)
    heard = listen(utterances, vocoder, WhisperRecognizer(arguments.recognizer, arguments.workers))
    write_examples(arguments.examples, heard)
    score = {
        "encoder": settings.encoder,
        **summarize(heard),
        "phone_purity": phone_purity(heard, settings.tick_hz),
        "dnsmos": ratings(heard, Dnsmos(arguments.dnsmos), arguments.workers) if arguments.dnsmos else None,
        "vocoder_sha256": files.sha256_file(arguments.vocoder / WEIGHTS),
        "versions": versions(),
    }
    files.write_json(arguments.output, score)
    commands.log.info(
        "n = %d: WER %.1f %% in the original, %.1f %% in the resynthesis; PER %.1f and %.1f %%",
        score["n"],
        *(100 * score[key] for key in ("wer_original", "wer_resynthesis", "per_original", "per_resynthesis")),
    )


if __name__ == "__main__":
    commands.run(main)
