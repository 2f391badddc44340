"""Preference pairs: right and wrong endings of spoken prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from slamflow.recipe.base import SectionSettings, Settings, Use

if TYPE_CHECKING:
    from slamflow.recipe.recipe import Recipe

SPLIT = "preference"
"""The split of a corpus that preference pairs are built from."""
NegativeEnding = Literal["detail", "other_story"]


class Preferences(SectionSettings):
    """Pairs of a right and a wrong ending, from the preference split of a story corpus, or of one of kind
    `spoken_preferences`, whose pairs were published as speech."""

    corpus: str
    """The corpus; its preference split is used for nothing else."""
    encoder: str
    """The encoder whose units the pairs are made of."""
    negatives: Annotated[list[NegativeEnding], Field(min_length=1)] = ["detail"]
    """Wrong endings: `detail`, the right one with one detail that contradicts the story (of published pairs, the
    ending that is rejected there); `other_story`, the right one of another story in the same voice. Each kind gives a
    pair for every story."""
    max_auto_bleu: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Stories whose text, prompt and right ending, repeats more of its bigrams than this are left out."""
    seed: int = 0
    """Seed of the pairing with other stories."""

    @property
    def reference(self) -> str:
        """The corpus/split that the pairs are built from."""
        return f"{self.corpus}/{SPLIT}"

    def uses(self, name: str, recipe: Recipe) -> Iterator[Use]:  # noqa: ARG002
        yield Use(self.reference, "text", None, f"preferences.{name}")
        yield Use(self.reference, "units", self.encoder, f"preferences.{name}")

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:
        if self.encoder not in recipe.encoders:
            yield f"preferences.{name}.encoder: no encoder {self.encoder!r}"
        corpus = recipe.corpora.get(self.corpus)
        published = corpus is not None and corpus.holds == "preferences"
        check = recipe.reference_problem if published else recipe.stories_problem
        if problem := check(f"preferences.{name}.corpus", self.reference):
            yield problem


class BuildPreferences(Settings):
    """Settings of one build_preferences job."""

    name: str
    encoder: str
    negatives: list[NegativeEnding]
    max_auto_bleu: float
    seed: int
