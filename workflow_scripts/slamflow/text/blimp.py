"""Minimal pairs in the format of BLiMP (Warstadt et al. 2020, arXiv:1912.00582)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slamflow.text import PairSourceSettings

if TYPE_CHECKING:
    from slamflow.text.pair_records import TextPair


class BlimpPairs(PairSourceSettings):
    """BLiMP's JSON lines: `sentence_good`, `sentence_bad`, `UID` (the paradigm), `linguistics_term`, `pairID`.

    One file, which may be compressed (.gz, .bz2), or the published zip of 67.
    """

    source: Literal["blimp"]
    """A file in BLiMP's format."""
    phenomenon: Literal["UID", "linguistics_term"] = "UID"
    """What accuracy is given for: each of the 67 paradigms, or each of the 12 phenomena that they belong to."""


def pairs(text: BlimpPairs, path: Path) -> Iterator[TextPair]:
    """The pairs; each is a cluster of its own."""
    from slamflow.text.pair_records import TextPair, json_lines, need_text

    for where, line in json_lines(path):
        keys = ("sentence_good", "sentence_bad", "UID", text.phenomenon)
        good, bad, paradigm, phenomenon = (need_text(where, line, key) for key in keys)
        yield TextPair(good, bad, f"{paradigm}.{line.get('pairID', where)}", phenomenon)
