"""Models in SlamKit's layout. benchmarks/slamkit_exchange.py holds the same against SlamKit's own class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

import export_model
import import_model
from slamflow.adapters.slamkit import convert
from slamflow.errors import InputError
from slamflow.lm.model import export_model as export
from slamflow.lm.model import load_language_model
from slamflow.lm.speech import read_speech

KEYS: dict[str, dict[str, Any]] = {
    "qwen2": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 24,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 123.0},
    },
    "llama": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    "opt": {
        "hidden_size": 16,
        "word_embed_proj_dim": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 24,
    },
}
TOKENS = torch.tensor([[1, 5, 9, 2, 30, 7, 1]])


def model_folder(folder: Path, kind: str) -> Path:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, **KEYS[kind], vocab_size=40, pad_token_id=0, bos_token_id=1, eos_token_id=1, max_position_embeddings=64
    )
    export(AutoModelForCausalLM.from_config(config, dtype=torch.float32), folder)
    return folder


def logits(folder: Path) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = load_language_model(folder)(input_ids=TOKENS).logits
    return found


def exported(folder: Path, kind: str) -> Path:
    model = model_folder(folder / "model", kind)
    export_model.main(["--model", str(model), "--base-model", "owner/name", "--output", str(folder / "slamkit")])
    return folder / "slamkit"


@pytest.mark.parametrize("kind", KEYS)
def test_there_and_back_is_the_same_model(tmp_path: Path, kind: str) -> None:
    slamkit = exported(tmp_path, kind)
    import_model.main(["--adapter", "slamkit", "--source", str(slamkit), "--output", str(tmp_path / "back")])
    torch.testing.assert_close(logits(tmp_path / "back"), logits(tmp_path / "model"), atol=1e-6, rtol=0)
    assert logits(tmp_path / "back").std() > 1e-3
    speech, vocabulary = read_speech(tmp_path / "back")
    assert (vocabulary.units, vocabulary.size, speech["tokenizer"]) == (38, 40, None)
    if kind == "qwen2":
        frequencies = load_language_model(tmp_path / "back").model.rotary_emb.inv_freq
        assert frequencies[1].item() == pytest.approx(123.0**-0.5)


def test_the_layout_is_slamkits(tmp_path: Path) -> None:
    slamkit = exported(tmp_path, "qwen2")
    config = json.loads((slamkit / "config.json").read_text())
    assert (config["model_type"], config["base_model_name"], config["vocab_size"]) == (
        "speech_language_model",
        "owner/name",
        40,
    )
    base = config["base_config"]
    assert (base["model_type"], base["rope_theta"], base["vocab_size"]) == ("qwen2", 123.0, 40)
    assert "rope_parameters" not in base
    assert all(name.startswith("lm.model.") for name in load_file(slamkit / "model.safetensors"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "qwen2"}, "model_type is 'qwen2'"),
        ({"base_config": None}, "model_type is"),
        ({"base_config": {"model_type": "qwen2", "bos_token_id": 5}}, "bos_token_id is 5"),
        ({"base_config": {"model_type": "nothing"}}, "cannot load this model"),
        ({"base_config": {"model_type": "qwen2", "rope_scaling": {"type": "linear"}}}, "rope_scaling"),
        ({"vocab_size": 41}, r"embed_tokens\.weight is torch\.Size\(\[40, 16\]\)"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    slamkit = exported(tmp_path, "qwen2")
    config = json.loads((slamkit / "config.json").read_text()) | change
    (slamkit / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=message):
        convert(slamkit, tmp_path / "back")


def test_lacking_or_strange_weights_are_named(tmp_path: Path) -> None:
    slamkit = exported(tmp_path, "qwen2")
    tensors = load_file(slamkit / "model.safetensors")
    dropped = tensors.pop("lm.model.norm.weight")
    save_file(tensors, slamkit / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.norm\.weight"):
        convert(slamkit, tmp_path / "back")
    save_file(tensors | {"lm.model.norm.weight": dropped, "lm.more": dropped.clone()}, slamkit / "model.safetensors")
    with pytest.raises(InputError, match=r"more is torch\.Size.*, and qwen2 has None"):
        convert(slamkit, tmp_path / "back")
    (slamkit / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot be read"):
        convert(slamkit, tmp_path / "back")
    with pytest.raises(InputError, match="no such file"):
        convert(tmp_path, tmp_path / "back")
