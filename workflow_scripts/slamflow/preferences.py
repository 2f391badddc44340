"""Preference pairs from stories whose parts were spoken and encoded apart.

After SpokenSwag (Maimon et al. 2025, arXiv:2502.15814): a prompt, its right ending, a wrong one; stories that repeat
themselves are left out.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from slamflow import files
from slamflow.errors import InputError
from slamflow.evaluation.items import Item
from slamflow.evaluation.story_pairs import Spoken, Story, other_endings, wrong_details
from slamflow.generation.auto_bleu import auto_bleu
from slamflow.settings.preferences import BuildPreferences

Units = npt.NDArray[np.uint16]

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt", pa.list_(pa.uint16())),
        ("chosen", pa.list_(pa.uint16())),
        ("rejected", pa.list_(pa.uint16())),
    ]
)


class PreferencePair(NamedTuple):
    """Deduplicated units of a prompt and of two endings, each of which starts with another unit than the prompt's
    last."""

    id: str
    prompt: Units
    chosen: Units
    rejected: Units


def build(
    settings: BuildPreferences, stories: list[Story], spoken: dict[str, Spoken]
) -> tuple[list[PreferencePair], dict[str, int]]:
    """The pairs of some stories, sorted by id, and why other stories were left out.

    Raises InputError if nothing is left.
    """
    left_out: Counter[str] = Counter()
    usable = []
    for story in stories:
        if auto_bleu(f"{story['prompt']} {story['ending']}") > settings.max_auto_bleu:
            left_out["repeats_itself"] += 1
        else:
            usable.append(story)
    pairs = []
    for kind in settings.wrong:
        items, reasons = (
            wrong_details(usable, spoken) if kind == "detail" else other_endings(usable, spoken, settings.seed)
        )
        left_out.update(reasons)
        pairs += [_split(item, kind, spoken[f"{item.id}.prompt"].units) for item in items]
    if not pairs:
        reasons_given = ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "no stories"
        raise InputError(f"no preference pair from {len(stories)} stories ({reasons_given})")
    return sorted(pairs, key=lambda pair: pair.id), {name: count for name, count in sorted(left_out.items()) if count}


def _split(item: Item, kind: str, prompt: Units) -> PreferencePair:
    """The endings of a pair of whole sequences: what comes after the prompt."""
    return PreferencePair(f"{item.id}.{kind}", prompt, item.good[len(prompt) :], item.bad[len(prompt) :])


def write_pairs(path: Path, pairs: list[PreferencePair]) -> None:
    """Write pairs as Parquet."""
    table = pa.Table.from_pylist([pair._asdict() for pair in pairs], schema=SCHEMA)
    with files.atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
