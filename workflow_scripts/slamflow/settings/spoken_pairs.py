"""Benchmarks that were published as speech: pairs of recordings, one right and one wrong."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from slamflow.settings.audio import PerCent, Repository, Revision
from slamflow.settings.base import Settings
from slamflow.settings.evaluation import BenchmarkKind

Part = Literal["dev", "test"]


class PairColumns(Settings):
    """Names of the columns of a dataset of the hub in which each row is a pair."""

    good: str = "positive"
    """The right recording: bytes, or the hub's usual pair of bytes and path."""
    bad: str = "negative"
    """The wrong one."""
    id: list[str] = ["id"]
    """What names a pair, the same for all voices that say it: one column or several; none numbers the rows."""
    voice: str | None = "voice"
    """Who speaks; null if the dataset does not tell."""
    phenomenon: str | None = None
    """What kind of pair it is, such as the phenomenon of grammar; null if the dataset does not tell."""
    texts: Annotated[list[str], Field(max_length=2)] = []
    """What the right and the wrong one say: two columns, or none if the dataset does not tell."""


class SpokenPairSplit(Settings):
    """One part of the pairs."""

    per_cent: Annotated[list[PerCent], Field(min_length=2, max_length=2)] = [0, 100]
    """Only the pairs whose hash falls between these two; all voices of a pair fall together. A published set has one
    part: take all of it as `test` to compare with published figures, or keep some of it as `dev` to choose settings."""
    shards: Annotated[int, Field(ge=1, le=9999)] = 1
    """In how many shards, each a job of its own."""
    pairs: Annotated[int | None, Field(ge=1)] = None
    """Only the first so many pairs of each shard; null takes all."""

    @model_validator(mode="after")
    def is_range(self) -> SpokenPairSplit:
        if self.per_cent[0] >= self.per_cent[1]:
            raise ValueError(f"per_cent {self.per_cent} is empty; write the smaller number first")
        return self

    @property
    def spoken(self) -> bool:
        """They are speech always."""
        return True


class SpokenPairCorpus(Settings):
    """Pairs of recordings from a dataset of the hub, or from a folder."""

    kind: Literal["spoken_pairs"]
    """Pairs that were published as speech."""
    task: BenchmarkKind
    """What the pairs test."""
    repo: Repository | None = None
    """The dataset of the hub, as owner/name; or give `path`."""
    revision: Revision | None = None
    """The 40-digit commit; or `unpinned`: the newest at the first use, which is kept in resources/revisions/."""
    files: list[str] = []
    """The Parquet files of the dataset's repository, as patterns such as `data/train-*.parquet`."""
    columns: PairColumns = PairColumns()
    """Where in the tables to look."""
    path: str | None = None
    """A folder: with ZeroSpeech's gold.csv (filename, id, voice, correct; type where there is one) beside its wav
    files, or with pairs of files `NAME_correct.wav` and `NAME_incorrect.wav`."""
    splits: dict[Part, SpokenPairSplit]
    """The parts; a benchmark needs `test`."""

    @model_validator(mode="after")
    def comes_from_somewhere(self) -> SpokenPairCorpus:
        if (self.repo is None) == (self.path is None):
            raise ValueError("give either repo, a dataset of the hub, or path, a folder")
        if self.repo is not None and (self.revision is None or not self.files):
            raise ValueError("a dataset of the hub needs revision and files")
        if self.path is not None and (self.revision is not None or self.files):
            raise ValueError("revision and files belong to a dataset of the hub")
        dev, test = self.splits.get("dev"), self.splits.get("test")
        if dev and test and dev.per_cent[0] < test.per_cent[1] and test.per_cent[0] < dev.per_cent[1]:
            raise ValueError("splits: dev and test share pairs; give them per_cent ranges that do not overlap")
        return self


class CollectPairs(Settings):
    """Settings of one collect_pairs job."""

    corpus: str
    split: Part
    shard: str
    pairs: SpokenPairCorpus
    """The corpus with this split alone; where a folder lies is said by --source."""
