"""Which commit of a dataset of the hub is taken where a recipe fixes none: the one that was met first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from slamflow import files
from slamflow.errors import InputError

UNPINNED = "unpinned"
"""The revision of a dataset without a fixed commit."""
Corpus = TypeVar("Corpus", bound=BaseModel)


def pin(corpus: Corpus, commit: Path | None) -> Corpus:
    """A corpus at the commit that a file of pin_revision says, if its own `revision` is not fixed.

    Raises InputError for a file that says nothing of its dataset.
    """
    if commit is None or getattr(corpus, "revision", None) != UNPINNED:
        return corpus
    repo = getattr(corpus, "repo", None)
    known = files.read_json(commit)
    if known.get("repo") != repo or not re.fullmatch("[0-9a-f]{40}", str(known.get("commit"))):
        raise InputError(f"{commit}: does not say the commit of {repo}; delete it and run again")
    return corpus.model_copy(update={"revision": known["commit"]})
