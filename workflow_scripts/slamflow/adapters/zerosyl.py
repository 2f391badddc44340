"""ZeroSyl's language models of syllables: OPT-125M (Visser et al. 2026, arXiv:2602.15537).

One .pt file with a configuration and tensors. Conventions, by nicolvisser/ZeroSyl@0587bf5, zerosyl/lm.py:

* `cfg` has the keys of an OPTConfig, `model` the tensors of OPTForCausalLM (lines 46-56);
* unit u is token u; a sequence begins with the configuration's `bos_token_id` and has no EOS (lines 10-19), and its
  score is the mean over its units (lines 21-43; in a batch of different lengths the authors' code also takes in one
  position of padding for the shorter ones; one at a time it does not).

ZeroSyl's other models (`ULM`, zerosyl/ulm.py) have one row of embeddings more than outputs, which no causal language
model of transformers has: they are not read. The units need ZeroSyl's own encoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slamflow.adapters import SystemSettings
from slamflow.errors import InputError

if TYPE_CHECKING:
    from slamflow.vocabulary import Vocabulary

NEEDED = ("bos_token_id", "pad_token_id", "vocab_size")


class ZeroSylSystem(SystemSettings):
    """A model of ZeroSyl."""

    adapter: Literal["zerosyl"]
    """ZeroSyl's format: a .pt of its LanguageModel (Visser et al. 2026)."""


def convert(source: Path, output: Path) -> Vocabulary:
    """Write the model as an OPTForCausalLM, in the precision of its weights.

    Raises InputError for another file, or where BOS and PAD do not lie behind the units.
    """
    from slamflow.adapters.weights import NOT_CARRIED, loaded, make_class, needed, only_file, write_model
    from slamflow.assets.torch_checkpoint import plain, read_checkpoint, tensors
    from slamflow.vocabulary import Layout, Vocabulary

    path = only_file(source, ".pt")
    checkpoint = read_checkpoint(path)
    config = plain(checkpoint.get("cfg")) if isinstance(checkpoint, dict) else None
    if not isinstance(config, dict) or "word_embed_proj_dim" not in config:
        raise InputError(f"{path}: has no OPT's configuration under cfg")
    bos, pad, tokens = (needed(config, key, path, "a model of ZeroSyl") for key in NEEDED)
    eos = config.get("eos_token_id")
    special = {token for token in (bos, pad, eos) if isinstance(token, int)}
    units = min(special)
    if special | set(range(units)) != set(range(tokens)):
        raise InputError(f"{path}: the tokens {sorted(special)} do not lie behind the units of {tokens} tokens")
    keys = {key: value for key, value in config.items() if key not in (*NOT_CARRIED, "model_type")}
    state = loaded(tensors(checkpoint.get("model"), path), path)
    write_model(make_class("opt", keys, path), state, output, path)
    return Vocabulary(units, layout=Layout(pad=pad, bos=(bos,), eos=eos, ends=False, first_unit=0))
