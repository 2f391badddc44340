#!/usr/bin/env python3
"""Stands in for `python` and `torchrun` in the DAG tests: writes what a command would write, in no time.

Each output's content is a digest of the command's name, its settings and the content of its inputs, as it would be
with the real command: equal work gives equal files. How it was called is written down, for check_commands.py.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

FOLDERS = {
    "pack_tokens": ["data-00000-of-00001.arrow", "dataset_info.json", "state.json", "manifest.json"],
    "train": ["config.json", "model.safetensors", "speech.json", "training.json", "metrics.jsonl"],
    "import_model": ["config.json", "model.safetensors", "speech.json"],
    "package_model": ["codebook.safetensors", "package.json"],
    "train_vocoder": ["vocoder.safetensors", "vocoder.json"],
    "convert_asset": ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
    "convert_encoder": ["config.json", "model.safetensors", "preprocessor_config.json"],
    "convert_vocoder": ["vocoder.safetensors", "vocoder.json"],
}
OUTPUTS = {
    *("--output", "--manifest", "--quarantine", "--pairs", "--score", "--examples", "--transcripts", "--text"),
    *("--prompts", "--answers", "--page"),
}
READ = {
    "train": {"--pairs"},
    "summarize": {"--pairs"},
    "score_benchmarks": {"--manifest"},
    "score_baselines": {"--manifest"},
    "render_report": {"--transcripts"},
    "score_continuations": {"--prompts"},
    "judge_continuations": {"--transcripts"},
}
"""Flags of commands that read what others write by them."""
WRITTEN = {"package_model": {"--model"}}
"""Folders of inputs that a command adds files to."""
MACHINE = {"--gpus", "--workers", "--threads", "--micro-batch-tokens", "--state", "--calibration"}
MACHINE |= {"--zero-stage", "--offload"}


def main() -> None:
    if sys.argv[1].endswith("on_gpus.py"):  # what that becomes
        sys.argv[1:] = sys.argv[sys.argv.index("--") + 2 :]
    script = next(index for index, argument in enumerate(sys.argv) if argument.endswith(".py") and index > 0)
    name = Path(sys.argv[script]).stem
    with open(os.environ["FAKE_COMMANDS"], "a", encoding="utf-8") as called:
        called.write(json.dumps(sys.argv[script:]) + "\n")
    meaning = hashlib.sha256(name.encode())
    written, flag = [], ""
    for argument in sys.argv[script + 1 :]:
        if argument.startswith("--"):
            flag = argument
            continue
        if flag in WRITTEN.get(name, ()) or (flag in OUTPUTS and flag not in READ.get(name, ())):
            written.append((flag, Path(argument.split("=")[-1])))
        elif flag == "--settings":
            meaning.update(argument.encode())
        elif flag not in MACHINE:
            path = Path(argument.split("=")[-1])
            if path.is_dir():
                files = sorted(path.rglob("*") if flag == "--source" else path.glob("*"))
            else:
                files = sorted(path.parent.glob(path.name))  # of all shards that a pattern stands for
            meaning.update(b"".join(file.read_bytes() for file in files if file.is_file()) or argument.encode())
    for flag, path in written:
        for target in [path / file for file in FOLDERS[name]] if name in FOLDERS else [path]:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(f"{name} {flag} {target.name} {meaning.hexdigest()}\n")


main()
