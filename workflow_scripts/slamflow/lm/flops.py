"""How many floating-point operations a training takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from slamflow.lm.model import prepare_config


@dataclass(frozen=True)
class Shape:
    """What the cost of a model follows from."""

    parameters: int
    """All of them; weights that are shared count once."""
    without_embeddings: int
    """Those that are multiplied for each token: all but the input embeddings, the output matrix included."""
    layers: int
    attention_width: int
    """Heads times the width of a head."""


def shape_of(model: PreTrainedModel) -> Shape:
    """The shape of a model, also of one without weights (on the meta device)."""
    config: Any = model.config
    inputs: Any = model.get_input_embeddings()
    output: Any = model.get_output_embeddings()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shared = output is not None and output.weight is inputs.weight
    embeddings = 0 if shared else inputs.weight.numel()
    embeddings += sum(p.numel() for name, p in model.named_parameters() if "embed_positions" in name)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(parameters, parameters - embeddings, config.num_hidden_layers, head * config.num_attention_heads)


def shape_of_config(config: Any) -> Shape:
    """The shape of the causal language model that a transformers configuration describes; nothing is allocated."""
    prepare_config(config, None)
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return shape_of(model)


def forward_flops_per_token(shape: Shape, context: int) -> float:
    """2 N for the products with the weights, and causal attention over a row that is one document.

    A query meets (context + 1) / 2 keys on average; scores and mixture are 2 operations each per key and channel.
    Kaplan et al. 2020 (arXiv 2001.08361), section 2.1, with the exact mean for causal attention.
    """
    return 2.0 * shape.without_embeddings + 4.0 * shape.layers * shape.attention_width * (context + 1) / 2


def training_flops_per_token(model: PreTrainedModel | Shape, context: int) -> float:
    """Three times the forward pass: 6 N and attention at the context. Documents shorter than it take a little less."""
    shape = model if isinstance(model, Shape) else shape_of(model)
    return 3 * forward_flops_per_token(shape, context)
