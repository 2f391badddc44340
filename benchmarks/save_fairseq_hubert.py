"""Write tiny random HuBERTs with fairseq's own classes and code, and what they give for a sound: test fixtures.

Run in an environment of its own with fairseq-fixed 0.12.3.1 (docs/textless.md says how):

    python benchmarks/save_fairseq_hubert.py tests/unit/fairseq_hubert

Of each variant it writes NAME.pt, as fairseq's trainer saves it, and NAME.npz: the sound, and the states that
fairseq's extract_features gives for each output layer, for the normalized sound where the task says so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from fairseq import checkpoint_utils, tasks
from fairseq.dataclass.configs import FairseqConfig
from fairseq.models.hubert.hubert import HubertConfig
from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig
from omegaconf import OmegaConf

LAYERS = 3
SMALL = {
    "encoder_layers": LAYERS,
    "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 24,
    "encoder_attention_heads": 4,
    "conv_pos": 8,
    "conv_pos_groups": 4,
    "final_dim": 8,
    "encoder_layerdrop": 0.0,
}
VARIANTS = {
    # HuBERT base: 50 a second, a group norm over time, norms behind the layers, no normalization
    "base": {
        "model": {"conv_feature_layers": "[(12,10,5)] + [(12,3,2)] * 4 + [(12,2,2)] * 2"},
        "format": "zip",
    },
    # mHuBERT at 25 Hz: one more halving; an older file: omegaconf's nodes, torch's legacy format
    "base_25hz": {
        "model": {"conv_feature_layers": "[(12,10,5)] + [(12,3,2)] * 4 + [(12,2,2)] * 3", "label_rate": 25.0},
        "format": "legacy, omegaconf",
    },
    # HuBERT large: a layer norm behind each convolution, norms before the layers, normalized waveforms
    "large": {
        "model": {
            "extractor_mode": "layer_norm",
            "conv_bias": True,
            "layer_norm_first": True,
            "conv_feature_layers": "[(16,10,5)] + [(16,3,2)] * 4 + [(16,2,2)] * 2",
        },
        "normalize": True,
        "format": "zip",
    },
    # Before fairseq had cfg: the settings are an argparse.Namespace
    "namespace": {
        "model": {"conv_feature_layers": "[(12,10,5)] + [(12,3,2)] * 4 + [(12,2,2)] * 2"},
        "format": "legacy, namespace",
    },
}


def save(name: str, folder: Path) -> None:
    variant = VARIANTS[name]
    torch.manual_seed(sum(map(ord, name)))
    normalize = bool(variant.get("normalize", False))
    with tempfile.TemporaryDirectory() as data:
        (Path(data) / "dict.km.txt").write_text("".join(f"{unit} 1\n" for unit in range(6)))
        config = OmegaConf.structured(FairseqConfig)
        config.task = OmegaConf.structured(
            HubertPretrainingConfig(data=data, labels=["km"], label_dir=data, normalize=normalize)
        )
        config.task._name = "hubert_pretraining"
        model_settings = {**SMALL, **variant["model"]}
        config.model = OmegaConf.structured(HubertConfig(**model_settings))
        config.model._name = "hubert"
        task = tasks.setup_task(config.task)
        model = task.build_model(config.model).eval()
        # Wider than fairseq starts with, so that every part shows.
        for key, parameter in model.named_parameters():
            if "norm" in key or key.endswith((".2.weight", ".2.bias", ".1.weight", ".1.bias")):
                parameter.data += 0.3 * torch.randn_like(parameter)
            elif parameter.dim() > 1:
                parameter.data *= 1.5
        settings = {"args": None, "cfg": OmegaConf.to_container(config, resolve=True, enum_to_str=True)}
        settings["cfg"]["task"]["data"] = settings["cfg"]["task"]["label_dir"] = "."
        if "omegaconf" in variant["format"]:
            settings["cfg"] = OmegaConf.create(settings["cfg"])
        if "namespace" in variant["format"]:
            flat = {**settings["cfg"]["task"], **settings["cfg"]["model"]}
            settings = {"args": argparse.Namespace(**flat, arch="hubert"), "cfg": None}
        state = {
            **settings,
            "model": model.state_dict(),
            "criterion": None,
            "optimizer_history": [
                {
                    "criterion_name": "HubertCriterion",
                    "optimizer_name": "FairseqAdam",
                    "lr_scheduler_state": {},
                    "num_updates": np.int64(3),
                }
            ],
            "task_state": task.state_dict(),
            "extra_state": {"train_iterator": {"epoch": 1}, "metrics": {}, "previous_training_time": 1.5},
            "last_optimizer_state": {"state": {0: {"step": 3, "exp_avg": torch.zeros(4)}}},
        }
        plain_save = torch.save
        if "legacy" in variant["format"]:
            torch.save = lambda *a, **k: plain_save(*a, **{**k, "_use_new_zipfile_serialization": False})
        try:
            checkpoint_utils.torch_persistent_save(state, str(folder / f"{name}.pt"))
        finally:
            torch.save = plain_save

    random = np.random.default_rng(0)
    samples = 6001
    time = np.arange(samples) / 16000
    wave = 0.2 * np.sin(2 * np.pi * (200 + 2000 * time) * time) + 0.05 * random.normal(size=samples) + 0.02
    wave = wave.astype(np.float32)
    source = torch.from_numpy(wave)[None]
    if normalize:
        source = torch.nn.functional.layer_norm(source, source.shape)
    with torch.no_grad():
        states = [
            model.extract_features(source, padding_mask=None, mask=False, output_layer=layer)[0][0].numpy()
            for layer in [*range(1, LAYERS + 1), None]
        ]
    np.savez_compressed(folder / f"{name}.npz", wave=wave, states=np.stack(states))


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in VARIANTS:
        save(name, folder)
        print(name, (folder / f"{name}.pt").stat().st_size)


if __name__ == "__main__":
    main()
