"""HuBERT as fairseq saves it into a transformers folder, without fairseq and without loss."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import HubertConfig, HubertModel

from slamflow.assets.torch_checkpoint import Stored, load, read_checkpoint, settings_of, tensors
from slamflow.assets.transformers_folder import check_against_class, write_weights
from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.files import write_json

NAMES = (
    (r"mask_emb", "masked_spec_embed"),
    (r"layer_norm\.(weight|bias)", r"feature_projection.layer_norm.\1"),
    (r"post_extract_proj\.(weight|bias)", r"feature_projection.projection.\1"),
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.(weight|bias)", r"feature_extractor.conv_layers.\1.conv.\2"),
    (r"feature_extractor\.conv_layers\.(0)\.2\.(weight|bias)", r"feature_extractor.conv_layers.\1.layer_norm.\2"),
    (r"feature_extractor\.conv_layers\.(\d+)\.2\.1\.(weight|bias)", r"feature_extractor.conv_layers.\1.layer_norm.\2"),
    (r"encoder\.pos_conv\.0\.bias", "encoder.pos_conv_embed.conv.bias"),
    (r"encoder\.pos_conv\.0\.weight_g", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"encoder\.pos_conv\.0\.weight_v", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"encoder\.pos_conv\.0\.(parametrizations\.weight\.original[01])", r"encoder.pos_conv_embed.conv.\1"),
    (r"encoder\.layer_norm\.(weight|bias)", r"encoder.layer_norm.\1"),
    (r"encoder\.layers\.(\d+)\.self_attn\.([kvq]|out)_proj\.(.+)", r"encoder.layers.\1.attention.\2_proj.\3"),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.(.+)", r"encoder.layers.\1.layer_norm.\2"),
    (r"encoder\.layers\.(\d+)\.fc1\.(.+)", r"encoder.layers.\1.feed_forward.intermediate_dense.\2"),
    (r"encoder\.layers\.(\d+)\.fc2\.(.+)", r"encoder.layers.\1.feed_forward.output_dense.\2"),
    (r"encoder\.layers\.(\d+)\.final_layer_norm\.(.+)", r"encoder.layers.\1.final_layer_norm.\2"),
)
"""fairseq's names and those of HubertModel."""
TRAINING_ONLY = re.compile(r"label_embs_concat|final_proj\..*|target_glu\..*")
"""What only the masked prediction needs."""
DEFAULTS = {
    "extractor_mode": "default",
    "conv_bias": False,
    "conv_pos": 128,
    "conv_pos_groups": 16,
    "layer_norm_first": False,
    "activation_fn": "gelu",
    "encoder_attention_heads": 12,
    "conv_feature_layers": "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2",
    "normalize": False,
    "sample_rate": SAMPLE_RATE,
    "untie_final_proj": False,
}
"""What fairseq takes for a setting that its checkpoint does not name."""
REFUSED = {
    "activation_fn": ("gelu",),
    "extractor_mode": ("default", "layer_norm"),
    "sample_rate": (SAMPLE_RATE,),
    "pos_conv_depth": (1, None),
    "conv_pos_batch_norm": (False, None),
    "layer_type": ("transformer", None),
    "checkpoint_activations": (True, False, None),
    "pos_enc_type": ("abs", None),
}
"""Settings and those of their values that HubertModel can compute."""


def convert(source: Path, output: Path) -> None:
    """Write config.json, preprocessor_config.json and model.safetensors of a HuBERT.

    source: a folder with one .pt file of fairseq. The weights are stored in float32, under the names of HubertModel;
    the parts that only its training uses are left out. Raises InputError for anything but a HuBERT.
    """
    files = sorted(source.glob("*.pt"))
    if len(files) != 1:
        raise InputError(f"{source}: expected one .pt file, found {len(files)}")
    path = files[0]
    checkpoint = read_checkpoint(path)
    settings = hubert_settings(checkpoint, path)
    stored = tensors(checkpoint.get("model"), path)
    config = hubert_config(settings, stored, path)
    state = {name: load(tensor, path) for name, tensor in renamed(stored, path)}
    if "feature_projection.projection.weight" not in state:  # fairseq leaves it out where the widths are equal
        width = config.hidden_size
        state["feature_projection.projection.weight"] = torch.eye(width)
        state["feature_projection.projection.bias"] = torch.zeros(width)
    check_against_class(state, lambda: HubertModel(config), path, "HubertModel")

    output.mkdir(parents=True, exist_ok=True)
    write_weights(state, output)
    write_json(output / "config.json", config.to_diff_dict())
    write_json(
        output / "preprocessor_config.json",
        {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "sampling_rate": SAMPLE_RATE,
            "padding_value": 0.0,
            "do_normalize": settings["normalize"],
            "return_attention_mask": settings["extractor_mode"] == "layer_norm",
        },
    )


def hubert_settings(checkpoint: Any, path: Path) -> dict[str, Any]:
    """Settings of model and task; what a checkpoint does not name is as fairseq's default.

    Raises InputError if it names none, or one that HubertModel cannot compute.
    """
    told = list(settings_of(checkpoint, path))
    if not told:
        raise InputError(f"{path}: has no model settings under cfg or args: not a checkpoint of fairseq")
    settings: dict[str, Any] = dict(DEFAULTS)
    for part in reversed(told):
        settings |= part
    for key, values in REFUSED.items():
        if settings.get(key) not in values:
            raise InputError(f"{path}: {key} is {settings[key]!r}, which HubertModel does not compute")
    return settings


def hubert_config(settings: dict[str, Any], stored: dict[str, Stored], path: Path) -> HubertConfig:
    """The configuration: sizes from the shapes, the rest from the settings."""
    indices = (re.match(r"encoder\.layers\.(\d+)\.fc1\.weight", name) for name in stored)
    layers = 1 + max((int(match[1]) for match in indices if match), default=-1)
    first = "encoder.layers.0.fc1.weight"
    kernels = ("encoder.pos_conv.0.weight_v", "encoder.pos_conv.0.parametrizations.weight.original1")
    positions = next((stored[name] for name in kernels if name in stored), None)
    if not layers or first not in stored or positions is None:
        raise InputError(f"{path}: has no transformer layers under the names of fairseq's HuBERT")
    feed_forward, width = stored[first].size
    convolutions = convolution_stack(settings["conv_feature_layers"], path)
    return HubertConfig(
        vocab_size=32,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=settings["encoder_attention_heads"],
        intermediate_size=feed_forward,
        hidden_act="gelu",
        feat_extract_activation="gelu",
        feat_extract_norm="group" if settings["extractor_mode"] == "default" else "layer",
        conv_dim=tuple(channels for channels, _, _ in convolutions),
        conv_kernel=tuple(kernel for _, kernel, _ in convolutions),
        conv_stride=tuple(stride for _, _, stride in convolutions),
        conv_bias=settings["conv_bias"],
        num_conv_pos_embeddings=positions.size[2],
        num_conv_pos_embedding_groups=width // positions.size[1],
        do_stable_layer_norm=settings["layer_norm_first"],
        feat_proj_layer_norm=True,
        layer_norm_eps=1e-5,
        architectures=["HubertModel"],
        dtype="float32",
    )


def renamed(stored: dict[str, Stored], path: Path) -> Iterator[tuple[str, Stored]]:
    """The tensors by the names of HubertModel. Raises InputError for one that a HuBERT does not have."""
    for name, tensor in stored.items():
        if TRAINING_ONLY.fullmatch(name):
            continue
        for pattern, replacement in NAMES:
            match = re.fullmatch(pattern, name)
            if match:
                yield match.expand(replacement), tensor
                break
        else:
            raise InputError(f"{path}: has a tensor {name}, which HubertModel lacks")


def convolution_stack(text: Any, path: Path) -> list[tuple[int, int, int]]:
    """Channels, kernel and stride of each convolution.

    fairseq writes them as a Python expression, which it evaluates: here it is parsed, and only lists of triples of
    whole numbers, their sums and their multiples are known.
    """
    try:
        found = _evaluate(ast.parse(str(text), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found = None
    triples = isinstance(found, list) and 0 < len(found) <= 100
    if not triples or not all(isinstance(x, tuple) and len(x) == 3 and min(x) > 0 for x in found):
        raise InputError(f"{path}: conv_feature_layers {text!r} is no list of (channels, kernel, stride)")
    return found


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Tuple):
        parts = tuple(_evaluate(part) for part in node.elts)
        if all(type(part) is int for part in parts):
            return parts
    if isinstance(node, ast.List):
        return [_evaluate(part) for part in node.elts]
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left), _evaluate(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
            return left + right
        if isinstance(node.op, ast.Mult):
            times, values = (left, right) if isinstance(left, int) else (right, left)
            if isinstance(times, int) and isinstance(values, list) and 0 <= times <= 100:
                return values * times
    raise ValueError("unknown expression")
