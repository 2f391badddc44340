"""Continuations of unit sequences, sampled from a language model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from slamflow import commands
from slamflow.errors import InputError
from slamflow.recipe.generation import Sampling
from slamflow.sharding import stable_hash
from slamflow.vocabulary import Vocabulary

ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class Continuation:
    """Units that follow a prompt, and whether the model ended the utterance itself."""

    units: np.ndarray
    ended: bool


def draw(logits: torch.Tensor, uniform: torch.Tensor, temperature: float, top_k: int) -> torch.Tensor:
    """One token a row from its `top_k` likeliest: logits [rows, vocabulary], uniform float64 [rows] in [0, 1)."""
    likeliest = logits.double().topk(min(top_k, logits.shape[1]), dim=1)
    shares = (likeliest.values / temperature).softmax(dim=1).cumsum(dim=1)
    # The sum may fall short of 1 by rounding, and a draw lie beyond it.
    place = torch.searchsorted(shares, uniform[:, None]).clamp(max=shares.shape[1] - 1)
    # Nor may a draw of exactly 0 land on a token without a share: there is none among finite logits.
    return likeliest.indices.gather(1, place).squeeze(1)


def penalize(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Logits [rows, vocabulary] with those of `seen` tokens (bool, same shape) made less likely; 1 changes nothing.

    Keskar et al. 2019 (arXiv:1909.05858), section 4.1, as transformers has it (RepetitionPenaltyLogitsProcessor): a
    positive logit is divided by the penalty, a negative one multiplied.
    """
    if penalty == 1.0:
        return logits
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


@torch.inference_mode()
def continue_units(
    model: PreTrainedModel, vocabulary: Vocabulary, ids: list[str], prompts: list[np.ndarray], settings: Sampling
) -> list[Continuation]:
    """Sample a continuation of each prompt (deduplicated units).

    Each item has a generator of its own, made from the seed and its id, so that its continuation is the same, but for
    rounding, regardless of batch composition. Only units are drawn, and EOS, which ends a continuation. Raises
    InputError if the vocabulary or the model's context is too small, or a model without BOS gets an empty prompt.
    """
    beginnings = [vocabulary.beginning(vocabulary.of_units(prompt)) for prompt in prompts]
    if empty := [name for name, beginning in zip(ids, beginnings, strict=True) if not beginning.size]:
        raise InputError(f"{empty[0]}: the prompt has no units, and the model has no BOS to begin with")
    longest = max((beginning.size for beginning in beginnings), default=0) + settings.max_new_tokens
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and longest > context:
        raise InputError(
            f"a prompt and {settings.max_new_tokens} new tokens make {longest}, more than the model's context of "
            f"{context}; lower max_new_tokens or prompt_seconds"
        )
    order = sorted(range(len(prompts)), key=lambda index: (prompts[index].size, ids[index]))
    groups = [order[first : first + ROWS_AT_ONCE] for first in range(0, len(order), ROWS_AT_ONCE)]
    result: dict[int, Continuation] = {}
    for group in commands.progress(groups, len(groups), "batches of prompts continued"):
        seeds = [[settings.seed, stable_hash(ids[index])] for index in group]
        found = _continue_batch(model, vocabulary, [beginnings[index] for index in group], seeds, settings)
        result.update(zip(group, found, strict=True))
    return [result[index] for index in range(len(prompts))]


def _continue_batch(
    model: PreTrainedModel,
    vocabulary: Vocabulary,
    beginnings: list[np.ndarray],
    seeds: list[list[int]],
    settings: Sampling,
) -> list[Continuation]:
    """Continue the prompts of one batch, given as tokens behind BOS.

    Nothing is padded: all rows begin at position 0, and a row whose prompt is longer than others' keeps reading it
    while the others already generate.
    """
    new = settings.max_new_tokens
    lengths = np.array([beginning.size for beginning in beginnings])
    tokens = np.full((len(beginnings), lengths.max() + new), vocabulary.pad, dtype=np.int64)
    known = np.arange(model.config.vocab_size)
    # What the penalty is on, for each row: BOS and the whole prompt, then what is drawn.
    seen = torch.zeros(len(beginnings), known.size, dtype=torch.bool, device=model.device)
    for row, beginning in enumerate(beginnings):
        tokens[row, : lengths[row]] = beginning
        seen[row, tokens[row, : lengths[row]]] = True
    drawable = vocabulary.is_unit(known) | (known == vocabulary.eos)
    never = torch.from_numpy(~drawable | np.isin(known, vocabulary.layout.unpredicted)).to(model.device)
    uniform = np.stack([np.random.default_rng(seed).random(new) for seed in seeds])
    ends = lengths + new
    rows = np.arange(len(beginnings))
    open_rows = np.ones(len(beginnings), dtype=bool)
    place, cache, fed = int(lengths.min()), None, 0
    while open_rows.any():
        step = torch.from_numpy(tokens[:, fed:place]).to(model.device)
        output = model(input_ids=step, past_key_values=cache, use_cache=True)
        cache, fed = output.past_key_values, place
        logits = penalize(output.logits[:, -1].float(), seen, settings.repetition_penalty)
        logits = logits.masked_fill(never, -torch.inf)
        drawn_so_far = np.clip(place - lengths, 0, new - 1)
        chance = torch.from_numpy(uniform[rows, drawn_so_far]).to(model.device)
        drawn = draw(logits, chance, settings.temperature, settings.top_k).cpu().numpy()
        speaking = open_rows & (place >= lengths)
        tokens[speaking, place] = drawn[speaking]
        seen[rows[speaking], drawn[speaking]] = True
        ended = speaking & (drawn == vocabulary.eos)
        ends[ended] = place
        place += 1
        open_rows &= ~ended & (place < ends)
    return [
        Continuation(vocabulary.to_units(tokens[row, lengths[row] : ends[row]]), bool(ends[row] < lengths[row] + new))
        for row in rows
    ]
