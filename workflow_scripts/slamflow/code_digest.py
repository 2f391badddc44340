"""A digest of what a command's code means, so that an edit reruns what uses it and a comment reruns nothing."""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

LIBRARY = "slamflow"


def code_digest(command: Path) -> str:
    """Digests of the syntax trees of `command` and of every slamflow module it imports, directly or not.

    Comments, docstrings, layout and the place of the checkout do not count. Parameters: `command`, a Python file
    that lies beside the slamflow package. Returns `file:digest` for each file, so that a change can be named.
    """
    root = command.parent
    pending = [command]
    seen: dict[str, str] = {}
    while pending:
        path = pending.pop()
        name = path.relative_to(root).as_posix()
        if name in seen:
            continue
        seen[name], imported = _meaning(path, path.stat().st_mtime_ns)
        for module in imported:
            pending.extend(_module_files(root, module))
    return " ".join(f"{name}:{digest}" for name, digest in sorted(seen.items()))


@functools.cache
def _meaning(path: Path, _mtime_ns: int) -> tuple[str, frozenset[str]]:
    """Digest of one file's tree without docstrings, and the slamflow names that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names if alias.name.split(".")[0] == LIBRARY)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == LIBRARY:
            imported.add(node.module)
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # Every bare string of a body goes: settings classes describe their fields with strings after them.
            node.body = [
                statement
                for statement in node.body
                if not (
                    isinstance(statement, ast.Expr)
                    and isinstance(statement.value, ast.Constant)
                    and isinstance(statement.value.value, str)
                )
            ]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:12], frozenset(imported)


def _module_files(root: Path, module: str) -> list[Path]:
    """The files that importing `module` runs: its own and those of the packages around it, as far as they exist."""
    files = []
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        base = root.joinpath(*parts[:depth])
        files += [path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()]
    return files
