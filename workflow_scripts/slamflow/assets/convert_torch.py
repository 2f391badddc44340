"""A causal language model with a pytorch_model.bin into a transformers folder with safetensors.

The file is a pickle: torch's weights-only loader reads it, which executes nothing.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from slamflow.assets.transformers_folder import give_default_mode, tokenizer_settings
from slamflow.errors import InputError
from slamflow.files import atomic_path, write_json

WEIGHTS = "pytorch_model.bin"


def convert(source: Path, output: Path) -> None:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json of a causal language model.

    source: a folder with config.json, pytorch_model.bin and the tokenizer's files. The weights keep their precision.
    Raises InputError if the pickle holds anything but tensors, or transformers does not know the model.
    """
    transformers_logging.disable_progress_bar()
    try:
        state = torch.load(source / WEIGHTS, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, FileNotFoundError) as error:
        raise InputError(f"{source / WEIGHTS}: not a file of tensors alone ({str(error).splitlines()[0]})") from None
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=next(iter(state.values())).dtype,
            local_files_only=True,
            use_safetensors=False,
            weights_only=True,
        )
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        raise InputError(f"{source}: not a causal language model that transformers reads ({error})") from None
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".convert-") as folder:
        model.save_pretrained(folder, max_shard_size="1TB")
        tokenizer.backend_tokenizer.save(str(Path(folder) / "tokenizer.json"))
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            with atomic_path(output / name) as temporary:
                shutil.move(Path(folder) / name, temporary)
                give_default_mode(temporary)
    write_json(
        output / "tokenizer_config.json",
        tokenizer_settings(tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token),
    )
