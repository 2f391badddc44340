"""Extraction of units: what starting a process for each shard costs, and bf16 against fp32; units compared.

    python benchmarks/extraction.py [--shards 6 --files 20 --model FOLDER --settings '{"kind": "whisper", ...}']

Makes shards of the recordings of examples/speech, several times each with other ids, fits a codebook on one, and
extracts all of them in turn, in one run:

* `apart`: `extract_units.py` once for each shard, as the workflow does;
* `together`: all of them in this process, which loads the encoder once;
* `bf16`: like `together`, with that precision.

Without --model the network is a mHuBERT of random weights, whose speed is that of the real one and whose units are not.
Prints JSON: seconds of each way, ratios, seconds of speech per second, whether the first two wrote the same bytes, and
how far units in bf16 are from those in fp32. A clock alone on its machine is needed for ratios that mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from slamflow import files
from slamflow.shards.speech import write_speech
from slamflow.tokenizers.extract import extract_shard
from slamflow.tokenizers.job_settings import ExtractUnits
from slamflow.tokenizers.workers import Work, encoder_pool

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow_scripts"
HUBERT = {
    "kind": "hubert",
    "model": "m",
    "layer": 11,
    "padding_samples": 40,
    "normalize": False,
    "window_seconds": 120.0,
}
SOUNDS = (".flac", ".wav", ".mp3", ".ogg")


def write_shards(folder: Path, shards: int, count: int) -> list[Path]:
    """Shards of `count` recordings each."""
    sounds = sorted(path for path in (ROOT / "examples/speech").rglob("*") if path.suffix in SOUNDS)
    result = []
    for shard in range(shards):
        taken = [sounds[(shard * count + number) % len(sounds)] for number in range(count)]
        result.append(folder / f"{shard}.parquet")
        write_speech(
            result[-1],
            (
                {
                    "id": f"{shard}.{number}",
                    "speaker": sound.parent.name,
                    "text": None,
                    "audio": sound.read_bytes(),
                    "source": sound.name,
                    "seconds": None,
                    "start": 0.0,
                }
                for number, sound in enumerate(taken)
            ),
        )
    return result


def random_hubert(folder: Path) -> None:
    """A network of mHuBERT-25Hz's shapes."""
    import torch
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    kernels, strides = [10, 3, 3, 3, 3, 2, 2, 2], [5] + [2] * 7
    HubertModel(HubertConfig(conv_dim=[512] * 8, conv_kernel=kernels, conv_stride=strides)).save_pretrained(folder)


def outputs(folder: Path, shard: Path) -> tuple[Path, Path, Path]:
    """Units, manifest and list of what was set aside."""
    return folder / shard.name, folder / f"{shard.stem}.json", folder / f"{shard.stem}.jsonl"


def apart(shards: list[Path], output: Path, settings: ExtractUnits, model: Path, codebook: Path, workers: int) -> float:
    """Extract each shard by a command of its own; the seconds that takes."""
    output.mkdir()
    began = time.monotonic()
    for shard in shards:
        units, manifest, quarantine = map(str, outputs(output, shard))
        subprocess.run(
            [
                *(sys.executable, str(SCRIPTS / "extract_units.py"), "--settings", settings.model_dump_json()),
                *("--audio", str(shard), "--model", str(model), "--codebook", str(codebook)),
                *("--output", units, "--manifest", manifest, "--quarantine", quarantine, "--workers", str(workers)),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
    return time.monotonic() - began


def together(
    shards: list[Path], output: Path, settings: ExtractUnits, model: Path, codebook: Path, workers: int
) -> float:
    """Extract all shards in this process; the seconds that takes, with loading the encoder."""
    output.mkdir()
    began = time.monotonic()
    with encoder_pool(Work(settings.encoder, model, codebook), workers) as pool:
        for shard in shards:
            extract_shard(settings, pool, shard, *outputs(output, shard))
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=6)
    parser.add_argument("--files", type=int, default=20, help="recordings in a shard")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--model", type=Path, help="folder of the encoder's weights")
    parser.add_argument("--settings", type=json.loads, default=HUBERT, help="of the encoder, as JSON")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(SCRIPTS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = arguments.model or folder / "model"
        if arguments.model is None:
            random_hubert(model)
        shards = write_shards(folder, arguments.shards, arguments.files)
        encoder = {**arguments.settings, "clusters": 100}
        fit = {"name": "e", "encoder": {**encoder, "fit": {"corpora": ["c/s"], "hours": 0.01}}}
        codebook = folder / "codebook.safetensors"
        subprocess.run(
            [
                *(sys.executable, str(SCRIPTS / "fit_units.py"), "--settings", json.dumps(fit)),
                *("--audio", str(shards[0]), "--model", str(model)),
                *("--output", str(codebook), "--manifest", str(folder / "codebook.json")),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )

        def settings(**changes: Any) -> ExtractUnits:
            values = {"name": "e", "encoder": {**encoder, **changes}, "corpus": "c", "split": "s"}
            return ExtractUnits.model_validate(values)

        common = model, codebook, arguments.workers
        seconds = {
            "apart": apart(shards, folder / "apart", settings(), *common),
            "together": together(shards, folder / "together", settings(), *common),
            "bf16": together(shards, folder / "bf16", settings(precision="bf16"), *common),
        }
        manifests = {way: [files.read_json(folder / way / f"{shard.stem}.json") for shard in shards] for way in seconds}
        speech = sum(one["seconds"] for one in manifests["apart"])
        same = [files.sha256_file(folder / way / shard.name) for way in ("apart", "together") for shard in shards]
        differ = [one["against_fp32"] for one in manifests["bf16"]]
        result = {
            "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
            "shards": len(shards),
            "seconds_of_speech": round(speech, 1),
            "seconds": {way: round(value, 2) for way, value in seconds.items()},
            "times_real_time": {way: round(speech / value, 2) for way, value in seconds.items()},
            "together_against_apart": round(seconds["apart"] / seconds["together"], 3),
            "bf16_against_fp32": round(seconds["together"] / seconds["bf16"], 3),
            "same_bytes": same[: len(shards)] == same[len(shards) :],
            "bf16_frames_that_differ": round(sum(one["frames_that_differ"] for one in differ) / len(differ), 5),
            "bf16_unit_edit_distance": round(sum(one["unit_edit_distance"] for one in differ) / len(differ), 5),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
