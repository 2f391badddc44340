"""A digest of what a command's code means, so that an edit reruns what uses it and a comment reruns nothing."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

LIBRARY = "slamflow"


def code_digest(command: Path, kinds: Iterable[str] = ()) -> str:
    """Digests of the syntax trees of `command`, of some kinds, and of every module of theirs that these import.

    Left out are comments, docstrings, layout and the place of the checkout; settings classes, since the validated
    settings are a parameter of the job already; the lists of kinds, so that one more kind reruns nothing; and imports
    that nothing else needs. Parameters: `command`, a Python file that lies beside the slamflow package; `kinds`, the
    dotted names of the modules of the kinds that the job uses (`Family.module_name`). Returns `file:digest` for each
    file, so that a change can be named.
    """
    root = command.parent
    packages = {LIBRARY, *(name.partition(".")[0] for name in kinds)}
    pending = [(command.relative_to(root).as_posix(), command)]
    for kind in kinds:
        pending += _module_files(root, kind)
    seen: dict[str, str | None] = {}
    while pending:
        name, path = pending.pop()
        if name in seen:
            continue
        seen[name], imported = _meaning(path, path.stat().st_mtime_ns)
        for module in imported:
            if module.partition(".")[0] in packages:
                pending += _module_files(root, module)
    return " ".join(f"{name}:{digest}" for name, digest in sorted(seen.items()) if digest is not None)


@functools.cache
def _meaning(path: Path, _mtime_ns: int) -> tuple[str | None, frozenset[str]]:
    """Digest of what jobs run of one file, None if that is nothing, and the modules that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    tree.body = [statement for statement in tree.body if not _is_of_the_recipe(statement)]
    nodes = list(ast.walk(tree))  # once: it is what takes the time
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)]
    used = _names_used(tree, nodes)
    unused = {statement for statement in tree.body if not _keep_used(statement, used)}
    tree.body = [statement for statement in tree.body if statement not in unused]
    imported: set[str] = set()
    for node in nodes:
        if node in unused:
            continue
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
    if not tree.body:
        return None, frozenset()
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:12], frozenset(imported)


def _is_of_the_recipe(statement: ast.stmt) -> bool:
    """Whether no job runs a statement: settings classes (of `...Settings`), lists of kinds, types to check."""
    if isinstance(statement, ast.If):
        return _last_name(statement.test) == "TYPE_CHECKING"
    if isinstance(statement, ast.ClassDef):
        return any(_last_name(base).endswith("Settings") for base in statement.bases)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        return isinstance(statement.value, ast.Call) and _last_name(statement.value.func) == "Family"
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a bare string: a docstring, or the description of a field behind it."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _names_used(tree: ast.Module, nodes: list[ast.AST]) -> set[str]:
    """The names that a module reads, and those that it exports by __all__. `nodes` are all that `tree` has."""
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and any(_last_name(target) == "__all__" for target in statement.targets):
            constants = (node.value for node in ast.walk(statement.value) if isinstance(node, ast.Constant))
            used.update(value for value in constants if isinstance(value, str))
    return used


def _keep_used(statement: ast.stmt, used: set[str]) -> bool:
    """Leave an import of a module the names in `used` only; whether anything is left of a statement."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    statement.names = [a for a in statement.names if a.name == "*" or (a.asname or a.name).partition(".")[0] in used]
    return bool(statement.names)


def _module_files(root: Path, module: str) -> list[tuple[str, Path]]:
    """Names and files that importing `module` runs: its own and those of the packages around it, if they exist."""
    package = module.partition(".")[0]
    if package != LIBRARY:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            return []
        origin = Path(spec.origin)
        root = origin.parent.parent if origin.name == "__init__.py" else origin.parent
    files = []
    parts = module.split(".")
    # The library's own __init__ is its front door for other programs: no job needs it.
    for depth in range(2 if package == LIBRARY else 1, len(parts) + 1):
        base = root.joinpath(*parts[:depth])
        files += [path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()]
    return [(path.relative_to(root).as_posix(), path) for path in files]
