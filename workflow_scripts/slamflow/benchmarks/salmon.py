"""SALMon: a recording against one that is acoustically inconsistent, or whose sound does not fit what is said.

Maimon et al. 2024 (arXiv:2409.07437). It has eight parts: in six of them the voice, the gender, the sentiment, the
room or the background changes in the middle of the wrong recording, in two the background or the sentiment does not fit
the words. There is no official figure over all parts: accuracy is given for each (phenomenon = part), and
`aggregations.phenomena` of a score is their plain mean. The data are licensed CC-BY-NC 4.0.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

from slamflow.benchmarks import BenchmarkSettings
from slamflow.errors import InputError

if TYPE_CHECKING:
    from slamflow.benchmarks.pairs import Record, Spoken
    from slamflow.corpora.pair_files import SpokenPair
    from slamflow.shards.items import Item

KEYS = ("id", "good", "bad", "cluster", "phenomenon")
PARTS = (
    "bg_alignment",
    "bg_all_consistency",
    "bg_domain_consistency",
    "gender_consistency",
    "rir_consistency",
    "sentiment_alignment",
    "sentiment_consistency",
    "speaker_consistency",
)


class Salmon(BenchmarkSettings):
    """A recording against one whose acoustics do not agree with themselves or with what is said."""

    question: ClassVar[str] = (
        "Which of two recordings is acoustically coherent? In the other, voice, mood, room or background changes or "
        "does not fit the words."
    )
    built_from: ClassVar[Literal["stories", "pairs"]] = "pairs"
    kind: Literal["salmon"]
    """A recording against one whose acoustics do not agree with themselves or with what is said."""


def build(records: list[Record], spoken: dict[str, Spoken], seed: int) -> tuple[list[Item], dict[str, int]]:  # noqa: ARG001
    """The pairs as they are; nothing is drawn."""
    from slamflow.benchmarks.pairs import whole_pairs

    return whole_pairs(records, spoken)


def folder_pairs(root: Path) -> Iterator[SpokenPair]:
    """Yield the pairs of the published folder, part by part.

    Each part is a folder with recordings `sample_N_0.wav` (right) and `sample_N_1.wav` (wrong); there are gaps in N. As
    in the authors' reader, files are grouped by N, and the first of a group in the order of names is the right one. In
    an older archive the recordings of a part lie in a folder `before` of it. Raises InputError for a part that is
    missing or empty, and for an N without exactly two recordings.
    """
    from slamflow.corpora.pair_files import SpokenPair

    recordings = {part: _recordings(root / part) for part in PARTS}
    if missing := [part for part, paths in recordings.items() if not paths]:
        raise InputError(f"{root}: no recordings in {', '.join(missing)}; SALMon has the folders {', '.join(PARTS)}")
    for part, paths in recordings.items():
        groups: dict[int, list[Path]] = defaultdict(list)
        for path in paths:
            groups[_number(path)].append(path)
        for number, both in sorted(groups.items()):
            if len(both) != 2:
                names = ", ".join(path.name for path in both)
                raise InputError(f"{both[0].parent}: sample {number} has {len(both)} recordings ({names}), not 2")
            yield SpokenPair(
                cluster=f"{part}.{number}",
                voice=None,
                phenomenon=part,
                texts=("", ""),
                sources=(both[0].relative_to(root).as_posix(), both[1].relative_to(root).as_posix()),
                open=(functools.partial(_open, both[0]), functools.partial(_open, both[1])),
            )


def _recordings(folder: Path) -> list[Path]:
    """The recordings of a part, in the order of their names; hidden files are passed over."""
    found = list(folder.glob("*.wav")) or list(folder.glob("before/*.wav"))
    return sorted(path for path in found if not path.name.startswith("."))


def _open(path: Path) -> BinaryIO:
    return open(path, "rb")


def _number(path: Path) -> int:
    """N of sample_N_0.wav."""
    try:
        return int(path.stem.split("_")[1])
    except (IndexError, ValueError):
        raise InputError(f"{path}: not a name of SALMon's, which are sample_N_0.wav and sample_N_1.wav") from None
