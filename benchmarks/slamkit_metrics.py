"""GenPPL and auto-BLEU of the same transcripts by SlamKit's own functions and by ours.

Run with this project's Python and a checkout of SlamKit (slp-rl/slamkit, revision 388b402); nothing of it is installed:

    python benchmarks/slamkit_metrics.py --slamkit /path/to/slamkit --text-model resources/models/smollm2_135m_instruct
    python benchmarks/slamkit_metrics.py --slamkit ... --text-model ... results/scores/*/*/generation.transcripts.jsonl

From SlamKit come calc_auto_bleu and calc_nll (slamkit/utils/calculation_utils.py), get_llm and get_llm_preplexity
(slamkit/metric/metric_utils.py), which read the text model from the same folder, and the last two lines of
asr_perplexity (slamkit/metric/generative_metric.py:133-134), which need a model of speech and are repeated here. Ours
are score_transcripts and summarize. Without files it takes made-up transcripts: loops, marks, one word, an empty one,
which SlamKit's GenPPL cannot have (NaN) and is shown without. Prints both figures and the largest differences as JSON;
fails if these are above --tolerance.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nltk.tokenize import NLTKWordTokenizer

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from slamflow import files
from slamflow.generation import gen_ppl
from slamflow.generation.gen_ppl import TextScorer
from slamflow.generation.scores import score_transcripts, summarize
from slamflow.recipe.generation import Bootstrap
from slamflow.shards.speech import encode_flac

MADE_UP = (
    "Once there was a little girl named Lily. She liked to play in the park, and she liked her dog.",
    f"The dog ran{', and the dog ran' * 8}.",
    "",
    ".",
    "Hello",
    "It wasn't Tom's cat; it cost $5.20 (he said) -- didn't it?",
    "no no no no no no no no",
)
BATCH = 3


def slamkit_modules(folder: Path) -> tuple[Any, Any]:
    """SlamKit's calculation_utils and metric_utils, without the imports of its packages, which need much else."""
    for name in ("slamkit", "slamkit.utils", "slamkit.metric"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = package
    return (
        importlib.import_module("slamkit.utils.calculation_utils"),
        importlib.import_module("slamkit.metric.metric_utils"),
    )


def theirs(folder: Path, text_model: Path, transcripts: list[str]) -> dict[str, Any]:
    """SlamKit's figures. Whisper's text begins with a blank there, unless it is empty."""
    calculation, metric = slamkit_modules(folder)
    texts = [f" {text}" if text else "" for text in transcripts]
    tokenizer = NLTKWordTokenizer()
    bleus = [calculation.calc_auto_bleu(text, tokenizer, 2) for text in texts]
    model, text_tokenizer = metric.get_llm(str(text_model), "cpu")
    model = model.float().eval()
    # get_llm_preplexity leaves it to the tokenizer to put a beginning in front, as Llama's does; others get it here.
    begins = len(text_tokenizer("a")["input_ids"]) > len(text_tokenizer("a", add_special_tokens=False)["input_ids"])
    beginning = "" if begins else text_tokenizer.convert_ids_to_tokens(TextScorer(text_model).begin)
    spoken = [f"{beginning}{text}" for text in texts if text]
    nlls: list[torch.Tensor] = []
    for first in range(0, len(spoken), BATCH):
        nlls.extend(metric.get_llm_preplexity(model, text_tokenizer, spoken[first : first + BATCH], device="cpu"))
    return {
        "nll": [float(nll) for nll in nlls],
        "auto_bleu_each": [float(value) for value in bleus],
        "gen_ppl": torch.stack(nlls).mean().exp().item(),
        "auto_bleu": torch.as_tensor(bleus).float().mean().item(),
    }


class Heard:
    """In place of Whisper: the transcripts are there."""

    def __init__(self, transcripts: list[str]) -> None:
        self.transcripts = transcripts

    def transcribe_all(self, waves: list[np.ndarray]) -> list[str]:
        assert len(waves) == len(self.transcripts)
        return self.transcripts


def ours(text_model: Path, transcripts: list[str]) -> dict[str, Any]:
    """Our figures, in float32 as SlamKit's."""
    gen_ppl.multiplies_bf16 = lambda: False  # type: ignore[attr-defined]
    silence = encode_flac(np.zeros(1600, np.float32), 16000)
    rows = [{"id": str(n), "text": None, "continuation": [], "audio": silence} for n in range(len(transcripts))]
    items = score_transcripts("m", rows, Heard(transcripts), TextScorer(text_model))  # type: ignore[arg-type]
    score = summarize(items, Bootstrap(resamples=100))
    return {
        "nll": [item["nll"] for item in items if item["nll"] is not None],
        "auto_bleu_each": [item["auto_bleu"] for item in items],
        "gen_ppl": score["gen_ppl"],
        "auto_bleu": score["auto_bleu"],
    }


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transcripts", type=Path, nargs="*", help="generation.transcripts.jsonl; none: made-up ones")
    parser.add_argument("--slamkit", type=Path, required=True, help="checkout of SlamKit")
    parser.add_argument("--text-model", type=Path, required=True, help="transformers folder with its tokenizer")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of nats, shares, and the figures relatively")
    arguments = parser.parse_args(argv)
    texts = [item["transcript"] for path in arguments.transcripts for item in files.read_jsonl(path)] or [*MADE_UP]
    found = {
        "slamkit": theirs(arguments.slamkit, arguments.text_model, texts),
        "slamflow": ours(arguments.text_model, texts),
    }
    apart = {
        key: float(np.abs(np.subtract(found["slamkit"][key], found["slamflow"][key])).max())
        / (found["slamkit"][key] if key == "gen_ppl" else 1)
        for key in ("nll", "auto_bleu_each", "gen_ppl", "auto_bleu")
    }
    figures = {name: {key: value[key] for key in ("gen_ppl", "auto_bleu")} for name, value in found.items()}
    print(json.dumps({"transcripts": len(texts), **figures, "largest_differences": apart}, indent=2))
    if max(apart.values()) > arguments.tolerance:
        sys.exit("the figures differ")


if __name__ == "__main__":
    main(sys.argv[1:])
