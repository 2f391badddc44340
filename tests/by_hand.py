"""What a recipe needs that a user puts into place by hand, as far as a graph of jobs looks at it: names of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def put_in_place(config: dict[str, Any], folder: Path) -> None:
    """Make the folders below `folder` that corpora of a configuration name and the checkout does not have."""
    for corpus in config.get("corpora", {}).values():
        path = corpus.get("path")
        if path and not (ROOT / path).exists():
            (folder / path).mkdir(parents=True, exist_ok=True)
            for name in ("1_correct.wav", "1_incorrect.wav"):
                (folder / path / name).touch()
