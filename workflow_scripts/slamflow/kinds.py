"""Families of kinds: which kinds there are, and the module of each.

A kind is one module with its settings class and its work. The settings class holds what a recipe may say of the kind
and what the workflow knows of it (the files it needs, its cost, its terms, a sentence for the page, its own checks of a
recipe); the work is what its jobs compute. A family names the modules of its kinds as text: so a kind is imported only
where it is used, and the digest of a job's code holds the kinds that the job uses and no others.

A package that is installed beside slamflow adds a kind of its own by an entry point, whose group is the family:

    [project.entry-points."slamflow.benchmarks"]
    mine = "my_package.mine:MyBenchmark"
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from types import ModuleType
from typing import Annotated, Any, Union

from pydantic import Discriminator, GetCoreSchemaHandler, Tag, TypeAdapter
from pydantic_core import CoreSchema

from slamflow.errors import InputError


@dataclass(frozen=True, eq=False)
class Family:
    """The kinds of one family. As metadata of a settings field, `Annotated[Base, FAMILY]`, it admits all of them."""

    name: str
    """As its package is called."""
    kinds: Mapping[str, str]
    """`module:SettingsClass` by the kind's name."""
    key: str = "kind"
    """The key of a section that says its kind."""
    default: str | None = None
    """The kind of a section that does not say it."""

    @cached_property
    def _all(self) -> dict[str, str]:
        found = dict(self.kinds)
        for point in entry_points(group=f"slamflow.{self.name}"):
            if point.name in found:
                raise InputError(f"the entry point {point.value} gives slamflow.{self.name} a second {point.name!r}")
            found[point.name] = point.value
        return found

    def names(self) -> list[str]:
        """The names of all kinds."""
        return list(self._all)

    def settings(self, name: str) -> Any:
        """The settings class of a kind."""
        module, _, attribute = self._all[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def make_default(self) -> Any:
        """The default kind with its default settings."""
        return self.settings(str(self.default))()

    def module_name(self, name: str) -> str:
        """The dotted name of a kind's module."""
        return self._all[name].partition(":")[0]

    def module(self, name: str) -> ModuleType:
        """The module of a kind, whose functions do its work. Raises InputError for an unknown kind."""
        if name not in self._all:
            raise InputError(f"{self.key} {name!r}: there are {', '.join(self.names())}")
        return importlib.import_module(self.module_name(name))

    def validate(self, values: Any) -> Any:
        """Settings of one of the kinds from JSON values. Raises pydantic's ValidationError."""
        return TypeAdapter(Annotated[Any, self]).validate_python(values)

    def _tag(self, values: Any) -> str:
        if isinstance(values, dict):
            return f"tag:{values.get(self.key, self.default)}"
        return f"tag:{getattr(values, self.key, None)}"

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A union of the kinds' settings classes, told apart by the key."""
        choices = tuple(Annotated[self.settings(name), Tag(f"tag:{name}")] for name in self.names())
        if len(choices) == 1:
            return handler.generate_schema(choices[0])
        message = f"{self.key} must be one of {', '.join(self.names())}"
        discriminator = Discriminator(self._tag, custom_error_type="kind", custom_error_message=message)
        return handler.generate_schema(Annotated[Union[choices], discriminator])  # noqa: UP007 - choices are a tuple
