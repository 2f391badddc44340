"""Units and speech of textlesslib itself and of this project, on the tiny HuBERTs that fairseq's code saved.

Run with this project's Python; textlesslib runs in an environment of its own (docs/textless.md):

    SLAMFLOW_TEXTLESS_PYTHON=/path/to/env/bin/python python benchmarks/textless_units.py

Three ways to units are compared: `hubert` on the converted checkpoint; `textless`, textlesslib's states with this
project's codebook; and textlesslib alone, its reader and its k-means. Prints the figures as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from tests.unit import test_hifigan

from slamflow.assets import convert_hubert
from slamflow.textless.process import PYTHON_VARIABLE
from slamflow.tokenizers import TOKENIZERS
from slamflow.tokenizers.codebook import Codebook, Quantizer
from slamflow.tokenizers.sequences import deduplicate
from slamflow.tokenizers.tokenizer import load_frames
from slamflow.vocoders.convert_hifigan import convert_files
from slamflow.vocoders.vocoder import load_vocoder

ROOT = Path(__file__).parents[1]
VARIANTS = {"base": 50.0, "base_25hz": 25.0, "large": 50.0}
LAYER, CLUSTERS, FILES = 2, 50, 20
COUNTED = (
    "frames",
    "near_ties",
    "hubert_differs_from_textless",
    "hubert_differs_from_textlesslib_alone",
    "sequences_equal",
)
ALONE = """
import json, sys
import joblib, numpy as np, torch
from sklearn.cluster import KMeans
from textless.data.hubert_feature_reader import HubertFeatureReader
from textless.data.kmeans_quantizer import KMeansQuantizer
from textless.vocoders.hifigan.vocoder import CodeHiFiGANVocoder
work, layer = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
centroids = np.load(work + "/centroids.npy")
kmeans = KMeans(len(centroids), n_init=1, max_iter=1).fit(centroids)
kmeans.cluster_centers_ = centroids
joblib.dump(kmeans, work + "/km.bin")
waves = np.load(work + "/waves.npz")
reader, quantizer = HubertFeatureReader(work + "/source/x.pt", layer=layer), KMeansQuantizer(work + "/km.bin")
units = {name: quantizer(reader(torch.from_numpy(waves[name]))).numpy() for name in waves.files}
np.savez(work + "/alone.npz", **units)
if len(sys.argv) > 3:
    vocoder = CodeHiFiGANVocoder(sys.argv[3] + "/generator.pt", sys.argv[3] + "/config.json")
    code = torch.tensor(json.load(open(work + "/sentence.json")))[None]
    np.save(work + "/speech.npy", vocoder(code, dur_prediction=True).numpy())
"""


def waves() -> dict[str, np.ndarray]:
    """The first example of each of the example voices, at 16 kHz."""
    result = {}
    for path in sorted((ROOT / "examples/speech").glob("*/0/*-0000.flac"))[:FILES]:
        wave, rate = soundfile.read(path, dtype="float32")
        result[path.stem] = soxr.resample(wave, rate, 16000).astype(np.float32)
    return result


def compare(name: str, work: Path, sounds: dict[str, np.ndarray]) -> dict[str, Any]:
    (work / "source").mkdir()
    shutil.copy(ROOT / f"tests/unit/fairseq_hubert/{name}.pt", work / "source/x.pt")
    convert_hubert.convert(work / "source", work / "converted")
    device = torch.device("cpu")
    common = {"model": "a folder", "layer": LAYER, "frame_rate_hz": VARIANTS[name], "window_seconds": 100.0}
    ours = load_frames(TOKENIZERS.validate({"kind": "hubert", **common}), work / "converted", device)
    theirs = load_frames(TOKENIZERS.validate({"kind": "textless", **common}), work / "source", device)
    states = {key: ours.encode([wave])[0] for key, wave in sounds.items()}
    original = {key: theirs.encode([wave])[0] for key, wave in sounds.items()}
    frames = torch.cat(list(original.values())).numpy()
    codebook = Codebook(frames[np.random.default_rng(0).choice(len(frames), CLUSTERS, replace=False)].copy())
    quantizer = Quantizer(codebook, device)
    np.save(work / "centroids.npy", codebook.centroids)
    np.savez(work / "waves.npz", **sounds)
    vocoder = test_hifigan.source_folder(work / "vocoder_source")
    (work / "sentence.json").write_text(json.dumps(test_hifigan.SENTENCE))
    subprocess.run(
        [os.environ[PYTHON_VARIABLE], "-c", ALONE, str(work), str(LAYER), str(vocoder)],
        check=True,
        capture_output=True,
        env={**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
    )
    alone = np.load(work / "alone.npz")
    counts = dict.fromkeys(
        (
            "frames",
            "near_ties",
            "hubert_differs_from_textless",
            "hubert_differs_from_textlesslib_alone",
            "sequences_equal",
        ),
        0,
    )
    for key in sounds:
        units, ties = quantizer.assign(states[key])
        in_process, _ = quantizer.assign(original[key])
        counts["frames"] += len(units)
        counts["near_ties"] += int(ties.sum())
        counts["hubert_differs_from_textless"] += int((units != in_process).sum())
        counts["hubert_differs_from_textlesslib_alone"] += int((units != alone[key]).sum())
        same = zip(deduplicate(units), deduplicate(alone[key]), strict=True)
        counts["sequences_equal"] += all(np.array_equal(one, other) for one, other in same)
    largest = max(float((states[key] - original[key]).abs().max()) for key in sounds)
    speech = {}
    for engine in ("slamflow", "textless"):
        convert_files(vocoder, work / engine, engine)
        speech[engine] = load_vocoder(work / engine)(test_hifigan.SENTENCE)
    published = np.load(work / "speech.npy")
    return {
        "checkpoint": name,
        "files": len(sounds),
        **counts,
        "largest_difference_of_states": largest,
        "speech_samples": len(published),
        "largest_difference_of_speech": {
            engine: float(np.abs(wave - published).max()) if len(wave) == len(published) else "other length"
            for engine, wave in speech.items()
        },
    }


def main() -> None:
    torch.set_num_threads(1)
    sounds = waves()
    for name in VARIANTS:
        with tempfile.TemporaryDirectory() as work:
            print(json.dumps(compare(name, Path(work), sounds), indent=2))


if __name__ == "__main__":
    main()
