"""Convert a downloaded model into a transformers folder, so that all models load by one code path, offline.

Reads   --input: model.bin and tokenizer.json (ctranslate2_whisper), or one .gguf file (gguf)
Writes  --output: config.json, model.safetensors, tokenizer.json, tokenizer_config.json
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.assets import MODEL_CONVERTERS


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--convert", required=True, choices=MODEL_CONVERTERS.names())
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    MODEL_CONVERTERS.module(arguments.convert).convert(arguments.input, arguments.output)


if __name__ == "__main__":
    commands.run(main)
