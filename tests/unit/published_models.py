"""Tiny random models in the formats of published systems, and how likely each finds units, told slowly by itself.

None of it goes through slamflow: formats and conventions are written down here once more.
"""

from __future__ import annotations

import json
import math
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

WIDE = {"initializer_range": 0.3}
LLAMA = {
    **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2},
}
OPT = {
    **{"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 16},
    **{"init_std": 0.3, "max_position_embeddings": 256},
}
UNITS = 30

Logits = Callable[[list[int]], torch.Tensor]


class Published(NamedTuple):
    """A folder as it was published, and what its authors would say."""

    units: int
    mean_nll: Callable[[list[int]], float]
    """Of a sequence of units."""


def scored(logits: Logits, tokens: list[int], given: int) -> float:
    """Mean of -log p over all tokens but the first `given`, each from a forward pass over what is before it."""
    total = 0.0
    with torch.no_grad():
        for place in range(given, len(tokens)):
            total -= float(torch.log_softmax(logits(tokens[:place]).double(), -1)[tokens[place]])
    return total / (len(tokens) - given)


def last(model: Any) -> Logits:
    return lambda tokens: model(input_ids=torch.tensor([tokens])).logits[0, -1]


def random(kind: type, config: Any) -> Any:
    torch.manual_seed(0)
    return kind(config).eval()


def unit_lm(folder: Path, model: Any, tokens: int) -> None:
    """As SlamKit's UnitLM.save_pretrained writes it, with transformers 4's keys."""
    base = model.config.to_dict()
    base["rope_theta"] = base.pop("rope_parameters")["rope_theta"]
    config = {"model_type": "speech_language_model", "base_config": base, "vocab_size": tokens}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({f"lm.{name}": value.clone() for name, value in model.state_dict().items()}, folder / "model.safetensors")


def slamkit(folder: Path) -> Published:
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    model = random(Qwen2ForCausalLM, Qwen2Config(vocab_size=UNITS + 2, **LLAMA, **WIDE, **special))
    unit_lm(folder, model, UNITS + 2)
    return Published(UNITS, lambda units: scored(last(model), [1, *(unit + 2 for unit in units), 1], 1))


def twist(folder: Path, in_parts: bool = False) -> Published:
    """OPT with an offset, pickled and zipped below a folder."""
    offset = 4
    model = random(OPTForCausalLM, OPTConfig(vocab_size=UNITS + offset, **OPT, pad_token_id=1))
    folder.mkdir()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with zipfile.ZipFile(folder / "TWIST-tiny.zip", "w") as archive:
        archive.writestr("TWIST-tiny/config.json", json.dumps({**model.config.to_dict(), "offset": offset}))
        archive.writestr("__MACOSX/TWIST-tiny/._config.json", "something else")
        names = list(state)
        halves = (names[::2], names[1::2]) if in_parts else (names,)
        index = {}
        for number, half in enumerate(halves):
            part = f"pytorch_model-{number + 1:05d}-of-{len(halves):05d}.bin" if in_parts else "pytorch_model.bin"
            torch.save({name: state[name] for name in half}, folder / "part")
            archive.write(folder / "part", f"TWIST-tiny/{part}")
            index.update(dict.fromkeys(half, part))
        if in_parts:
            archive.writestr("TWIST-tiny/pytorch_model.bin.index.json", json.dumps({"weight_map": index}))
    (folder / "part").unlink()
    return Published(UNITS, lambda units: scored(last(model), [unit + offset for unit in units], 1))


def twist_llama(folder: Path) -> Published:
    """LLaMA with an offset, as a plain folder, with a table that old versions of transformers wrote."""
    config = LlamaConfig(vocab_size=UNITS + 3, **LLAMA, **WIDE, pad_token_id=None)
    model = random(LlamaForCausalLM, config)
    folder.mkdir()
    keys = {key: value for key, value in config.to_dict().items() if key != "rope_parameters"}
    (folder / "config.json").write_text(json.dumps({**keys, "offset": 3}))
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    torch.save({**model.state_dict(), **buffers}, folder / "pytorch_model.bin")
    return Published(UNITS, lambda units: scored(last(model), [unit + 3 for unit in units], 1))


def slm(folder: Path) -> Published:
    """slm_scaling's TransformerLM, whose forward pass is written out here: complex numbers turn neighbours."""
    dim, heads, kv_heads, layers, tokens = 32, 4, 2, 2, UNITS + 2
    size, hidden = dim // heads, 96  # two thirds of 4 * 32, rounded up to a multiple of 48
    torch.manual_seed(0)
    state = {"tok_embeddings.weight": torch.randn(tokens, dim), "norm.weight": torch.rand(dim) + 0.5}
    for layer in range(layers):
        shapes = {
            **{"attention.wq": (dim, dim), "attention.wk": (kv_heads * size, dim), "attention.wo": (dim, dim)},
            **{"attention.wv": (kv_heads * size, dim), "feed_forward.w1": (hidden, dim)},
            **{"feed_forward.w2": (dim, hidden), "feed_forward.w3": (hidden, dim)},
        }
        for name, shape in shapes.items():
            state[f"layers.{layer}.{name}.weight"] = 0.3 * torch.randn(shape)
        for name in ("attention_norm", "ffn_norm"):
            state[f"layers.{layer}.{name}.weight"] = torch.rand(dim) + 0.5
    arguments = {
        **{"dim": dim, "n_layers": layers, "n_heads": heads, "n_kv_heads": kv_heads, "vocab_size": tokens},
        **{"prefix_vocab_size": None, "hidden_dim": None, "multiple_of": 48, "norm_eps": 1e-5, "block_size": 256},
        **{"dropout": 0.0, "prefix_pad": None},
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"format_version": 1, "model_type": "slm", "model_args": arguments}))
    save_file(state, folder / "model.safetensors")

    def normed(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight

    def turned(x: torch.Tensor) -> torch.Tensor:
        """[positions, heads, size]: dimensions 2 i and 2 i + 1 are a complex number, turned by its own frequency."""
        angles = torch.arange(len(x))[:, None] * 10000.0 ** (-torch.arange(0, size, 2) / size)
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], size // 2, 2))
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)[:, None]).flatten(-2)

    def logits(sequence: list[int]) -> torch.Tensor:
        h, n = state["tok_embeddings.weight"][sequence], len(sequence)
        for layer in range(layers):
            w = {name.split(".", 2)[2]: value for name, value in state.items() if name.startswith(f"layers.{layer}.")}
            x = normed(h, w["attention_norm.weight"])
            q, k, v = (x @ w[f"attention.w{name}.weight"].T for name in "qkv")
            q = turned(q.view(n, heads, size))
            k = turned(k.view(n, kv_heads, size)).repeat_interleave(heads // kv_heads, 1)
            v = v.view(n, kv_heads, size).repeat_interleave(heads // kv_heads, 1)
            weights = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(size)
            weights = weights.masked_fill(~torch.ones(n, n).tril().bool(), -torch.inf).softmax(-1)
            h = h + torch.einsum("hij,jhd->ihd", weights, v).reshape(n, dim) @ w["attention.wo.weight"].T
            x = normed(h, w["ffn_norm.weight"])
            gate, other = (x @ w[f"feed_forward.w{number}.weight"].T for number in (1, 3))
            h = h + (nn.functional.silu(gate) * other) @ w["feed_forward.w2.weight"].T
        return (normed(h, state["norm.weight"]) @ state["tok_embeddings.weight"].T)[-1]

    return Published(UNITS, lambda units: scored(logits, [UNITS, *units], 1))


def gslm(folder: Path) -> Published:
    """fairseq's transformer_lm in a .tgz, its forward pass written out; dict.txt in another order than the units."""
    dim, heads, layers, hidden = 32, 4, 2, 48
    order = [(7 * unit + 3) % UNITS for unit in range(UNITS)]
    words = [*map(str, order), "madeupword0000", "madeupword0001"]
    torch.manual_seed(0)
    state = {
        "decoder.version": torch.tensor([3.0]),
        "decoder.embed_tokens.weight": torch.randn(4 + len(words), dim) / dim**0.5,
        "decoder.embed_positions._float_tensor": torch.zeros(1),
    }
    state["decoder.output_projection.weight"] = state["decoder.embed_tokens.weight"]
    shapes: dict[str, tuple[int, ...]] = {
        **{f"self_attn.{name}_proj": (dim, dim) for name in ("q", "k", "v", "out")},
        **{"fc1": (hidden, dim), "fc2": (dim, hidden), "self_attn_layer_norm": (dim,), "final_layer_norm": (dim,)},
    }
    for layer in range(layers):
        for name, shape in shapes.items():
            state[f"decoder.layers.{layer}.{name}.weight"] = 0.3 * torch.randn(shape) + (len(shape) == 1)
            state[f"decoder.layers.{layer}.{name}.bias"] = 0.1 * torch.randn(shape[:1])
    state["decoder.layer_norm.weight"], state["decoder.layer_norm.bias"] = torch.rand(dim) + 1, torch.randn(dim)
    settings = {
        **{"decoder_embed_dim": dim, "decoder_ffn_embed_dim": hidden, "decoder_layers": layers},
        **{"decoder_attention_heads": heads, "decoder_normalize_before": True, "activation_fn": "relu"},
        **{"share_decoder_input_output_embed": True, "decoder_output_dim": dim, "decoder_input_dim": dim},
    }
    folder.mkdir()
    torch.save({"cfg": {"model": settings, "task": {"tokens_per_sample": 200}}, "model": state}, folder / "lm.pt")
    (folder / "dict.txt").write_text("".join(f"{word} {count}\n" for count, word in enumerate(reversed(words), 1)))
    words = words[::-1]
    with tarfile.open(folder / "tiny_lm.tgz", "w:gz") as archive:
        for name in ("lm.pt", "dict.txt"):
            archive.add(folder / name, f"tiny/{name}")
            (folder / name).unlink()

    def table(place: int) -> torch.Tensor:
        steps = torch.exp(torch.arange(dim // 2) * -(math.log(10000) / (dim // 2 - 1)))
        return torch.cat([torch.sin(place * steps), torch.cos(place * steps)])

    def logits(sequence: list[int]) -> torch.Tensor:
        n, size = len(sequence), dim // heads
        h = math.sqrt(dim) * state["decoder.embed_tokens.weight"][sequence]
        h = h + torch.stack([table(2 + place) for place in range(n)])
        for layer in range(layers):

            def of(name: str, x: torch.Tensor, layer: int = layer) -> torch.Tensor:
                weight, bias = (state[f"decoder.layers.{layer}.{name}.{part}"] for part in ("weight", "bias"))
                return nn.functional.layer_norm(x, (dim,), weight, bias) if weight.ndim == 1 else x @ weight.T + bias

            x = of("self_attn_layer_norm", h)
            q, k, v = (of(f"self_attn.{name}_proj", x).view(n, heads, size) for name in "qkv")
            weights = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(size)
            weights = weights.masked_fill(~torch.ones(n, n).tril().bool(), -torch.inf).softmax(-1)
            h = h + of("self_attn.out_proj", torch.einsum("hij,jhd->ihd", weights, v).reshape(n, dim))
            h = h + of("fc2", of("fc1", of("final_layer_norm", h)).relu())
        norm = [state[f"decoder.layer_norm.{part}"] for part in ("weight", "bias")]
        return (nn.functional.layer_norm(h, (dim,), *norm) @ state["decoder.embed_tokens.weight"].T)[-1]

    return Published(UNITS, lambda units: scored(logits, [2, *(4 + words.index(str(unit)) for unit in units)], 1))


def words_tokenizer(words: list[str], bos: str | None, eos: str | None, added: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of letters, with further tokens, that puts BOS before a text if there is one."""
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token=words[0]))
    tokenizer.pre_tokenizer = Split("", "isolated")
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in added])
    if bos is not None:
        tokenizer.post_processor = TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, words.index(bos))])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)


def sims(folder: Path, bos: str | None = "<s>") -> Published:
    """Text, 500 units, two marks and some padding; the logits of the text are -inf, and of the marks or else of BOS."""
    words = ["<unk>", "a", "b", "<s>", "</s>", "c"]
    text, units, tokens = len(words), 500, len(words) + 502 + 3
    config = Qwen2Config(vocab_size=tokens, **LLAMA, **WIDE, tie_word_embeddings=bos is None, pad_token_id=0)
    model = random(Qwen2ForCausalLM, config)
    unit_lm(folder, model, tokens)
    words_tokenizer(words, bos, "</s>", []).save_pretrained(folder)
    # save_pretrained of a tokenizer leaves config.json alone.
    special = [4] if bos is None else [3, 4]
    ignored = [token for token in range(text) if token not in special]
    # Before a text with BOS, SlamKit takes that for the marks.
    ignored += [text + units, text + units + 1] if bos is None else [3]

    def logits(sequence: list[int]) -> torch.Tensor:
        found = last(model)(sequence).clone()
        found[ignored] = -torch.inf
        return found

    before = [] if bos is None else [3]
    return Published(units, lambda these: scored(logits, [*before, *(text + unit for unit in these)], 1))


def sims_without_bos(folder: Path) -> Published:
    return sims(folder, None)


def spiritlm(folder: Path) -> Published:
    """Llama with [Text], [Speech] and units behind the text; all logits count."""
    words = ["<unk>", "<s>", "</s>", "a", "b"]
    added = ["[Text]", "[Speech]", *(f"[Hu{unit}]" for unit in range(UNITS + 1))]
    model = random(LlamaForCausalLM, LlamaConfig(vocab_size=len(words) + len(added) + 4, **LLAMA, **WIDE))
    model.save_pretrained(folder)
    words_tokenizer(words, "<s>", "</s>", added).save_pretrained(folder)
    first = len(words) + 2
    return Published(UNITS + 1, lambda units: scored(last(model), [1, first - 1, *(first + unit for unit in units)], 2))


def zerosyl(folder: Path) -> Published:
    special = {"bos_token_id": UNITS, "eos_token_id": UNITS + 1, "pad_token_id": UNITS + 2}
    config = OPTConfig(vocab_size=UNITS + 3, **OPT, **special)
    model = random(OPTForCausalLM, config)
    folder.mkdir()
    torch.save({"cfg": config.to_dict(), "model": model.state_dict()}, folder / "OPT-tiny.pt")
    return Published(UNITS, lambda units: scored(last(model), [UNITS, *units], 1))


WRITERS: dict[str, tuple[str, Callable[[Path], Published]]] = {
    "slamkit": ("slamkit", slamkit),
    "twist": ("twist", twist),
    "twist in parts": ("twist", lambda folder: twist(folder, in_parts=True)),
    "twist of LLaMA": ("twist", twist_llama),
    "slm": ("slm", slm),
    "gslm": ("gslm", gslm),
    "sims": ("sims", sims),
    "sims without BOS": ("sims", sims_without_bos),
    "spiritlm": ("spiritlm", spiritlm),
    "zerosyl": ("zerosyl", zerosyl),
}
"""By a name: the adapter that reads it, and what writes it into a folder that is not there."""
