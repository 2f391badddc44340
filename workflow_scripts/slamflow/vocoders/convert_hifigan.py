"""A unit HiFi-GAN as textlesslib and fairseq save it into a vocoder's folder, its weight norm folded in."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import torch
from transformers import FastSpeech2ConformerHifiGan

from slamflow.assets.torch_checkpoint import Stored, load, read_checkpoint, tensors
from slamflow.assets.transformers_folder import check_against_class, save_tensors
from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.files import read_json, sha256_file, write_json
from slamflow.vocoders.unit_hifigan import GENERATOR, generator_config
from slamflow.vocoders.vocoder import DESCRIPTION, WEIGHTS

GENERATOR_KEYS = (
    "upsample_initial_channel",
    "upsample_rates",
    "upsample_kernel_sizes",
    "resblock_kernel_sizes",
    "resblock_dilation_sizes",
)
UNSUPPORTED = ("multispkr", "multistyle", "embedder_params", "f0")
"""Further inputs, which units alone do not give."""
NAMES = (
    (r"dict\.weight", "embedding.weight"),
    (r"dur_predictor\.conv([12])\.0\.(weight|bias)", r"duration.conv\1.\2"),
    (r"dur_predictor\.ln([12])\.(weight|bias)", r"duration.norm\1.\2"),
    (r"dur_predictor\.proj\.(weight|bias)", r"duration.out.\1"),
    (r"ups\.(\d+)\.(weight|bias)", rf"{GENERATOR}upsampler.\1.\2"),
    (r"(resblocks\.\d+\.convs[12]\.\d+|conv_pre|conv_post)\.(weight|bias)", rf"{GENERATOR}\1.\2"),
)


def convert_files(source: Path, output: Path, engine: str = "slamflow") -> None:
    """Write vocoder.safetensors and vocoder.json of a unit HiFi-GAN.

    engine: what is to speak, this project's code or textlesslib's.
    source: a folder with one .pt file, whose `generator` holds the weights, and one .json file with the configuration.
    Raises InputError for one that needs more than units, or speaks at another rate than 16 kHz.
    """
    path, described = one_file(source, "*.pt"), one_file(source, "*.json")
    about = read_json(described)
    check_description(about, described)
    checkpoint = read_checkpoint(path)
    stored = tensors(checkpoint.get("generator") if isinstance(checkpoint, dict) else None, path)
    weights = folded(stored, path)
    generator = {key: about[key] for key in GENERATOR_KEYS}
    generator["model_in_dim"] = about.get("model_in_dim", 80)
    config = generator_config(generator)
    state = {name.removeprefix(GENERATOR): x for name, x in weights.items() if name.startswith(GENERATOR)}
    # Means and deviations of mel spectra, which embedded units have not.
    state |= {"mean": torch.zeros(config.model_in_dim), "scale": torch.ones(config.model_in_dim)}
    check_against_class(state, lambda: FastSpeech2ConformerHifiGan(config), path, "HiFi-GAN")
    check_units(weights, about, path)

    output.mkdir(parents=True, exist_ok=True)
    everything = weights | {GENERATOR + name: x for name, x in state.items()}
    save_tensors({name: x.contiguous() for name, x in everything.items()}, output / WEIGHTS)
    write_json(
        output / DESCRIPTION,
        {
            "kind": "hifigan",
            "engine": engine,
            "units": about["num_embeddings"],
            "frame_rate_hz": SAMPLE_RATE / math.prod(about["upsample_rates"]),
            "generator": generator,
            "published": about,
            "source_sha256": {file.name: sha256_file(file) for file in (path, described)},
            "sha256": sha256_file(output / WEIGHTS),
        },
    )


def one_file(source: Path, pattern: str) -> Path:
    """The one file of a folder that matches."""
    files = sorted(source.glob(pattern))
    if len(files) != 1:
        raise InputError(f"{source}: expected one {pattern} file, found {len(files)}")
    return files[0]


def check_description(about: Any, path: Path) -> None:
    """Raise InputError unless the configuration is one of a plain unit HiFi-GAN with durations."""
    wanted = (*GENERATOR_KEYS, "num_embeddings", "embedding_dim", "dur_predictor_params")
    missing = [key for key in wanted if not isinstance(about, dict) or key not in about]
    if missing:
        raise InputError(f"{path}: has no {missing[0]}: not the configuration of a unit HiFi-GAN with durations")
    for key in UNSUPPORTED:
        if about.get(key):
            raise InputError(f"{path}: {key} is set; a vocoder that needs more than units is not supported")
    rate = about.get("sampling_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise InputError(f"{path}: sampling_rate is {rate}, only {SAMPLE_RATE} is supported")
    if SAMPLE_RATE % math.prod(about["upsample_rates"]):
        raise InputError(f"{path}: upsample_rates {about['upsample_rates']} give no whole number of frames per second")


def folded(stored: dict[str, Stored], path: Path) -> dict[str, torch.Tensor]:
    """The tensors under this project's names, with weight norms (Salimans and Kingma 2016) multiplied out."""
    loaded = {name: load(tensor, path) for name, tensor in stored.items()}
    for name in [name for name in loaded if name.endswith(".weight_g")]:
        stem = name.removesuffix("_g")
        if f"{stem}_v" not in loaded:
            raise InputError(f"{path}: has {name}, but no {stem}_v")
        gain, direction = loaded.pop(name), loaded.pop(f"{stem}_v")
        # One gain for each slice along the first axis, of transposed convolutions too.
        loaded[stem] = direction * (gain / direction.flatten(1).norm(dim=1).view(-1, 1, 1))
    result = {}
    for name, tensor in loaded.items():
        matches = ((re.fullmatch(pattern, name), replacement) for pattern, replacement in NAMES)
        new = next((match.expand(replacement) for match, replacement in matches if match), None)
        if new is None:
            raise InputError(f"{path}: has a tensor {name}, which a unit HiFi-GAN lacks")
        result[new] = tensor
    return result


def check_units(weights: dict[str, torch.Tensor], about: dict[str, Any], path: Path) -> None:
    """Raise InputError unless embedding and duration predictor have the shapes that the configuration tells."""
    units, width = about["num_embeddings"], about["embedding_dim"]
    told = about["dur_predictor_params"]
    hidden, kernel = told["var_pred_hidden_dim"], told["var_pred_kernel_size"]
    expected = {
        "embedding.weight": (units, width),
        "duration.conv1.weight": (hidden, width, kernel),
        "duration.conv1.bias": (hidden,),
        "duration.norm1.weight": (hidden,),
        "duration.norm1.bias": (hidden,),
        "duration.conv2.weight": (hidden, hidden, kernel),
        "duration.conv2.bias": (hidden,),
        "duration.norm2.weight": (hidden,),
        "duration.norm2.bias": (hidden,),
        "duration.out.weight": (1, hidden),
        "duration.out.bias": (1,),
    }
    if kernel != 3 or told["encoder_embed_dim"] != width or about.get("model_in_dim", 80) != width:
        raise InputError(f"{path}: the sizes of embedding, duration predictor and generator do not fit together")
    for name, shape in expected.items():
        found = tuple(weights[name].shape) if name in weights else None
        if found != shape:
            raise InputError(f"{path}: {name} is {found}, the configuration says {shape}")
