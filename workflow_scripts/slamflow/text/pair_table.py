"""Minimal pairs in a table of the user's: CSV, or TSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

from slamflow.errors import InputError
from slamflow.text import PairSourceSettings

if TYPE_CHECKING:
    from slamflow.text.pair_records import TextPair


class PairTable(PairSourceSettings):
    """A table with a header line and the columns `good` and `bad`, in UTF-8: CSV, or TSV if its name ends so.

    Further columns that it may have: `group`, what kind of pair it is, for which accuracy is given; `id`, which rows
    about the same thing share; `prompt`, what both texts begin with, spoken once. Other columns are passed over.
    """

    source: Literal["table"]
    """A table of pairs."""


NEEDED = ("good", "bad")


def pairs(text: PairTable, path: Path) -> Iterator[TextPair]:  # noqa: ARG001
    """The pairs. Without `id`, those with the same prompt and right text are a cluster."""
    from slamflow.text.pair_records import DAMAGED, TextPair, text_of
    from slamflow.text.stories import content_hash

    is_tsv = ".tsv" in PurePath(path).suffixes
    try:
        with text_of(path) as lines:
            rows = csv.DictReader(lines, dialect="excel-tab" if is_tsv else "excel", strict=True)
            header = rows.fieldnames or []
            if missing := [name for name in NEEDED if name not in header]:
                kind = "tab" if is_tsv else "comma"
                raise InputError(f"{path}: no column {missing[0]}; its first line, separated by {kind}s, is {header}")
            for row in rows:
                if None in row or None in row.values():
                    cells = sum(value is not None for name, value in row.items() if name is not None)
                    cells += len(row.get(None) or [])
                    raise InputError(f"{path}, line {rows.line_num}: {cells} columns, the first line has {len(header)}")
                prompt = row.get("prompt") or ""
                cluster = row.get("id") or content_hash(f"{prompt}\n{row['good']}")
                yield TextPair(row["good"], row["bad"], cluster, row.get("group") or None, prompt)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except csv.Error as error:
        hint = 'a cell with quotation marks is written "...", each mark inside twice'
        raise InputError(f"{path}, after line {rows.line_num}: {error}; {hint}") from None
    except (UnicodeDecodeError, *DAMAGED) as error:
        raise InputError(f"{path}: not a table in UTF-8 ({error})") from None
