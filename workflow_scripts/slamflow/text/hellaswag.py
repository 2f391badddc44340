"""Minimal pairs in the format of HellaSwag (Zellers et al. 2019, arXiv:1905.07830): how a text goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slamflow.errors import InputError
from slamflow.sharding import stable_hash
from slamflow.text import PairSourceSettings
from slamflow.text.stories import ABBREVIATIONS

if TYPE_CHECKING:
    from slamflow.text.pair_records import TextPair


class HellaSwagPairs(PairSourceSettings):
    """HellaSwag's JSON lines: `ctx`, four `endings`, `label` (which is right).

    The whole sentences of `ctx` are the prompt, which is spoken once; what is left of it begins both endings.
    """

    source: Literal["hellaswag"]
    """A file in HellaSwag's format."""
    wrong: Literal["one", "each"] = "one"
    """One wrong ending of the three, drawn by the seed and the text, makes a task one pair, with chance at 50 % as in
    the StoryCloze benchmarks. `each` makes it three pairs, which share a cluster: the published accuracy of 25 % chance
    is the share of clusters whose pairs are all right."""
    seed: int = 0
    """Seed of the draw."""


MARKS = re.compile(r"\[[^\]]*\]")
"""Of WikiHow's layout: "[header]", "[step]", "[substeps]"; "[title]" ends a sentence."""
SENTENCE_END = re.compile(r"""(\S*[.!?]["”'’)]*)(\s+|$)""")


def pairs(text: HellaSwagPairs, path: Path) -> Iterator[TextPair]:
    """The pairs. The wrong ending of a task does not depend on where it stands in the file."""
    from slamflow.text.pair_records import TextPair, json_lines, need_text

    for where, line in json_lines(path):
        context = cleaned(need_text(where, line, "ctx"))
        endings = [cleaned(ending) for ending in _endings(where, line)]
        right = _label(where, line, len(endings))
        prompt, beginning = split_context(context)
        endings = [f"{beginning} {ending}".strip() for ending in endings]
        wrong = [ending for which, ending in enumerate(endings) if which != right]
        key = "\n".join((context, *endings))
        if text.wrong == "one":
            wrong = [wrong[stable_hash(f"{text.seed} {key}") % len(wrong)]]
        for ending in wrong:
            yield TextPair(endings[right], ending, f"{stable_hash(key):016x}", None, prompt)


def cleaned(text: str) -> str:
    """Text without the marks of WikiHow's layout, as SlamKit reads it (slamkit/metric/textual_metric.py:34 at 915a7ef).

    "[title]" is a full stop where none stands before it.
    """
    text = re.sub(r"([.!?]?)\s*\[title\]", lambda mark: mark[1] or ".", text)
    return " ".join(MARKS.sub(" ", text).split()).lstrip(". ")


def split_context(context: str) -> tuple[str, str]:
    """The whole sentences of a context, and the beginning of the next one, with a capital.

    "A man sits on a roof. he" becomes "A man sits on a roof." and "He". A context of whole sentences has no such
    beginning, and one without any has no prompt.
    """
    ends = [match for match in SENTENCE_END.finditer(context) if match[1].lower().rstrip(".") not in ABBREVIATIONS]
    prompt, rest = (context[: ends[-1].end(1)], context[ends[-1].end() :]) if ends else ("", context)
    return prompt, rest[:1].upper() + rest[1:]


def _endings(where: str, line: dict[str, Any]) -> list[str]:
    endings = line.get("endings")
    if not isinstance(endings, list) or len(endings) < 2 or not all(isinstance(ending, str) for ending in endings):
        raise InputError(f"{where}: needs 'endings', a list of two texts or more")
    return endings


def _label(where: str, line: dict[str, Any], count: int) -> int:
    """Which ending is right; in some copies of the data a text."""
    label = line.get("label")
    if str(label) not in map(str, range(count)) or isinstance(label, bool):
        raise InputError(f"{where}: label {label!r} is none of 0 to {count - 1}; the published test part has no labels")
    return int(str(label))
