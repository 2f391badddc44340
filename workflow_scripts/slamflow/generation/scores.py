"""Figures of spoken continuations, by way of their transcripts."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow import commands
from slamflow.audio import decode
from slamflow.errors import InputError
from slamflow.evaluation.bootstrap import interval
from slamflow.generation.auto_bleu import auto_bleu
from slamflow.generation.gen_ppl import TextJudge
from slamflow.recognition.error_rates import words
from slamflow.recognition.whisper import WhisperRecognizer
from slamflow.settings.generation import ScoreContinuations

PACKAGES = ("ctranslate2", "faster-whisper", "nltk", "torch", "transformers")


def versions() -> dict[str, str]:
    """Versions of the packages that decide about the figures."""
    return {name: version(name) for name in PACKAGES}


def read_continuations(path: Path) -> list[dict[str, Any]]:
    """Rows of id, text, continuation and audio. Raises InputError if the file holds none."""
    try:
        rows: list[dict[str, Any]] = pq.ParquetFile(path).read(["id", "text", "continuation", "audio"]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run continue_speech again") from None
    if not rows or "audio" not in rows[0]:
        raise InputError(f"{path}: no continuations; run continue_speech again")
    return rows


def judge(rows: list[dict[str, Any]], whisper: WhisperRecognizer, text_model: TextJudge) -> list[dict[str, Any]]:
    """Transcribe continuations, prompts included, and judge the transcripts.

    Gives for each: id, text (the true story), transcript, units (of the continuation), and for a transcript with
    words auto_bleu, nll (mean per token, in nats) and tokens; null for an empty one.
    """
    waves = [decode(row["audio"]) for row in rows]
    heard = list(commands.progress(whisper.transcribe_all(waves), len(waves), "continuations transcribed"))
    items: list[dict[str, Any]] = [
        {
            "id": row["id"],
            "text": row["text"],
            "transcript": transcript,
            "units": len(row["continuation"]),
            "auto_bleu": None,
            "nll": None,
            "tokens": None,
        }
        for row, transcript in zip(rows, heard, strict=True)
    ]
    spoken = [item for item in items if words(item["transcript"])]
    if spoken:
        nll, tokens = text_model.mean_nll([item["transcript"] for item in spoken])
        for item, value, count in zip(spoken, nll.tolist(), tokens.tolist(), strict=True):
            item.update(nll=value, tokens=count, auto_bleu=auto_bleu(item["transcript"]))
    return items


def summarise(items: list[dict[str, Any]], settings: ScoreContinuations) -> dict[str, Any]:
    """GenPPL and auto-BLEU with bootstrap intervals over the items.

    GenPPL is exp of the mean over transcripts of the mean negative log-likelihood per token (Lakhotia et al. 2021,
    arXiv:2102.01192; the mean is taken as SlamKit takes it). Both are over transcripts with words; those without are
    counted in empty_transcripts, and a model is not rewarded for silence. Null where there are fewer than two.
    """
    spoken = [item for item in items if item["nll"] is not None]
    result: dict[str, Any] = {
        "n": len(items),
        "empty_transcripts": len(items) - len(spoken),
        "tokens": sum(item["tokens"] for item in spoken),
        "gen_ppl": None,
        "gen_ppl_ci95": None,
        "auto_bleu": None,
        "auto_bleu_ci95": None,
    }
    if len(spoken) < 2:
        return result
    nll = np.array([item["nll"] for item in spoken])
    repeated = np.array([item["auto_bleu"] for item in spoken])
    one = np.ones_like(nll)
    seeds = {"resamples": settings.resamples, "seed": settings.seed}
    result["gen_ppl"] = float(np.exp(nll.mean()))
    result["gen_ppl_ci95"] = interval(np.stack([nll, one], 1), lambda sums: np.exp(sums[:, 0] / sums[:, 1]), **seeds)
    result["auto_bleu"] = float(repeated.mean())
    result["auto_bleu_ci95"] = interval(np.stack([repeated, one], 1), lambda sums: sums[:, 0] / sums[:, 1], **seeds)
    return result
