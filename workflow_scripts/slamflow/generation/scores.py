"""Figures of spoken continuations, by way of their transcripts."""

from __future__ import annotations

import zlib
from importlib.metadata import version
from typing import Any

import numpy as np

from slamflow import commands
from slamflow.audio import SAMPLE_RATE, decode
from slamflow.evaluation.bootstrap import interval, mean_interval, with_ones
from slamflow.generation.auto_bleu import auto_bleu
from slamflow.recipe.generation import Bootstrap
from slamflow.recognition.error_rates import words
from slamflow.recognition.whisper import WhisperRecognizer
from slamflow.scorers import Scorer, mean_per_token

LOOP_RATIO = 2.4
"""A transcript that zlib makes this many times shorter is a loop: Whisper's own sign that it failed to decode (Radford
et al. 2022, arXiv:2212.04356, section 4.5)."""
PACKAGES = ("ctranslate2", "faster-whisper", "nltk", "torch", "transformers")


def versions() -> dict[str, str]:
    """Versions of the packages that the figures depend on."""
    return {name: version(name) for name in PACKAGES}


def is_loop(transcript: str) -> bool:
    """Whether Whisper said the same words over and over, as it does of speech that it does not understand."""
    data = transcript.encode()
    return len(data) > LOOP_RATIO * len(zlib.compress(data))


def score_transcripts(
    model: str,
    rows: list[dict[str, Any]],
    whisper: WhisperRecognizer,
    text_model: Scorer[str],
    apart: bool = False,
) -> list[dict[str, Any]]:
    """Transcribe the continuations of a model, prompts included, and score the transcripts.

    Gives for each: model, id, text (the true story), transcript, units (of the continuation), loop, words (how many),
    auto_bleu (0 for an empty transcript), nll (mean per token, in nats) and tokens; these two are null for an empty
    one. What is scored begins with a blank, as all that Whisper says does: SlamKit does not take it away. `apart`:
    also prompt_transcript and continuation_transcript, each heard by itself.
    """
    waves = [decode(row["audio"]) for row in rows]
    heard = list(commands.progress(whisper.transcribe_all(waves), len(waves), "continuations transcribed"))
    items: list[dict[str, Any]] = [
        {
            "model": model,
            "id": row["id"],
            "text": row["text"],
            "transcript": transcript,
            "units": len(row["continuation"]),
            "loop": is_loop(transcript),
            "words": len(words(transcript)),
            "auto_bleu": auto_bleu(transcript),
            "nll": None,
            "tokens": None,
        }
        for row, transcript in zip(rows, heard, strict=True)
    ]
    if apart:
        cuts = [round(row["prompt_seconds"] * SAMPLE_RATE) for row in rows]
        halves = {
            "prompt_transcript": [wave[:cut] for wave, cut in zip(waves, cuts, strict=True)],
            "continuation_transcript": [wave[cut:] for wave, cut in zip(waves, cuts, strict=True)],
        }
        for key, sounds in halves.items():
            heard_apart = whisper.transcribe_all(sounds)
            for item, words_heard in zip(
                items, commands.progress(heard_apart, len(sounds), "prompts or continuations transcribed"), strict=True
            ):
                item[key] = words_heard
    spoken = [item for item in items if item["transcript"]]
    if spoken:
        sums, tokens = text_model.nll([f" {item['transcript']}" for item in spoken])
        for item, value, count in zip(spoken, mean_per_token(sums, tokens).tolist(), tokens.tolist(), strict=True):
            item.update(nll=value, tokens=count)
    return items


def summarize(items: list[dict[str, Any]], bootstrap: Bootstrap) -> dict[str, Any]:
    """GenPPL and auto-BLEU with bootstrap intervals over the items. A GenPPL of fewer than two transcripts is null.

    `gen_ppl` and `auto_bleu` are as published: as SlamKit computes them (slp-rl/slamkit@388b402).
    gen_ppl: exp of the mean over transcripts of the mean negative log-likelihood per token (generative_metric.py:133,
    metric_utils.py:51-60; Lakhotia et al. 2021, arXiv:2102.01192, has one mean over all tokens), loops among them. An
    empty transcript would make it NaN there (calculation_utils.py:28-30); here it is left out, and counted.
    auto_bleu: the mean over all, an empty transcript being 0 (calculation_utils.py:40-52). Published tables have it
    times 100.

    `gen_ppl_without_loops` is ours: without loops, which the recognizer makes of noise and no text model finds
    surprising, and without what has no words, such as a lone full stop. It stands beside no published figure.
    """
    spoken = [item for item in items if item["nll"] is not None]
    understood = [item for item in spoken if item["words"] and not item["loop"]]
    result: dict[str, Any] = {
        "n": len(items),
        "empty_transcripts": len(items) - len(spoken),
        "wordless_transcripts": sum(not item["words"] for item in spoken),
        "looped_transcripts": sum(item["loop"] for item in spoken),
        "tokens": sum(item["tokens"] for item in spoken),
    }
    draws = {"resamples": bootstrap.resamples, "seed": bootstrap.seed}
    for name, chosen in (("gen_ppl", spoken), ("gen_ppl_without_loops", understood)):
        result[name] = result[f"{name}_ci95"] = None
        if len(chosen) >= 2:
            nll = with_ones([item["nll"] for item in chosen])
            result[name] = float(np.exp(nll[:, 0].mean()))
            result[f"{name}_ci95"] = interval(nll, lambda sums: np.exp(sums[:, 0] / sums[:, 1]), **draws)
    repeated = [item["auto_bleu"] for item in items]
    result["auto_bleu"] = float(np.mean(repeated))
    result["auto_bleu_ci95"] = mean_interval(repeated, **draws)
    return result
