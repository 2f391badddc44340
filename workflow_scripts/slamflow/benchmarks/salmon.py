"""SALMon: a recording against one that is acoustically inconsistent, or whose sound does not fit what is said.

Maimon et al. 2024 (arXiv:2409.07437). It has eight parts: in six of them the voice, the gender, the sentiment, the
room or the background changes in the middle of the wrong recording, in two the background or the sentiment does not fit
the words. There is no official figure over all parts: accuracy is given for each (phenomenon = part), and
`aggregations.phenomena` of a score is their plain mean. The data are licensed CC-BY-NC 4.0.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from slamflow.benchmarks import BenchmarkSettings
from slamflow.errors import InputError

if TYPE_CHECKING:
    from slamflow.benchmarks.pairs import Record, Spoken
    from slamflow.corpora.pair_files import SpokenPair
    from slamflow.corpora.published_files import PublishedFiles
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


def folder_pairs(files: PublishedFiles) -> Iterator[SpokenPair]:
    """Yield the pairs of the published folder, part by part.

    Each part is a folder with recordings `sample_N_0.wav` (right) and `sample_N_1.wav` (wrong); there are gaps in N. As
    in the authors' reader, files are grouped by N, and the first of a group in the order of names is the right one. In
    an older archive the recordings of a part lie in a folder `before` of it. Raises InputError for a part that is
    missing or empty, and for an N without exactly two recordings.
    """
    from slamflow.corpora.pair_files import SpokenPair

    recordings = {part: _recordings(files, part) for part in PARTS}
    if missing := [part for part, names in recordings.items() if not names]:
        place = files.place
        raise InputError(f"{place}: no recordings in {', '.join(missing)}; SALMon has the folders {', '.join(PARTS)}")
    for part, names in recordings.items():
        groups: dict[int, list[str]] = defaultdict(list)
        for name in names:
            groups[_number(files, name)].append(name)
        for number, both in sorted(groups.items()):
            if len(both) != 2:
                found = ", ".join(map(posixpath.basename, both))
                where = f"{files.place}/{posixpath.dirname(both[0])}"
                raise InputError(f"{where}: sample {number} has {len(both)} recordings ({found}), not 2")
            yield SpokenPair(
                cluster=f"{part}.{number}",
                voice=None,
                phenomenon=part,
                texts=("", ""),
                sources=(both[0], both[1]),
                open=(files.recordings[both[0]], files.recordings[both[1]]),
            )


def _recordings(files: PublishedFiles, part: str) -> list[str]:
    """The recordings of a part, in the order of their names."""
    for folder in (part, f"{part}/before"):
        names = [name for name in files.recordings if posixpath.dirname(name) == folder and name.endswith(".wav")]
        if names:
            return sorted(names)
    return []


def _number(files: PublishedFiles, name: str) -> int:
    """N of sample_N_0.wav."""
    try:
        return int(posixpath.basename(name).removesuffix(".wav").split("_")[1])
    except (IndexError, ValueError):
        raise InputError(
            f"{files.place}/{name}: not a name of SALMon's, which are sample_N_0.wav and sample_N_1.wav"
        ) from None
