"""Spirit LM: Llama 2 with units among its tokens (Nguyen et al. 2024, arXiv:2402.05755).

The weights are released on request; the folder is taken as released. Conventions, by facebookresearch/spiritlm@9790966:

* a transformers folder, LlamaForCausalLM and LlamaTokenizer with a BOS and no EOS (spiritlm/model/spiritlm_model.py,
  `Spiritlm.__init__`), in which unit u is the text [Hu{u}], and speech begins with [Speech] (`Spiritlm._build_prompt`);
* benchmarks are scored by the mean log-likelihood over the whole vocabulary: the text's logits are not masked, and the
  length is divided by (the authors in issue 14 of that repository). That [Speech] is given and not scored is taken from
  the model's use; the authors' own code for these benchmarks is not public.

The released weights are not those of the paper's tables (the same issue).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from slamflow.adapters import SystemSettings
from slamflow.errors import InputError

if TYPE_CHECKING:
    from slamflow.vocabulary import Vocabulary


class SpiritLmSystem(SystemSettings):
    """A model of Spirit LM, on speech alone."""

    spare_units: ClassVar[bool] = True
    adapter: Literal["spiritlm"]
    """A transformers folder whose tokenizer has [Speech] and [Hu0], [Hu1], ... (Nguyen et al. 2024)."""


def convert(source: Path, output: Path) -> Vocabulary:
    """Write the model as it is, and tell where its units lie.

    Raises InputError for a folder whose tokenizer has no units, or has them in another order.
    """
    from slamflow.adapters.weights import NOT_CARRIED, make_class, read_config, read_state, write_model
    from slamflow.vocabulary import Layout, Vocabulary

    config = read_config(source)
    before, first, units = places_of_units(source)
    keys = {key: value for key, value in config.items() if key not in (*NOT_CARRIED, "model_type")}
    model = make_class(config.get("model_type"), keys, source)
    write_model(model, read_state(source), output, source)
    # Speech that the model ends itself ends where it would go on with something else, so nothing is its EOS.
    return Vocabulary(units, layout=Layout(pad=0, bos=tuple(before), eos=None, ends=False, first_unit=first))


def places_of_units(source: Path) -> tuple[list[int], int, int]:
    """The tokens before the first unit of speech, the token of unit 0, and how many units there are.

    Raises InputError for a tokenizer without units, or with units that do not follow one another.
    """
    tokenizer = read_tokenizer(source)
    vocabulary = tokenizer.get_vocab()
    units = 0
    while f"[Hu{units}]" in vocabulary:
        units += 1
    if not units or "[Speech]" not in vocabulary:
        raise InputError(f"{source}: the tokenizer has no [Speech] and [Hu0]; config.json is of another model")
    first = vocabulary["[Hu0]"]
    if any(vocabulary[f"[Hu{unit}]"] != first + unit for unit in range(units)):
        raise InputError(f"{source}: the tokenizer's units are not in their order")
    whole = tokenizer(f"[Speech][Hu0][Hu{units - 1}]")["input_ids"]
    if whole[-2:] != [first, first + units - 1] or not whole[:-2]:
        raise InputError(f"{source}: the tokenizer reads [Speech][Hu0] as {whole}")
    return whole[:-2], first, units


def read_tokenizer(source: Path) -> Any:
    """A folder's tokenizer. Raises InputError if it has none that transformers reads."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # sentencepiece and tokenizers raise errors of their own
        raise InputError(f"{source}: its tokenizer cannot be read beside config.json: {error}") from None
