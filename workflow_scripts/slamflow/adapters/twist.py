"""TWIST: OPT or LLaMA with the vocabulary of units (Hassid et al. 2023, arXiv:2305.13009).

A zip with a transformers folder, whose config.json has one key more: `offset`. Conventions, by the authors' code:

* unit u is token u + offset (facebookresearch/textlesslib@ba33d66, examples/twist/speech_lm.py:48-55);
* a sequence has no BOS and no EOS, the first unit is given, and the score is the mean over the others; what fills rows,
  `pad_token_id`, is not counted (slp-rl/salmon@85e2daf, baselines/inference.py:47-72 and utils.py:154-177;
  `mean_nll` in baselines/configs/inference/TWIST-350M.json and its neighbours).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.adapters import SystemSettings
from slamflow.errors import InputError

if TYPE_CHECKING:
    from slamflow.vocabulary import Vocabulary

BUFFERS = ("rotary_emb.inv_freq", "attn.bias", "attn.masked_bias")
"""Tables that older versions of transformers wrote beside the weights."""


class TwistSystem(SystemSettings):
    """A model of TWIST."""

    spare_units: ClassVar[bool] = True
    adapter: Literal["twist"]
    """TWIST's format: a transformers folder, perhaps in a zip, with an `offset` (Hassid et al. 2023)."""


def convert(source: Path, output: Path) -> Vocabulary:
    """Write the model as transformers reads it, in the precision of its weights.

    All tokens behind the offset count as units, since the folder does not say how many there are. Raises InputError for
    a folder without an `offset`, or whose weights do not fit its configuration.
    """
    from slamflow.adapters.weights import (
        NOT_CARRIED,
        make_class,
        needed,
        read_config,
        read_state,
        unpacked,
        write_model,
    )
    from slamflow.vocabulary import Layout, Vocabulary

    with unpacked(source, output) as folder:
        config = read_config(folder)
        path = folder / "config.json"
        offset = needed(config, "offset", path, "a model of TWIST")
        tokens = needed(config, "vocab_size", path, "a model of TWIST")
        if tokens <= offset:
            raise InputError(f"{path}: {tokens} tokens leave no unit behind the offset {offset}")
        keys = {key: value for key, value in config.items() if key not in (*NOT_CARRIED, "model_type", "offset")}
        model = make_class(config.get("model_type"), keys, source)
        state = {name: tensor for name, tensor in read_state(folder).items() if not name.endswith(BUFFERS)}
        write_model(model, state, output, source)
    told = config.get("pad_token_id")
    pad = told if isinstance(told, int) and 0 <= told < tokens else 0
    return Vocabulary(tokens - offset, layout=Layout(pad=pad, bos=(), eos=None, ends=False, first_unit=offset))
