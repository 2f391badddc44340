"""Score spoken continuations: transcribe them, and say how likely and how repetitive the transcripts are.

Reads the continuations that continue_speech wrote, a CTranslate2 Whisper, and a text model (transformers folder).
Writes GenPPL and auto-BLEU with 95 % intervals (JSON), and the transcripts with the figures of each (JSONL).
"""

from __future__ import annotations

from pathlib import Path

import torch

from slamflow import commands, files, gpus
from slamflow.generation.gen_ppl import TextScorer
from slamflow.generation.scores import score_transcripts, summarize, versions
from slamflow.recipe.generation import ScoreContinuations
from slamflow.recognition.whisper import WhisperRecognizer
from slamflow.shards.continuations import read_continuations

PROMPT_KEYS = ("corpus", "order", "prompt_seconds", "n", "sha256")
"""What the score says of the list of prompts."""


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--continuations", type=Path, required=True, help="what continue_speech wrote, Parquet")
    parser.add_argument("--prompts", type=Path, required=True, help="the list of prompts, which it wrote too, JSON")
    parser.add_argument("--recognizer", type=Path, required=True, help="CTranslate2 Whisper folder")
    parser.add_argument("--text-model", type=Path, required=True, help="transformers folder of the text model")
    parser.add_argument("--output", type=Path, required=True, help="the score, JSON")
    parser.add_argument("--transcripts", type=Path, required=True, help="the transcripts, JSONL")
    parser.add_argument("--workers", type=int, default=1, help="threads")
    gpus.add_options(parser)
    arguments = parser.parse_args(argv)
    gpus.check(arguments)
    settings = commands.read_settings(ScoreContinuations, arguments.settings)
    torch.set_num_threads(arguments.workers)
    prompts = files.read_json(arguments.prompts)
    model, rows = read_continuations(arguments.continuations, ("id", "text", "continuation", "prompt_seconds", "audio"))
    items = score_transcripts(
        model,
        rows,
        WhisperRecognizer(arguments.recognizer, arguments.workers),
        TextScorer(arguments.text_model),
        settings.apart,
    )
    files.write_jsonl(arguments.transcripts, items)
    score = {
        "model": model,
        **summarize(items, settings.bootstrap),
        "prompts": {key: prompts[key] for key in PROMPT_KEYS},
        "continuations_sha256": files.sha256_file(arguments.continuations),
        "versions": versions(),
    }
    files.write_json(arguments.output, score)
    shown = {key: "none" if score[key] is None else f"{score[key]:.1f}" for key in ("gen_ppl", "gen_ppl_without_loops")}
    commands.log.info(
        "%s, n = %d: GenPPL %s, without loops %s, auto-BLEU-2 x100 %.2f, %d empty transcripts, %d loops",
        model,
        score["n"],
        *shown.values(),
        100 * score["auto_bleu"],
        score["empty_transcripts"],
        score["looped_transcripts"],
    )


if __name__ == "__main__":
    commands.run(main)
