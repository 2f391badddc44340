"""SIMS: SlamKit's models of text and units in one vocabulary (Maimon et al. 2025, arXiv:2504.02398).

A folder of SlamKit's UnitLM with the files of its text model's tokenizer, from which the places of the units follow.
Conventions, by slp-rl/slamkit@388b402:

* the text tokenizer gets the tokens <Un0> to <Un499>, <speech> and <text> behind its own, in this order
  (slamkit/tokeniser/interleaving_tokeniser.py:122-127), and the model has a token for each (cli/train.py:39-41);
* a benchmark's sequence is its units alone, without <speech>, between what the text tokenizer puts around a text: for
  Qwen2.5 nothing, for Llama 3.2 and OPT a BOS (interleaving_tokeniser.py:192-202); the first token is given, and the
  score is the mean over the others (model/unit_lm.py:185-194);
* with `used_token_modality: SPEECH` the logits of all text tokens but BOS and EOS, of <speech> and of <text> are -inf
  (interleaving_tokeniser.py:295-310, unit_lm.py:188). A token that can neither be read nor predicted is the same as no
  token: here the model keeps the rows of the others only, and speaks units alone;
* where the text tokenizer puts a BOS before a text, line 304 takes that BOS for <speech> and for <text>: their logits
  stay, and BOS's is -inf.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slamflow.adapters import SystemSettings
from slamflow.errors import InputError

if TYPE_CHECKING:
    from slamflow.vocabulary import Vocabulary

UNITS = 500
MARKS = 2
"""<speech> and <text>."""


class SimsSystem(SystemSettings):
    """A model of SlamKit's interleaved text and units, as a model of units."""

    adapter: Literal["sims"]
    """SlamKit's format with text and 500 units, and the files of the text model's tokenizer (Maimon et al. 2025)."""


def convert(source: Path, output: Path) -> Vocabulary:
    """Write what the model is on units alone, in the precision of its weights.

    Raises InputError for a folder of another format, without a tokenizer, or with another number of tokens.
    """
    from slamflow.adapters.slamkit import read_unit_lm
    from slamflow.adapters.weights import make_class, names_of_embeddings, write_model
    from slamflow.vocabulary import Layout, Vocabulary

    model_type, keys, state = read_unit_lm(source)
    tokenizer = text_tokenizer(source)
    text = len(tokenizer)
    tokens = keys["vocab_size"]
    if tokens < text + UNITS + MARKS:
        raise InputError(
            f"{source}: the model has {tokens} tokens, and fewer than the text tokenizer's {text} with {UNITS} units "
            f"and {MARKS} marks"
        )
    special = [token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None]
    before, after = around_a_text(tokenizer, source)
    # The units first, then what else keeps its logits: BOS, EOS, and what only fills the table of embeddings.
    others = range(text + UNITS + (0 if before else MARKS), tokens)
    rows = [*range(text, text + UNITS), *dict.fromkeys(special), *others]
    if strange := [token for token in before + after if token not in special]:
        raise InputError(f"{source}: the tokenizer puts token {strange[0]} around a text, which is neither BOS nor EOS")
    for name in state.keys() & names_of_embeddings(make_class(model_type, keys, source)):
        state[name] = state[name][rows]
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"))
    write_model(make_class(model_type, {**keys, **ids, "vocab_size": len(rows)}, source), state, output, source)
    eos = rows.index(tokenizer.eos_token_id) if tokenizer.eos_token_id is not None else None
    bos = tuple(rows.index(token) for token in before)
    layout = Layout(pad=0, bos=bos, eos=eos, ends=bool(after), first_unit=0, unpredicted=bos)
    return Vocabulary(UNITS, layout=layout)


def text_tokenizer(source: Path) -> Any:
    """The tokenizer in a folder, without the units that SlamKit adds. Raises InputError if it has none."""
    from transformers import PreTrainedTokenizerFast

    from slamflow.adapters.weights import existing

    existing(source / "tokenizer.json")
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(source, local_files_only=True)
    except Exception as error:  # tokenizers raises errors of its own
        raise InputError(f"{source}: cannot be read as a transformers tokenizer: {error}") from None
    if "<Un0>" in tokenizer.get_vocab():
        raise InputError(f"{source}/tokenizer.json: has units; give the text model's own tokenizer")
    return tokenizer


def around_a_text(tokenizer: Any, source: Path) -> tuple[list[int], list[int]]:
    """The tokens that a tokenizer puts before and behind a text, at most one each. Raises InputError for more."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for before in range(2):
        if whole[before : before + len(plain)] == plain and len(whole) <= before + len(plain) + 1:
            return whole[:before], whole[before + len(plain) :]
    raise InputError(f"{source}: the tokenizer does more than to put one token before or behind a text")
