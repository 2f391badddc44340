"""Minimal pairs in the vocabulary of the grammar, spoken by a text-to-speech engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from slamflow.corpora import CorpusSettings, SplitSettings
from slamflow.text import PAIR_TEXTS
from slamflow.tts import ENGINES, EngineSettings

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteMinimalPairs
    from slamflow.jobs.sources import Sources


class PairSplit(SplitSettings):
    """One split of a corpus of minimal pairs."""

    pairs: Annotated[int, Field(ge=2, multiple_of=2)]
    """How many pairs. They come by twos, in which what is right in one is wrong in the other."""


class MinimalPairCorpus(CorpusSettings):
    """Pairs of a right and a wrong utterance, spoken, in the vocabulary of the grammar's stories."""

    holds: ClassVar[Literal["stories", "pairs", "recordings"]] = "pairs"
    made_by: ClassVar[Literal["write_stories", "write_minimal_pairs", "collect_audio", "collect_pairs"]] = (
        "write_minimal_pairs"
    )

    kind: Literal["minimal_pairs"]
    """Speech made from text, for benchmarks of the kinds `sblimp` and `swuggy`."""
    task: str
    """The kind of benchmark: `sblimp`, sentences that differ in one point of grammar, or `swuggy`, words and
    pseudo-words."""
    seed: int = 0
    """Seed of the choice among the pairs that there are."""
    speech: Annotated[EngineSettings, ENGINES] = Field(default_factory=ENGINES.make_default)
    """How they are spoken; the two utterances of a pair in one voice."""
    splits: dict[Literal["dev", "test"], PairSplit]
    """The splits. They share no sentence and no pseudo-word."""

    @model_validator(mode="after")
    def is_a_task(self) -> MinimalPairCorpus:
        if self.task not in PAIR_TEXTS.names():
            raise ValueError(f"task {self.task!r}: there are {', '.join(PAIR_TEXTS.names())}")
        return self

    @property
    def benchmark(self) -> str:
        return self.task

    @property
    def engine(self) -> EngineSettings:
        return self.speech

    def job(self, name: str, split: str, shard: str) -> WriteMinimalPairs:  # noqa: ARG002
        from slamflow.corpora.job_settings import WriteMinimalPairs

        pairs = self.splits[split].pairs  # type: ignore[index]
        return WriteMinimalPairs(task=self.task, split=split, pairs=pairs, seed=self.seed, shard=shard)

    def code(self) -> list[str]:
        return [PAIR_TEXTS.module_name(self.task)]

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        yield from self.speech.file_problems(f"{key}.speech", sources)

    def hours(self, split: str) -> float | None:
        seconds: float = PAIR_TEXTS.settings(self.task).seconds
        return self.splits[split].pairs * seconds / 3600  # type: ignore[index]
