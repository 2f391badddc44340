"""GSLM's unit language models: fairseq's transformer_lm (Lakhotia et al. 2021, arXiv:2102.01192).

A .pt of fairseq and its dict.txt, in a folder or in a .tgz. Conventions, by facebookresearch/fairseq@3d262bb2:

* the architecture is transformers' XGLM: sinusoidal positions that begin at 2, embeddings times the root of their
  width, norms before the layers and one behind the last, the output tied to the embeddings
  (fairseq/models/transformer_lm.py:325-380, 399; modules/sinusoidal_positional_embedding.py);
* four special tokens come first (<s>, <pad>, </s>, <unk>; data/dictionary.py:35-39), then the words of dict.txt
  in its order, which is by frequency: here the rows of the embeddings are put into the order of the units;
* a sequence begins with </s>, which is token 2; where fairseq scores a given sequence, the </s> at its end is taken
  off, and the score is the mean over the others (tasks/language_modeling.py:269-312; sequence_scorer.py:118-127).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slamflow.adapters import SystemSettings
from slamflow.errors import InputError

if TYPE_CHECKING:
    from slamflow.vocabulary import Vocabulary

PADDING, EOS, SPECIAL = 1, 2, 4
NAMES = (
    (r"decoder\.embed_tokens\.weight", "model.embed_tokens.weight"),
    (r"decoder\.output_projection\.weight", "lm_head.weight"),
    (r"decoder\.layer_norm\.(weight|bias)", r"model.layer_norm.\1"),
    (
        r"decoder\.layers\.(\d+)\.((?:self_attn\.[qkv]|self_attn\.out)_proj|self_attn_layer_norm|fc[12]|final_layer_norm)"
        r"\.(weight|bias)",
        r"model.layers.\1.\2.\3",
    ),
)
"""fairseq's names and those of XGLMForCausalLM."""
NOT_WEIGHTS = re.compile(r"decoder\.(version|embed_positions\._float_tensor)")
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "share_decoder_input_output_embed": (True,),
    "decoder_learned_pos": (False, None),
    "decoder_normalize_before": (True, None),
    "no_decoder_final_norm": (False, None),
    "no_token_positional_embeddings": (False, None),
    "layernorm_embedding": (False, None),
    "adaptive_input": (False, None),
    "adaptive_softmax_cutoff": (None, ""),
    "character_embeddings": (False, None),
    "decoder_layers_to_keep": (None, ""),
    "add_bos_token": (False, None),
    "quant_noise_pq": (0, None),
    "scale_fc": (False, None),
    "scale_attn": (False, None),
    "scale_heads": (False, None),
    "scale_resids": (False, None),
}
"""The values of fairseq's settings that XGLM can compute; a setting that a checkpoint lacks is not checked."""


class GslmSystem(SystemSettings):
    """A unit language model of GSLM."""

    adapter: Literal["gslm"]
    """fairseq's format: a .pt of transformer_lm with its dict.txt (Lakhotia et al. 2021)."""


def convert(source: Path, output: Path) -> Vocabulary:
    """Write the model as an XGLMForCausalLM whose units are in their order, in the precision of its weights.

    Raises InputError for anything but a transformer_lm of units 0 to n - 1.
    """
    from slamflow.adapters.weights import existing, loaded, make_class, only_file, unpacked, write_model
    from slamflow.assets.torch_checkpoint import read_checkpoint, settings_of, tensors
    from slamflow.vocabulary import Layout, Vocabulary

    with unpacked(source, output) as folder:
        path = only_file(folder, ".pt")
        rows, units = order_of_rows(existing(folder / "dict.txt"))
        checkpoint = read_checkpoint(path)
        keys = architecture(list(settings_of(checkpoint, path)), path)
        state = {}
        for name, tensor in loaded(tensors(checkpoint.get("model"), path), path).items():
            if NOT_WEIGHTS.fullmatch(name):
                continue
            new = next((re.sub(old, to, name) for old, to in NAMES if re.fullmatch(old, name)), None)
            if new is None:
                raise InputError(f"{path}: has {name}, which is no tensor of fairseq's transformer_lm")
            if new in ("model.embed_tokens.weight", "lm_head.weight"):
                if len(tensor) != len(rows):
                    raise InputError(f"{path}: has {len(tensor)} tokens, dict.txt {len(rows)} with the special ones")
                tensor = tensor[rows]
            state[new] = tensor
        model = make_class("xglm", {**keys, "vocab_size": len(rows)}, path)
        write_model(model, state, output, path)
    layout = Layout(pad=PADDING, bos=(EOS,), eos=EOS, ends=False, first_unit=SPECIAL)
    return Vocabulary(units, layout=layout)


def order_of_rows(path: Path) -> tuple[list[int], int]:
    """The rows of fairseq's embeddings in the order special tokens, units, other words; and the number of units.

    path: dict.txt, whose word on line n is token n + 3. Raises InputError unless the units are 0 to n - 1, each once.
    """
    words = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    numbers = {int(word): SPECIAL + place for place, word in enumerate(words) if word.isdigit()}
    if sorted(numbers) != list(range(len(numbers))) or not numbers or sum(map(str.isdigit, words)) != len(numbers):
        raise InputError(f"{path}: its words are not the units 0 to n - 1, each once")
    others = [SPECIAL + place for place, word in enumerate(words) if not word.isdigit()]
    return [*range(SPECIAL), *(numbers[unit] for unit in range(len(numbers))), *others], len(numbers)


def architecture(parts: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """The keys of XGLM's configuration from fairseq's settings. Raises InputError for what XGLM cannot compute.

    parts: as `settings_of` gives them; an earlier one overrides a later one.
    """
    settings: dict[str, Any] = {}
    for part in reversed(parts):
        settings |= part
    if "decoder_embed_dim" not in settings:
        raise InputError(f"{path}: is no transformer_lm of fairseq; it does not say its decoder_embed_dim")
    for key, values in SUPPORTED.items():
        if key in settings and settings[key] not in values:
            raise InputError(f"{path}: {key} is {settings[key]!r}, which XGLM cannot compute")
    width = settings["decoder_embed_dim"]
    for key in ("decoder_input_dim", "decoder_output_dim"):
        if settings.get(key, width) != width:
            raise InputError(f"{path}: {key} is {settings[key]}, which is not the decoder's width of {width}")
    longest = settings.get("max_target_positions") or settings.get("tokens_per_sample") or 1024
    return {
        "d_model": width,
        "ffn_dim": settings["decoder_ffn_embed_dim"],
        "num_layers": settings["decoder_layers"],
        "attention_heads": settings["decoder_attention_heads"],
        "activation_function": settings.get("activation_fn") or "relu",
        "max_position_embeddings": longest,
        "scale_embedding": not settings.get("no_scale_embedding"),
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "pad_token_id": PADDING,
        "bos_token_id": EOS,
        "eos_token_id": EOS,
        "tie_word_embeddings": True,
    }
