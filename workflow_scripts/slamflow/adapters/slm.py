"""Scaled Optimal: a LLaMA in a format of its own (Cuervo and Marxer 2024, arXiv:2404.00685).

Conventions, by tiagoCuervo/slm_scaling@3357a2f:

* config.json has `model_args` (src/slm/model.py:12-26); safetensors, in parts or whole, without the output projection,
  which is the embeddings once more (model.py:264);
* `w1` is the gate, `w3` the other factor and `w2` the way back (model.py:195), `hidden_dim` follows from `dim` and
  `multiple_of` if it is not said (model.py:185-188);
* the rotary embedding, of base 10,000, turns neighbouring dimensions against each other (model.py:41-77), where
  transformers' LLaMA turns the first half of a head against the second: the rows of `wq` and `wk` change places;
* unit u is token u, behind the units lie EOS and PAD (src/slm_data/backends.py:74-75); a benchmark's sequence begins
  with EOS, does not end in one, and its score is the mean over its units (src/slm/evaluate.py:42-50, 180;
  model.py:385).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slamflow.adapters import SystemSettings
from slamflow.errors import InputError

if TYPE_CHECKING:
    import torch

    from slamflow.vocabulary import Vocabulary

ROPE_THETA = 10_000.0
SPECIAL = 2
"""EOS and PAD, behind the units."""
NAMES = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
OUTER = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


class SlmSystem(SystemSettings):
    """A model of slm_scaling."""

    adapter: Literal["slm"]
    """The format of slm_scaling's TransformerLM (Cuervo and Marxer 2024)."""


def convert(source: Path, output: Path) -> Vocabulary:
    """Write the model as a LlamaForCausalLM that computes the same, in the precision of its weights.

    Raises InputError for a folder of another format or version, and for a model with a vocabulary of prefixes.
    """
    from slamflow.adapters.weights import make_class, needed, read_config, read_state, write_model
    from slamflow.vocabulary import Layout, Vocabulary

    path = source / "config.json"
    config = read_config(source)
    arguments = config.get("model_args")
    if config.get("model_type") != "slm" or config.get("format_version") != 1 or not isinstance(arguments, dict):
        raise InputError(f"{path}: is not of slm_scaling's format, version 1")
    if arguments.get("prefix_vocab_size") is not None:
        raise InputError(f"{path}: the model continues prefixes of other tokens; such are not read")
    what = "a model of slm_scaling"
    dim, heads = (needed(arguments, key, path, what) for key in ("dim", "n_heads"))
    kv_heads = arguments.get("n_kv_heads") or heads
    units = needed(arguments, "vocab_size", path, what) - SPECIAL
    keys = {
        "vocab_size": units + SPECIAL,
        "hidden_size": dim,
        "intermediate_size": hidden_size(arguments, dim),
        "num_hidden_layers": needed(arguments, "n_layers", path, what),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": arguments.get("norm_eps", 1e-5),
        "max_position_embeddings": needed(arguments, "block_size", path, what),
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "tie_word_embeddings": True,
        **{"bos_token_id": units, "eos_token_id": units, "pad_token_id": units + 1},
    }
    state = {}
    for name, tensor in read_state(source).items():
        new = name_in_llama(name)
        if new is None:
            raise InputError(f"{source}: the weights have {name}, which is no tensor of slm_scaling's TransformerLM")
        if name.endswith(("wq.weight", "wk.weight")):
            tensor = half_split(tensor, heads if name.endswith("wq.weight") else kv_heads)
        state[new] = tensor
    write_model(make_class("llama", keys, source), state, output, source)
    layout = Layout(pad=units + 1, bos=(units,), eos=units, ends=False, first_unit=0)
    return Vocabulary(units, layout=layout)


def hidden_size(arguments: dict[str, Any], dim: int) -> int:
    """The width of the feed-forward network: `hidden_dim`, or 8 / 3 `dim` rounded up to `multiple_of`."""
    if arguments.get("hidden_dim") is not None:
        return int(arguments["hidden_dim"])
    multiple = int(arguments.get("multiple_of", 256))
    return -(-int(2 * 4 * dim / 3) // multiple) * multiple


def name_in_llama(name: str) -> str | None:
    """LlamaForCausalLM's name of a tensor; None if it has no such one."""
    if name in OUTER:
        return OUTER[name]
    layers, _, rest = name.partition(".")
    number, _, part = rest.partition(".")
    inner = part.removesuffix(".weight")
    if layers != "layers" or not number.isdigit() or inner not in NAMES:
        return None
    return f"model.layers.{number}.{NAMES[inner]}.weight"


def half_split(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of a projection [heads * size, dim] for a rotary embedding that pairs i with i + size / 2, not i + 1."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)
