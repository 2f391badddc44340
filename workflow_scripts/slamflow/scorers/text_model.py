"""The text model: the words of a pair under a language model of text. Not trivial: an upper reference for speech."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.scorers import BaselineSettings, Material

if TYPE_CHECKING:
    from slamflow.generation.gen_ppl import TextScorer


class TextModelBaseline(BaselineSettings):
    """The likelier text, by the text model of `evaluation.text_model`."""

    about: ClassVar[str] = "the words as text, by a text model"
    needs_text_model: ClassVar[bool] = True
    baseline: Literal["text_model"] = "text_model"
    """The likelier text."""


READS = "text"


def fit(material: Material) -> TextScorer:
    """The recipe's text model. Raises InputError without one."""
    from slamflow.errors import InputError
    from slamflow.generation.gen_ppl import TextScorer

    if material.text_model is None:
        raise InputError("text_model: no text model is given; set evaluation.text_model, or give --text-model FOLDER")
    return TextScorer(material.text_model)
