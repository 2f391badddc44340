"""Fixed-shape rows of tokens for the trainer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from slamflow.recipe.base import SectionSettings, Settings, Use

if TYPE_CHECKING:
    from slamflow.recipe.recipe import Recipe

Weight = Annotated[float, Field(gt=0)]
TEXT = "text"
"""The encoder of datasets that are packed from text."""
Documents = Literal["masked", "joined", "padded"]


class VocabularySettings(Settings):
    """What a vocabulary is made of."""

    units: int = Field(default=0, ge=0)
    """How many units of speech; 0 for none."""
    text: str | None = None
    """`bytes` (UTF-8), the folder of a transformers tokenizer, or null for no text."""
    text_tokens: int | None = Field(default=None, ge=1)
    """How many tokens the text tokenizer has; known for bytes."""

    @model_validator(mode="after")
    def has_tokens(self) -> VocabularySettings:
        if not self.units and self.text is None:
            raise ValueError("a vocabulary needs units, text, or both")
        if self.text not in (None, "bytes") and self.text_tokens is None:
            raise ValueError("say how many text_tokens the text tokenizer has")
        return self


class Dataset(SectionSettings):
    """Token rows from corpora."""

    encoder: str
    """The encoder whose units are packed, or `text` for the bytes of the stories' text."""
    context: Annotated[int, Field(ge=8, le=131072)] = 1024
    """Positions in a row."""
    documents: Documents = "masked"
    """How documents come into rows. `masked`: several in a row, none of which sees another; the rows are full.
    `joined`: one stream of all documents in a drawn order, an EOS after each, cut into rows; a position sees all that
    is before it in the row, as in Cuervo and Marxer (2024). `padded`: a row for each document, or for each piece of
    one that is longer; so `batch_tokens` counts padding, as in SlamKit's batches of so many sequences."""
    train: Annotated[list[str] | dict[str, Weight], Field(min_length=1)]
    """Corpora to train on, as corpus/split: a list takes all of each. A mapping {corpus/split: weight} takes their
    tokens in these proportions: all of the one that is scarcest for its weight, of the others a part chosen by a hash
    of the documents' ids. Nothing is taken twice."""
    validation: list[str] = []
    """Corpora for the validation loss, each on its own, as corpus/split."""
    seed: int = 0
    """Seed of the order of the rows."""

    @model_validator(mode="after")
    def nothing_twice(self) -> Dataset:
        names = self.trained_on + self.validation
        if len(set(names)) != len(names):
            raise ValueError("a corpus is named twice")
        return self

    @property
    def trained_on(self) -> list[str]:
        """The names of the corpora to train on; those of a mapping are sorted, since its order says nothing."""
        return sorted(self.train) if isinstance(self.train, dict) else list(self.train)

    @property
    def weights(self) -> dict[str, float] | None:
        """The proportions of their tokens; None takes all."""
        return self.train if isinstance(self.train, dict) else None

    @property
    def is_text(self) -> bool:
        """Whether the rows hold text and no units."""
        return self.encoder == TEXT

    def vocabulary(self, recipe: Recipe) -> VocabularySettings:
        """The tokens of the rows."""
        if self.is_text:
            return VocabularySettings(text="bytes")
        return VocabularySettings(units=recipe.encoders[self.encoder].clusters)

    def uses(self, name: str, recipe: Recipe) -> Iterator[Use]:  # noqa: ARG002
        for reference in self.trained_on + self.validation:
            if self.is_text:
                yield Use(reference, "text", None, f"datasets.{name}")
            else:
                yield Use(reference, "units", self.encoder, f"datasets.{name}")

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:
        if not self.is_text and self.encoder not in recipe.encoders:
            yield f"datasets.{name}.encoder: no encoder {self.encoder!r}"
        for reference in self.trained_on + self.validation:
            check = recipe.stories_problem if self.is_text else recipe.reference_problem
            if problem := check(f"datasets.{name}", reference, spoken=not self.is_text):
                yield problem


class PackTokens(Settings):
    """Settings of one pack_tokens job."""

    context: Annotated[int, Field(ge=8, le=131072)]
    """Positions in a row."""
    vocabulary: VocabularySettings
    """The tokens."""
    seed: int
    """Seed of the order of the rows."""
    documents: Documents = "masked"
    """How documents come into rows."""
    weights: dict[str, Weight] | None = None
    """Proportions of the tokens of each corpus/split; null takes all there are."""
