"""Figures of spoken continuations, by way of their transcripts."""

from __future__ import annotations

import zlib
from importlib.metadata import version
from typing import Any

import numpy as np

from slamflow import commands
from slamflow.audio import decode
from slamflow.evaluation.bootstrap import interval
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
    model: str, rows: list[dict[str, Any]], whisper: WhisperRecognizer, text_model: Scorer[str]
) -> list[dict[str, Any]]:
    """Transcribe the continuations of a model, prompts included, and score the transcripts.

    Gives for each: model, id, text (the true story), transcript, units (of the continuation), loop, and for a
    transcript with words auto_bleu, nll (mean per token, in nats) and tokens; null for an empty one.
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
            "auto_bleu": None,
            "nll": None,
            "tokens": None,
        }
        for row, transcript in zip(rows, heard, strict=True)
    ]
    spoken = [item for item in items if words(item["transcript"])]
    if spoken:
        sums, tokens = text_model.nll([item["transcript"] for item in spoken])
        for item, value, count in zip(spoken, mean_per_token(sums, tokens).tolist(), tokens.tolist(), strict=True):
            item.update(nll=value, tokens=count, auto_bleu=auto_bleu(item["transcript"]))
    return items


def with_ones(values: list[float]) -> np.ndarray:
    """Values beside ones, float64 [n, 2]: their sums over a resample give its mean."""
    return np.stack([np.array(values), np.ones(len(values))], axis=1)


def summarize(items: list[dict[str, Any]], bootstrap: Bootstrap) -> dict[str, Any]:
    """GenPPL and auto-BLEU with bootstrap intervals over the items.

    GenPPL is exp of the mean over transcripts of the mean negative log-likelihood per token (Lakhotia et al. 2021,
    arXiv:2102.01192; the mean is taken as SlamKit takes it). Both are over transcripts with words; those without are
    counted in empty_transcripts, and a model is not rewarded for silence. Nor for what the recognizer makes of noise:
    loops, which no text model finds surprising, are counted in looped_transcripts and not in GenPPL;
    gen_ppl_with_loops has them, as SlamKit does. Null where there are fewer than two.
    """
    spoken = [item for item in items if item["nll"] is not None]
    understood = [item for item in spoken if not item["loop"]]
    result: dict[str, Any] = {
        "n": len(items),
        "empty_transcripts": len(items) - len(spoken),
        "looped_transcripts": len(spoken) - len(understood),
        "tokens": sum(item["tokens"] for item in understood),
        "gen_ppl": None,
        "gen_ppl_ci95": None,
        "gen_ppl_with_loops": None,
        "auto_bleu": None,
        "auto_bleu_ci95": None,
    }
    draws = {"resamples": bootstrap.resamples, "seed": bootstrap.seed}
    if len(understood) >= 2:
        nll = with_ones([item["nll"] for item in understood])
        result["gen_ppl"] = float(np.exp(nll[:, 0].mean()))
        result["gen_ppl_ci95"] = interval(nll, lambda sums: np.exp(sums[:, 0] / sums[:, 1]), **draws)
    if len(spoken) >= 2:
        repeated = with_ones([item["auto_bleu"] for item in spoken])
        result["gen_ppl_with_loops"] = float(np.exp(np.mean([item["nll"] for item in spoken])))
        result["auto_bleu"] = float(repeated[:, 0].mean())
        result["auto_bleu_ci95"] = interval(repeated, lambda sums: sums[:, 0] / sums[:, 1], **draws)
    return result
