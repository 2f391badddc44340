"""A causal language model in GGUF format into a transformers folder, dequantized."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from slamflow.assets.transformers_folder import give_default_mode, tokenizer_settings
from slamflow.errors import InputError
from slamflow.files import atomic_path, write_json


def convert(source: Path, output: Path) -> None:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json of a causal language model.

    source: a folder with one .gguf file. The weights are stored in float32: what a 4-bit block stands for (scale times
    level plus offset) is in general not a 16-bit number. Raises InputError if there is not one file, or if it is not
    a causal language model that transformers reads.
    """
    files = sorted(source.glob("*.gguf"))
    if len(files) != 1:
        raise InputError(f"{source}: expected one .gguf file, found {len(files)}")
    path = files[0]
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=path.name, dtype=torch.float32, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=path.name, local_files_only=True)
    except (ValueError, LookupError, struct.error, NotImplementedError) as error:
        raise InputError(f"{path}: not a causal language model that transformers reads ({error})") from None
    # The weights are no longer quantized, and save_pretrained refuses the record of it.
    del model.config.quantization_config
    del model.hf_quantizer

    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".convert-") as folder:
        model.save_pretrained(folder, max_shard_size="1TB")
        tokenizer.backend_tokenizer.save(str(Path(folder) / "tokenizer.json"))
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            with atomic_path(output / name) as temporary:
                shutil.move(Path(folder) / name, temporary)
                give_default_mode(temporary)
    more = {"chat_template": tokenizer.chat_template} if tokenizer.chat_template else {}
    write_json(
        output / "tokenizer_config.json",
        tokenizer_settings(tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, **more),
    )
