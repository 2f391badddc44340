"""Benchmarks that were published as speech: pairs of recordings, one right and one wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from slamflow.corpora import CORPORA, CorpusSettings, Holds, MadeBy, SplitSettings, split_of
from slamflow.corpora.recorded import PercentRange, Repository, Revision, check_dev_and_test
from slamflow.recipe.base import Settings

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import CollectPairs
    from slamflow.corpora.pair_files import SpokenPair
    from slamflow.jobs.sources import Sources


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


class SpokenPairSplit(SplitSettings):
    """One split of the pairs."""

    percent: PercentRange = [0, 100]
    """Only the pairs whose hash falls between these two; all voices of a pair fall together. A published set has one
    split: take all of it as `test` to compare with published figures, or some of it as `dev` to choose settings."""
    pairs: Annotated[int | None, Field(ge=1)] = None
    """Only the first pairs of each shard, as many as this says; null takes all."""


class SpokenPairCorpus(CorpusSettings):
    """Pairs of recordings from a dataset of the hub, from a folder, or from archives."""

    holds: ClassVar[Holds] = "pairs"
    made_by: ClassVar[MadeBy] = "collect_pairs"

    kind: Literal["spoken_pairs"]
    """Pairs that were published as speech."""
    task: str
    """What the pairs test: a kind of benchmark."""
    repo: Repository | None = None
    """The dataset of the hub, as owner/name; or give `path`."""
    revision: Revision | None = None
    """The 40-digit commit; or `unpinned`: the newest at the first use, which is kept in resources/revisions/."""
    files: list[str] = []
    """The Parquet files of the dataset's repository, as patterns such as `data/train-*.parquet`."""
    columns: PairColumns = PairColumns()
    """Where in the tables to look."""
    path: str | None = None
    """A folder, as the benchmark was published: with ZeroSpeech's gold.csv (filename, id, voice, correct; type or
    frequency where there is one) beside its wav files; with pairs of files `NAME_correct.wav` and `NAME_incorrect.wav`
    (endings, if there is a `NAME_mutual.wav`); or in SlamKit's order, `N_NAME.wav` or `N+NAME.wav`, right and wrong in
    turn. SALMon has a layout of its own."""
    archives: list[str] = []
    """The same inside zip or tar files, as paths or `asset:NAME/FILE`; or give `path`."""
    folder: str = ""
    """Of archives: only what lies below this folder inside, such as `sLM21-dataset/lexical/dev`."""
    splits: dict[Literal["dev", "test"], SpokenPairSplit]
    """The splits; a benchmark needs `test`."""

    @model_validator(mode="after")
    def comes_from_somewhere(self) -> SpokenPairCorpus:
        from slamflow.benchmarks import BENCHMARKS

        if self.task not in BENCHMARKS.names():
            raise ValueError(f"task {self.task!r}: the kinds of benchmarks are {', '.join(BENCHMARKS.names())}")
        if [self.repo is not None, self.path is not None, bool(self.archives)].count(True) != 1:
            raise ValueError("give one of repo, a dataset of the hub, path, a folder, and archives")
        if self.folder and not self.archives:
            raise ValueError("folder belongs to archives; make it a part of path")
        if self.repo is not None and (self.revision is None or not self.files):
            raise ValueError("a dataset of the hub needs revision and files")
        if self.repo is None and (self.revision is not None or self.files):
            raise ValueError("revision and files belong to a dataset of the hub")
        check_dev_and_test(self.splits)
        return self

    @property
    def benchmark(self) -> str:
        return self.task

    @property
    def unpinned(self) -> str | None:
        return self.repo if self.revision == "unpinned" else None

    @property
    def is_downloaded(self) -> bool:
        return self.repo is not None

    def job(self, name: str, split: str, shard: str) -> CollectPairs:
        from slamflow.corpora.job_settings import CollectPairs

        # Where a folder or an archive lies does not concern the job, and neither does another split.
        update = {
            "splits": {split: split_of(self.splits, split)},
            "path": "" if self.path is not None else None,
            "archives": [PurePath(archive).name for archive in self.archives],
        }
        return CollectPairs(corpus=name, split=split, shard=shard, pairs=self.model_copy(update=update))

    def code(self) -> list[str]:
        from slamflow.benchmarks import BENCHMARKS

        own_layout = self.repo is None and hasattr(BENCHMARKS.module(self.task), "folder_pairs")
        return [CORPORA.module_name(self.kind), *([BENCHMARKS.module_name(self.task)] if own_layout else [])]

    def items(self, name: str, split: str, shard: str, sources: Sources) -> str:  # noqa: ARG002
        """A digest of the names and sizes of the files of a folder; empty for the hub."""
        from slamflow.corpora.listing import pairs_digest

        return "" if self.path is None else pairs_digest(Path(sources.place(self.path)))

    def source_files(self, split: str, sources: Sources) -> list[str]:  # noqa: ARG002
        return [file for archive in self.archives for file in sources.file(archive)]

    def source_folder(self, sources: Sources) -> str | None:
        return None if self.path is None else sources.place(self.path)

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        from slamflow.corpora.listing import has_audio

        for archive in self.archives:
            yield from sources.file_problems(f"{key}.archives", archive)
        if self.path is not None and not has_audio(Path(sources.place(self.path))):
            yield (
                f"{key}.path: {self.path}: no such folder, or no audio in it. Where a benchmark comes from, and how to "
                "unpack it, is in docs/audio.md under Spoken benchmarks"
            )


def pairs(corpus: SpokenPairCorpus, job: CollectPairs, sources: list[Path], downloads: Path) -> Iterator[SpokenPair]:
    """The pairs of one shard, whatever part of them the split takes."""
    from slamflow.benchmarks import BENCHMARKS
    from slamflow.corpora import pair_files, pair_layouts
    from slamflow.corpora.published_files import archive_files, folder_files
    from slamflow.errors import InputError

    if corpus.repo is not None:
        yield from pair_files.hub_pairs(corpus, job.shard, downloads)
        return
    if not sources:
        raise InputError(f"--source: the folder, or the archives, of {job.corpus} are needed")
    read = getattr(BENCHMARKS.module(corpus.task), "folder_pairs", pair_layouts.folder_pairs)
    if not corpus.archives:
        yield from pair_files.of_shard(read(folder_files(sources[0])), job.shard)
        return
    with archive_files(sources, corpus.folder, downloads) as files:
        yield from pair_files.of_shard(read(files), job.shard)
