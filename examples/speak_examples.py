"""Speak the example corpus: the sentences of sentences.tsv in the 28 English voices of Kokoro.

Reads   --sentences, lines of `speaker-chapter-number<TAB>sentence`, and --model, the asset kokoro
Writes  --output/speech/{speaker}/{chapter}/*.flac (16 kHz) and *.trans.txt, in LibriSpeech's layout
Run     snakemake --cores all resources/assets/kokoro, then python examples/speak_examples.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "workflow_scripts"))

from slamflow import commands  # noqa: E402
from slamflow.files import atomic_path, write_text  # noqa: E402
from slamflow.tts.kokoro_speaker import Kokoro  # noqa: E402
from slamflow.tts.utterances import SAMPLE_RATE_HZ  # noqa: E402

FRAME = SAMPLE_RATE_HZ // 100
MARGIN_FRAMES = 12
"""Silence left before and after a sentence, in frames of 10 ms."""
SILENCE_DB = -45.0
"""Level of a frame, below the loudest of the sentence, that counts as silence."""


def trim(speech: np.ndarray) -> np.ndarray:
    """`speech`, shape [samples], with only a short silence left at either end."""
    frames = speech[: len(speech) // FRAME * FRAME].reshape(-1, FRAME)
    energy = np.square(frames).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 10 ** (SILENCE_DB / 10))
    return speech[max(0, loud[0] - MARGIN_FRAMES) * FRAME : (loud[-1] + 1 + MARGIN_FRAMES) * FRAME]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("resources/assets/kokoro"))
    parser.add_argument("--sentences", type=Path, default=HERE / "sentences.tsv")
    parser.add_argument("--output", type=Path, default=HERE)
    arguments = parser.parse_args(argv)
    kokoro = Kokoro(arguments.model)
    rows = [line.split("\t") for line in arguments.sentences.read_text(encoding="utf-8").splitlines()]
    transcripts: dict[Path, list[str]] = {}
    for name, sentence in commands.progress(rows, len(rows), "sentences"):
        speaker, chapter, _number = name.split("-")
        folder = arguments.output / "speech" / speaker / chapter
        with atomic_path(folder / f"{name}.flac") as temporary:
            speech = trim(kokoro.say(sentence, voice=speaker))
            soundfile.write(temporary, speech, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16", compression_level=1.0)
        transcripts.setdefault(folder / f"{speaker}-{chapter}.trans.txt", []).append(f"{name} {sentence}\n")
    for path, lines in transcripts.items():
        write_text(path, "".join(lines))


if __name__ == "__main__":
    commands.run(main)
