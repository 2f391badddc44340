"""Preference pairs of SWAG (Zellers et al. 2018, arXiv:1808.05326), as SpokenSwag has them (Maimon et al. 2025)."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slamflow.errors import InputError
from slamflow.sharding import stable_hash
from slamflow.text import ReadTextSettings
from slamflow.text.stories import NOT_TOLD, Record, content_hash, in_shard, one_file, warn

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteStories


class SwagText(ReadTextSettings):
    """Preference pairs of SWAG's train.csv: its gold rows, the first sentence as the prompt, and a wrong ending drawn
    from its three."""

    source: Literal["swag"]
    """Preference pairs of SWAG's train.csv."""
    seed: int = 0
    """Seed of the choice among wrong endings."""

    def split_problems(self, stories: Mapping[str, int | None]) -> Iterator[str]:
        if set(stories) != {"preference"}:
            yield "text of source swag has the split preference only"


@dataclass(frozen=True)
class SwagRow:
    """What is taken of a gold row of SWAG."""

    key: str
    """Hash of its sentences."""
    prompt: str
    ending: str
    wrong: str


def records(text: SwagText, job: WriteStories, paths: list[Path]) -> list[Record]:
    """The records of SWAG's gold rows in one shard. Raises InputError if the file has none."""
    path = one_file(text.source, paths)
    set_aside: Counter[str] = Counter()
    rows = list(itertools.islice(swag_rows(path, text.seed, set_aside), job.stories))
    if not rows:
        raise InputError(f"{path}: no gold row; give SWAG's train.csv")
    warn(path, job, set_aside, len(rows))
    return [
        {
            **NOT_TOLD,
            "id": f"{job.split}-{row.key}",
            "split": job.split,
            "text": f"{row.prompt} {row.ending}",
            "prompt": row.prompt,
            "ending": row.ending,
            "wrong_detail": row.wrong,
        }
        for row in rows
        if in_shard(f"{job.split}-{row.key}", job)
    ]


def swag_rows(path: Path, seed: int, set_aside: Counter[str]) -> Iterator[SwagRow]:
    """Yield the gold rows of SWAG's CSV (Zellers et al. 2018) as preference pairs, in the file's order.

    As SpokenSwag has them (Maimon et al. 2025): the prompt is the first sentence; an ending is the beginning of the
    second, which all four endings share, and its end. The wrong one is drawn from the three by the seed and the row's
    sentences. Rows whose right ending was generated are not gold. Raises InputError if the file is not SWAG's.
    """
    needed = ("sent1", "sent2", "gold-source", "label", *(f"ending{number}" for number in range(4)))
    try:
        with open(path, encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if missing := [name for name in needed if name not in (rows.fieldnames or [])]:
                raise InputError(f"{path}: no column {missing[0]}; give SWAG's train.csv, whose rows have a label")
            seen: set[str] = set()
            for number, row in enumerate(rows, start=2):
                if not row["gold-source"].startswith("gold"):
                    set_aside["its right ending was generated"] += 1
                    continue
                if row["label"] not in ("0", "1", "2", "3"):
                    raise InputError(f"{path}, line {number}: label {row['label']!r} is not 0, 1, 2 or 3")
                beginning = " ".join(row["sent2"].split())
                endings = [f"{beginning} {' '.join(row[f'ending{which}'].split())}".strip() for which in range(4)]
                prompt = " ".join(row["sent1"].split())
                key = content_hash("\n".join([prompt, *endings]))
                right = int(row["label"])
                wrong = [ending for which, ending in enumerate(endings) if which != right]
                drawn = wrong[stable_hash(f"{seed} {key}") % 3]
                if not prompt or not all(map(str.strip, (endings[right], drawn))):
                    set_aside["a sentence is empty"] += 1
                elif key in seen:
                    set_aside["said before"] += 1
                else:
                    seen.add(key)
                    yield SwagRow(key, prompt, endings[right], drawn)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from None
