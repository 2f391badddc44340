"""Convert a downloaded model into a transformers folder, so that all models load by one code path, offline.

Reads   --input: model.bin and tokenizer.json (ctranslate2_whisper), or one .gguf file (gguf)
Writes  --output: config.json, model.safetensors, tokenizer.json, tokenizer_config.json
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--convert", required=True, choices=["ctranslate2_whisper", "gguf", "torch_weights"])
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    if arguments.convert == "ctranslate2_whisper":
        from slamflow.assets import convert_whisper

        convert_whisper.convert(arguments.input, arguments.output)
    elif arguments.convert == "torch_weights":
        from slamflow.assets import convert_torch

        convert_torch.convert(arguments.input, arguments.output)
    else:
        from slamflow.assets import convert_gguf

        convert_gguf.convert(arguments.input, arguments.output)


if __name__ == "__main__":
    commands.run(main)
