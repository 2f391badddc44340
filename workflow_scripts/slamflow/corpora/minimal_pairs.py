"""Minimal pairs as text, in the vocabulary of the grammar or from a file, spoken by a text-to-speech engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from slamflow.corpora import CorpusSettings, Holds, MadeBy, SplitSettings, split_of
from slamflow.corpora.recorded import PercentRange, check_dev_and_test
from slamflow.text import PAIR_SOURCES, PAIR_TEXTS, PairSourceSettings
from slamflow.tts import ENGINES, EngineSettings

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteMinimalPairs
    from slamflow.jobs.sources import Sources


class PairSplit(SplitSettings):
    """One split of a corpus of minimal pairs."""

    pairs: Annotated[int | None, Field(ge=1)] = None
    """How many pairs, the first ones; null takes all that a file has. Those of the grammar need a number, and come by
    twos, in which what is right in one is wrong in the other."""
    percent: PercentRange = [0, 100]
    """Of a file: only the pairs whose hash falls between these two, pairs of one `id` together. Take all of it as
    `test`, or some of it as `dev` to choose settings."""


class MinimalPairCorpus(CorpusSettings):
    """Pairs of a right and a wrong utterance, spoken from text."""

    holds: ClassVar[Holds] = "pairs"
    made_by: ClassVar[MadeBy] = "write_minimal_pairs"

    kind: Literal["minimal_pairs"]
    """Speech made from pairs of texts."""
    task: str = "text_pairs"
    """The kind of benchmark. In the words of the grammar's stories there are `sblimp`, sentences that differ in one
    point of grammar, and `swuggy`, words and pseudo-words; of a file it is `text_pairs`, or another kind of pairs."""
    text: Annotated[PairSourceSettings, PAIR_SOURCES] | None = None
    """The file of pairs; null takes those of the grammar."""
    pairs_per_phenomenon: Annotated[int | None, Field(ge=1)] = None
    """Of a file: only the first pairs of each phenomenon, such as BLiMP's paradigms; null takes all."""
    seed: int = 0
    """Of the grammar: seed of the choice among the pairs that there are."""
    speech: Annotated[EngineSettings, ENGINES] = Field(default_factory=ENGINES.make_default)
    """How they are spoken; all that belongs to a pair in one voice."""
    splits: dict[Literal["dev", "test"], PairSplit]
    """The splits. Those of the grammar share no sentence and no pseudo-word."""

    @model_validator(mode="after")
    def is_a_task(self) -> MinimalPairCorpus:
        from slamflow.benchmarks import BENCHMARKS

        if self.text is None:
            if self.task not in PAIR_TEXTS.names():
                known = ", ".join(PAIR_TEXTS.names())
                raise ValueError(f"task {self.task!r}: there are {known}; for pairs of a file, say text")
            if self.pairs_per_phenomenon is not None:
                raise ValueError("pairs_per_phenomenon belongs to a file of pairs; see text")
            for name, split in self.splits.items():
                if split.pairs is None or split.pairs % 2:
                    raise ValueError(f"splits.{name}.pairs: the grammar needs an even number of pairs")
                if split.percent != [0, 100]:
                    raise ValueError(f"splits.{name}.percent belongs to a file of pairs; see text")
            return self
        pair_kinds = [name for name in BENCHMARKS.names() if BENCHMARKS.settings(name).built_from == "pairs"]
        if self.task not in pair_kinds:
            raise ValueError(f"task {self.task!r}: the kinds of pairs are {', '.join(pair_kinds)}")
        check_dev_and_test(self.splits)
        return self

    @property
    def benchmark(self) -> str:
        return self.task

    @property
    def engine(self) -> EngineSettings:
        return self.speech

    def job(self, name: str, split: str, shard: str) -> WriteMinimalPairs:  # noqa: ARG002
        from slamflow.corpora.job_settings import WriteMinimalPairs

        chosen = split_of(self.splits, split)
        return WriteMinimalPairs(
            task=self.task,
            # Where a file lies does not concern the job.
            text=None if self.text is None else self.text.model_copy(update={"path": ""}),
            split=split,
            pairs=chosen.pairs,
            percent=chosen.percent,
            pairs_per_phenomenon=self.pairs_per_phenomenon,
            seed=self.seed,
            shard=shard,
        )

    def code(self) -> list[str]:
        if self.text is not None:
            return [PAIR_SOURCES.module_name(self.text.source)]
        return [PAIR_TEXTS.module_name(self.task)]

    def source_files(self, split: str, sources: Sources) -> list[str]:  # noqa: ARG002
        return [] if self.text is None else self.text.files(sources)

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        if self.text is not None:
            yield from self.text.file_problems(f"{key}.text", sources)
        yield from self.speech.file_problems(f"{key}.speech", sources)

    def hours(self, split: str) -> float | None:
        pairs = split_of(self.splits, split).pairs
        if self.text is not None or pairs is None:
            return None
        seconds: float = PAIR_TEXTS.settings(self.task).seconds
        return pairs * seconds / 3600
