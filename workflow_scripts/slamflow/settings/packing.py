"""Fixed-shape rows of tokens for the trainer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from slamflow.settings.base import Settings

Weight = Annotated[float, Field(gt=0)]


class Dataset(Settings):
    """Token rows from corpora."""

    encoder: str
    """The encoder whose units are packed, or `text` for the bytes of the stories' text."""
    context: Annotated[int, Field(ge=8, le=131072)] = 1024
    """Positions in a row."""
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
        """The names of the corpora to train on."""
        return list(self.train)

    @property
    def weights(self) -> dict[str, float] | None:
        """The proportions of their tokens; null takes all."""
        return self.train if isinstance(self.train, dict) else None


class PackTokens(Settings):
    """Settings of one pack_tokens job."""

    kind: Literal["units", "text"]
    """Unit shards, or the bytes of the stories' text."""
    context: Annotated[int, Field(ge=8, le=131072)]
    """Positions in a row."""
    vocabulary: Annotated[int, Field(ge=3, le=65536)]
    """Number of tokens: 2 (PAD; BOS = EOS) and the codebook's units, or 258 for bytes."""
    seed: int
    """Seed of the order of the rows."""
    weights: dict[str, Weight] | None = None
    """Proportions of the tokens of each corpus/split; null takes all there are."""
