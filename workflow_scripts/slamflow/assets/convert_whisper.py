"""Whisper in CTranslate2's format into a transformers folder, without loss."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from slamflow.assets.ctranslate2_model import Model, read_model
from slamflow.assets.transformers_folder import check_against_class, tokenizer_settings, write_weights
from slamflow.errors import InputError
from slamflow.files import atomic_path, read_json, write_json

GELU = 3
"""CTranslate2's number for the exact GELU."""
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def convert(source: Path, output: Path) -> None:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json of a Whisper model.

    source: a folder with model.bin and tokenizer.json. The names and shapes are those of
    WhisperForConditionalGeneration; WhisperModel.from_pretrained loads them too. The weights are stored in float32,
    which holds every float16 and bfloat16 exactly, because from_pretrained computes in the stored type unless told
    otherwise and half precision on a CPU is slow and rounds. Raises InputError for anything but plain Whisper.
    """
    path = source / "model.bin"
    tokenizer = read_json(source / "tokenizer.json")
    model = read_model(path)
    if model.specification != "WhisperSpec":
        raise InputError(f"{path}: holds a {model.specification}, not a Whisper model")
    state = whisper_state(model, path)
    config = whisper_config(model, tokenizer, path)
    # The output projection is the embeddings once more, and not stored.
    check_against_class(state, lambda: WhisperForConditionalGeneration(config), path, "Whisper", ("proj_out.weight",))

    output.mkdir(parents=True, exist_ok=True)
    write_weights(state, output)
    write_json(output / "config.json", config.to_diff_dict())
    write_json(output / "tokenizer_config.json", tokenizer_settings("<|endoftext|>", "<|endoftext|>", "<|endoftext|>"))
    with atomic_path(output / "tokenizer.json") as temporary:
        shutil.copyfile(source / "tokenizer.json", temporary)


def whisper_state(model: Model, path: Path) -> dict[str, torch.Tensor]:
    """Tensors by their transformers names, float32.

    CTranslate2 stacks the projections of an attention that have the same input along the rows: query, key, value in
    self-attention, and key, value in cross-attention after the query of its own. Whisper's keys have no bias; the
    stack holds zeros in their place.
    """
    # Rank 0 holds settings (heads, activation), not weights.
    variables = {name: tensor for name, tensor in model.variables.items() if tensor.dim() > 0}
    state: dict[str, torch.Tensor] = {}

    def take(name: str) -> torch.Tensor:
        if name not in variables:
            raise InputError(f"{path}: has no {name}: not a plain Whisper model")
        tensor = variables.pop(name)
        if tensor.dtype not in FLOATS:
            raise InputError(f"{path}: {name} is quantized ({tensor.dtype}); take a float16 or float32 conversion")
        return tensor.to(torch.float32, copy=True)  # aliases share memory, which safetensors refuses

    def layer_norm(old: str, new: str) -> None:
        state[f"{new}.weight"], state[f"{new}.bias"] = take(f"{old}/gamma"), take(f"{old}/beta")

    def linear(old: str, *new: str) -> None:
        weights, biases = take(f"{old}/weight").chunk(len(new)), take(f"{old}/bias").chunk(len(new))
        for name, weight, bias in zip(new, weights, biases, strict=True):
            state[f"{name}.weight"] = weight.clone()
            if not name.endswith("k_proj"):
                state[f"{name}.bias"] = bias.clone()
            elif bias.any():
                raise InputError(f"{path}: {old}/bias has a bias for the keys, which Whisper lacks")

    for side in ("encoder", "decoder"):
        top = f"model.{side}"
        state[f"{top}.embed_positions.weight"] = take(f"{side}/position_encodings/encodings")
        layer_norm(f"{side}/layer_norm", f"{top}.layer_norm")
        for index in range(layers(model, side)):
            old, new = f"{side}/layer_{index}", f"{top}.layers.{index}"
            layer_norm(f"{old}/self_attention/layer_norm", f"{new}.self_attn_layer_norm")
            linear(f"{old}/self_attention/linear_0", *(f"{new}.self_attn.{part}_proj" for part in "qkv"))
            linear(f"{old}/self_attention/linear_1", f"{new}.self_attn.out_proj")
            if side == "decoder":
                layer_norm(f"{old}/attention/layer_norm", f"{new}.encoder_attn_layer_norm")
                linear(f"{old}/attention/linear_0", f"{new}.encoder_attn.q_proj")
                linear(f"{old}/attention/linear_1", *(f"{new}.encoder_attn.{part}_proj" for part in "kv"))
                linear(f"{old}/attention/linear_2", f"{new}.encoder_attn.out_proj")
            layer_norm(f"{old}/ffn/layer_norm", f"{new}.final_layer_norm")
            linear(f"{old}/ffn/linear_0", f"{new}.fc1")
            linear(f"{old}/ffn/linear_1", f"{new}.fc2")
    for name in ("conv1", "conv2"):
        state[f"model.encoder.{name}.weight"] = take(f"encoder/{name}/weight")
        state[f"model.encoder.{name}.bias"] = take(f"encoder/{name}/bias")
    embeddings = state["model.decoder.embed_tokens.weight"] = take("decoder/embeddings/weight")
    if not torch.equal(take("decoder/projection/weight"), embeddings):
        raise InputError(f"{path}: output and input embeddings differ, which they do not in Whisper")
    if variables:
        raise InputError(f"{path}: unknown variables {', '.join(sorted(variables)[:5])}: not a plain Whisper model")
    return state


def whisper_config(model: Model, tokenizer: dict[str, object], path: Path) -> WhisperConfig:
    """The configuration, read off the shapes, the settings of CTranslate2 and the tokenizer's special tokens."""
    variables = model.variables
    for name in ("encoder/num_heads", "decoder/num_heads", "decoder/activation"):
        if name not in variables:
            raise InputError(f"{path}: has no {name}: not a plain Whisper model")
    if variables["decoder/activation"].item() != GELU:
        raise InputError(f"{path}: its activation is not the GELU of Whisper")
    added = tokenizer.get("added_tokens")
    ids = {token["content"]: token["id"] for token in added} if isinstance(added, list) else {}
    missing = [token for token in ("<|endoftext|>", "<|startoftranscript|>") if token not in ids]
    if missing:
        raise InputError(f"{path.with_name('tokenizer.json')}: has no token {missing[0]}: not a tokenizer of Whisper")
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    width, mel_bins, _ = variables["encoder/conv1/weight"].shape
    config = WhisperConfig(
        vocab_size=variables["decoder/embeddings/weight"].shape[0],
        num_mel_bins=mel_bins,
        d_model=width,
        encoder_layers=layers(model, "encoder"),
        decoder_layers=layers(model, "decoder"),
        encoder_attention_heads=int(variables["encoder/num_heads"].item()),
        decoder_attention_heads=int(variables["decoder/num_heads"].item()),
        encoder_ffn_dim=variables["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        decoder_ffn_dim=variables["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        max_source_positions=variables["encoder/position_encodings/encodings"].shape[0],
        max_target_positions=variables["decoder/position_encodings/encodings"].shape[0],
        activation_function="gelu",
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        architectures=["WhisperForConditionalGeneration"],
        dtype="float32",
    )
    return config


def layers(model: Model, side: str) -> int:
    """Number of layers of the encoder or the decoder."""
    found = (re.match(rf"{side}/layer_(\d+)/", name) for name in model.variables)
    return 1 + max((int(match[1]) for match in found if match), default=-1)
