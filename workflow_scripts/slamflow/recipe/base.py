"""What all settings classes share."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from slamflow.jobs.sources import Sources
    from slamflow.recipe.recipe import Recipe


class Settings(BaseModel):
    """Unknown keys are refused, types are not guessed, values do not change.

    Classes that derive from this one, or from one whose name ends in `Settings`, are no part of code digests: jobs may
    read their fields, but call none of their methods.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Use(NamedTuple):
    """Some part of a recipe reads a split of a corpus."""

    reference: str
    """corpus/split"""
    what: Literal["text", "audio", "units"]
    encoder: str | None
    """Of units: the encoder that they are made by."""
    reader: str
    """The part of the recipe, such as benchmarks.tstorycloze."""


class SectionSettings(Settings):
    """One named entry of a recipe's section."""

    def uses(self, name: str, recipe: Recipe) -> Iterator[Use]:  # noqa: ARG002
        """The splits that this entry reads."""
        yield from ()

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:  # noqa: ARG002
        """What is wrong with this entry in a recipe, as `section.name.key: what is wrong`."""
        yield from ()

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:  # noqa: ARG002
        """What is missing of the files that this entry, whose key is `key`, names."""
        yield from ()


def canonical(settings: Settings, exclude: Collection[str] = ()) -> str:
    """Settings as JSON with sorted keys, to be a parameter of a job: the order of keys in a recipe does not matter."""
    values = settings.model_dump(mode="json", exclude=set(exclude))
    return json.dumps(values, sort_keys=True, ensure_ascii=False)
