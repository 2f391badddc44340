"""Adapters: published systems in formats of their own. Each kind is a module; what they share is here.

A kind's module has a settings class, derived from `SystemSettings`, and one function:

    convert(source, output)

which reads the folder `source` as it was published and writes to the folder `output` a causal language model as
transformers reads it (config.json, model.safetensors, in float32) with speech.json (`slamflow.lm.speech`). It raises
InputError for a folder that is of another format, or does not fit the format in some way that it names.
"""

from __future__ import annotations

from slamflow.kinds import Family
from slamflow.recipe.base import SectionSettings


class SystemSettings(SectionSettings):
    """A published model of units."""

    kind: str
    """The format that it was published in."""
    model: str
    """An asset, or the folder that holds it."""
    encoder: str
    """The encoder (of `encoders:`) whose units it speaks."""


ADAPTERS = Family("adapters", {"slamkit": "slamflow.adapters.slamkit:SlamKitSystem"})
