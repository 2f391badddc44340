"""Tiny random models of the real classes, as the files that the hub and other servers have of them."""

from __future__ import annotations

import functools
import io
import json
import pickle
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save

from slamflow.adapters.slamkit import export_slamkit
from slamflow.tokenizers.networks.hubert import HubertEncoder
from slamflow.vocabulary import CONFIG_IDS
from stand_in.speech import sentences, stories
from unit import published_models

VOCABULARY = 640
WIDTH = 32
HUBERT = {
    "hidden_size": WIDTH,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "num_hidden_layers": 12,
    "layerdrop": 0.0,
}
DECODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}


def saved(model: Any) -> dict[str, bytes]:
    """The files of a transformers folder, by name."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def build(kind: type, config: Any) -> dict[str, bytes]:
    """A random model, the same each time."""
    torch.manual_seed(0)
    return saved(kind(config))


@functools.cache
def hubert(convolutions: int = 7) -> dict[str, bytes]:
    """HuBERT base with 50 states a second; with 8 convolutions mHuBERT with 25."""
    strides = [5, *[2] * (convolutions - 1)]
    kernels = [10, 3, 3, 3, 3, *[2] * (convolutions - 5)]
    config = transformers.HubertConfig(conv_dim=[16] * len(strides), conv_stride=strides, conv_kernel=kernels, **HUBERT)
    files = build(transformers.HubertModel, config)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=False)
    return {**files, "preprocessor_config.json": extractor.to_json_string().encode()}


@functools.cache
def hubert_kmeans(convolutions: int, clusters: int, layer: int) -> bytes:
    """A k-means of scikit-learn, pickled: its centroids are states of that HuBERT, so that all units are in use."""
    from sklearn.cluster import MiniBatchKMeans

    with tempfile.TemporaryDirectory() as folder:
        for name, content in hubert(convolutions).items():
            Path(folder, name).write_bytes(content)
        encoder = HubertEncoder(Path(folder), layer, False, 40, torch.device("cpu"))
        with torch.inference_mode():
            states = torch.cat([encoder.states([wave])[0] for _, wave in sentences(24)]).numpy()
    generator = np.random.default_rng(0)
    chosen = states[generator.integers(len(states), size=clusters)]
    chosen = chosen + generator.normal(scale=1e-3, size=chosen.shape).astype(np.float32)
    estimator = MiniBatchKMeans(n_clusters=clusters)
    estimator.cluster_centers_ = chosen.astype(np.float64)
    return pickle.dumps(estimator)


FAIRSEQ_NAMES = (
    (r"masked_spec_embed", "mask_emb"),
    (r"feature_projection\.layer_norm\.", "layer_norm."),
    (r"feature_projection\.projection\.", "post_extract_proj."),
    (r"(feature_extractor\.conv_layers\.\d+)\.conv\.", r"\1.0."),
    (r"(feature_extractor\.conv_layers\.0)\.layer_norm\.", r"\1.2."),
    (r"encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original0", "encoder.pos_conv.0.weight_g"),
    (r"encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original1", "encoder.pos_conv.0.weight_v"),
    (r"encoder\.pos_conv_embed\.conv\.", "encoder.pos_conv.0."),
    (r"(encoder\.layers\.\d+)\.layer_norm\.", r"\1.self_attn_layer_norm."),
    (r"(encoder\.layers\.\d+)\.attention\.", r"\1.self_attn."),
    (r"(encoder\.layers\.\d+)\.feed_forward\.intermediate_dense\.", r"\1.fc1."),
    (r"(encoder\.layers\.\d+)\.feed_forward\.output_dense\.", r"\1.fc2."),
)
"""Beginnings of HubertModel's names, and what fairseq has there."""


@functools.cache
def fairseq_hubert(convolutions: int = 7) -> bytes:
    """The same HuBERT as fairseq saves it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        path.write_bytes(hubert(convolutions)["model.safetensors"])
        tensors = load_file(path)
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in FAIRSEQ_NAMES:
            name, changed = re.subn(rf"^{pattern}", replacement, name)
            if changed:
                break
        renamed[name] = tensor
    settings = {
        "extractor_mode": "default",
        "conv_feature_layers": f"[(16,10,5)] + [(16,3,2)] * 4 + [(16,2,2)] * {convolutions - 5}",
        "encoder_attention_heads": HUBERT["num_attention_heads"],
        "layer_norm_first": False,
    }
    config = {"model": {"_name": "hubert", **settings}, "task": {"_name": "hubert_pretraining", "normalize": False}}
    file = io.BytesIO()
    torch.save({"model": renamed, "cfg": config}, file)
    return file.getvalue()


@functools.cache
def tokenizer() -> dict[str, bytes]:
    """A byte-level BPE tokenizer, trained on stories."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    inner.train_from_iterator([str(story["text"]) for story in stories(50)], trainer)
    with tempfile.TemporaryDirectory() as folder:
        inner.model.save(folder)  # vocab.json and merges.txt, as older models have it
        parts = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    return {**parts, **saved(wrapped)}


@functools.cache
def qwen2() -> dict[str, bytes]:
    """Qwen2 with its tied embeddings."""
    config = transformers.Qwen2Config(tie_word_embeddings=True, rope_theta=1e6, **DECODER)
    return {**build(transformers.Qwen2ForCausalLM, config), **tokenizer()}


@functools.cache
def llama() -> dict[str, bytes]:
    """Llama, also in two files with an index, as big ones are published."""
    files = build(transformers.LlamaForCausalLM, transformers.LlamaConfig(tie_word_embeddings=False, **DECODER))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        path.write_bytes(files["model.safetensors"])
        tensors = load_file(path)
    names = sorted(tensors)
    half = len(names) // 2
    parts = {"model-00001-of-00002.safetensors": names[:half], "model-00002-of-00002.safetensors": names[half:]}
    for part, held in parts.items():
        files[part] = save({name: tensors[name] for name in held}, metadata={"format": "pt"})
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": {n: part for part, held in parts.items() for n in held}}
    files["model.safetensors.index.json"] = json.dumps(index, indent=2).encode()
    return {**files, **tokenizer()}


@functools.cache
def opt() -> dict[str, bytes]:
    """OPT as its 350M has it: a projection around the layers, and the norm behind them."""
    config = transformers.OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=2048,
        word_embed_proj_dim=16,
        do_layer_norm_before=False,
    )
    return {**build(transformers.OPTForCausalLM, config), **tokenizer()}


@functools.cache
def slamkit() -> dict[str, bytes]:
    """A model of 500 units on Qwen2, as SlamKit's UnitLM.save_pretrained writes it."""
    config = transformers.Qwen2Config(
        **{**DECODER, "vocab_size": 502}, tie_word_embeddings=True, rope_theta=1e4, **CONFIG_IDS
    )
    with tempfile.TemporaryDirectory() as folder:
        plain, written = Path(folder, "plain"), Path(folder, "slamkit")
        plain.mkdir()
        for name, content in build(transformers.Qwen2ForCausalLM, config).items():
            (plain / name).write_bytes(content)
        export_slamkit(plain, written, "Qwen/Qwen2.5-0.5B")
        return {path.name: path.read_bytes() for path in written.iterdir()}


def written_with(units: int, write: Callable[[Path], Any]) -> dict[str, bytes]:
    """The files that one of the writers of published formats gives, for this many units."""
    few, published_models.UNITS = published_models.UNITS, units
    try:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent, "model")
            write(folder)
            return {path.name: path.read_bytes() for path in folder.iterdir()}
    finally:
        published_models.UNITS = few


@functools.cache
def twist() -> dict[str, bytes]:
    """TWIST's zips: of OPT, and of LLaMA, which is the folder of one."""
    opt_zip = written_with(500, published_models.twist)["TWIST-tiny.zip"]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in written_with(500, published_models.twist_llama).items():
            archive.writestr(f"TWIST-7B/{name}", content)
    return {"TWIST-350M.zip": opt_zip, "TWIST-1.3B.zip": opt_zip, "TWIST-7B.zip": file.getvalue()}


@functools.cache
def gslm() -> dict[str, bytes]:
    """GSLM's archive for 100 units."""
    return {"hubert100_lm.tgz": written_with(100, published_models.gslm)["tiny_lm.tgz"]}


@functools.cache
def slm() -> dict[str, bytes]:
    """Scaled Optimal's folder."""
    return written_with(500, published_models.slm)


@functools.cache
def hifigan() -> dict[str, bytes]:
    """A unit HiFi-GAN with durations for 500 units at 25 a second, as textlesslib publishes it."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "upsample_initial_channel": 32,
        "upsample_rates": [10, 8, 8],
        "upsample_kernel_sizes": [20, 16, 16],
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3]],
        "model_in_dim": WIDTH,
    }
    generator = transformers.FastSpeech2ConformerHifiGan(transformers.FastSpeech2ConformerHifiGanConfig(**shape))
    tensors = {"dict.weight": torch.randn(500, WIDTH)}
    for name, tensor in generator.state_dict().items():
        if name in ("mean", "scale"):
            continue
        name = name.replace("upsampler.", "ups.")
        if name.endswith(".weight"):  # as weight normalization keeps it: lengths and directions
            tensors[f"{name}_g"] = tensor.flatten(1).norm(dim=1).view(-1, 1, 1)
            tensors[f"{name}_v"] = tensor
        else:
            tensors[name] = tensor
    for index in (1, 2):
        tensors[f"dur_predictor.conv{index}.0.weight"] = 0.1 * torch.randn(WIDTH, WIDTH, 3)
        tensors[f"dur_predictor.conv{index}.0.bias"] = torch.zeros(WIDTH)
        tensors[f"dur_predictor.ln{index}.weight"] = torch.ones(WIDTH)
        tensors[f"dur_predictor.ln{index}.bias"] = torch.zeros(WIDTH)
    tensors["dur_predictor.proj.weight"] = 0.1 * torch.randn(1, WIDTH)
    tensors["dur_predictor.proj.bias"] = torch.ones(1)
    predictor = {"encoder_embed_dim": WIDTH, "var_pred_hidden_dim": WIDTH, "var_pred_kernel_size": 3}
    about = {**shape, "num_embeddings": 500, "embedding_dim": WIDTH, "sampling_rate": 16000}
    file = io.BytesIO()
    torch.save({"generator": {name: tensor.clone() for name, tensor in tensors.items()}}, file)
    described = json.dumps({**about, "dur_predictor_params": predictor}, indent=2)
    return {"generator.pt": file.getvalue(), "config.json": described.encode()}


FAMILIES: dict[str, Callable[[], dict[str, bytes]]] = {
    "hifigan": hifigan,
    "slprl/slam": slamkit,
    "twist/lms": twist,
    "gslm/hubert/lm_": gslm,
    "gslm-scaling": slm,
    "qwen": qwen2,
    "llama": llama,
    "opt": opt,
    "mhubert": functools.partial(hubert, 8),
    "hubert": hubert,
}
"""Which model stands for a repository, by a word in its name."""


TINY = {
    **{"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "n_embd": WIDTH, "n_inner": 64, "n_layer": 2, "n_head": 4},
    **{"ffn_dim": 64, "word_embed_proj_dim": WIDTH, "head_dim": 8, "d_model": WIDTH, "num_layers": 2},
    "attention_heads": 4,
}
"""The sizes in a configuration of transformers, as far as it has them."""


def bin_of(content: bytes) -> bytes:
    """The tensors of a model.safetensors as torch saves them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        path.write_bytes(content)
        file = io.BytesIO()
        torch.save(load_file(path), file)
    return file.getvalue()


def model_file(source: str, name: str) -> bytes:
    """The file `name` of the repository that `source` names. Raises KeyError if nothing stands for it."""
    for word, family in FAMILIES.items():
        if word in source.lower():
            files = family()
            if name not in files and name == "pytorch_model.bin":
                return bin_of(files["model.safetensors"])
            if name not in files and name.endswith(".pt") and "hubert" in word:
                return fairseq_hubert(8 if "25hz" in name else 7)
            return files[name]
    raise KeyError(source)
