"""Preference pairs that were published as speech: a prompt, the ending to prefer and the one to reject."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

from pydantic import Field, model_validator

from slamflow.corpora import CorpusSettings, Holds, MadeBy, SplitSettings, split_of
from slamflow.corpora.recorded import Patterns, PercentRange, Repository, Revision
from slamflow.recipe.base import Settings

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import CollectPairs
    from slamflow.corpora.recordings import Recording

PARTS = ("prompt", "ending", "wrong_detail")
"""What the three utterances of a pair are called, as those of a story that was spoken here."""


class PreferenceColumns(Settings):
    """Names of the columns of a dataset of the hub in which each row is a preference pair; those of SpokenSwag."""

    prompt: str = "prompt"
    """The prompt as speech: bytes, or the hub's usual pair of bytes and path."""
    chosen: str = "chosen"
    """The ending to prefer, as speech."""
    rejected: str = "rejected"
    """The ending to reject, as speech."""
    texts: Annotated[list[str], Field(max_length=3)] = ["prompt_text", "chosen_text", "rejected_text"]
    """What the three say, in this order; none if the dataset does not tell: then nothing is left out for repeating
    itself (`max_auto_bleu`)."""
    speaker: str | None = "speaker"
    """Who speaks; null if the dataset does not tell."""
    id: str | None = None
    """A name for each pair; null numbers the rows of each file."""

    @model_validator(mode="after")
    def has_all_texts(self) -> PreferenceColumns:
        if len(self.texts) not in (0, 3):
            raise ValueError("texts: give the columns of the prompt, the chosen and the rejected text, or none")
        return self


class SpokenPreferenceSplit(SplitSettings):
    """One split of the pairs."""

    percent: PercentRange = [0, 100]
    """Only the pairs whose hash falls between these two."""
    pairs: Annotated[int | None, Field(ge=1)] = None
    """Only the first pairs of each shard, as many as this says; null takes all."""
    hours: Annotated[float | None, Field(gt=0)] = None
    """How many hours of audio these are, for the estimate alone."""
    bytes: Annotated[int | None, Field(gt=0)] = None
    """How many bytes they are where they come from, for the estimate alone."""


class SpokenPreferenceCorpus(CorpusSettings):
    """Preference pairs from a dataset of the hub, such as SpokenSwag (Maimon et al. 2025)."""

    holds: ClassVar[Holds] = "preferences"
    made_by: ClassVar[MadeBy] = "collect_pairs"

    kind: Literal["spoken_preferences"]
    """Preference pairs that were published as speech."""
    repo: Repository
    """The dataset, as owner/name."""
    revision: Revision
    """The 40-digit commit; or `unpinned`: the newest at the first use, which is kept in resources/revisions/."""
    files: Patterns
    """The Parquet files of the dataset's repository, as patterns such as `data/train-*.parquet`."""
    columns: PreferenceColumns = PreferenceColumns()
    """Where in the tables to look."""
    splits: dict[Literal["preference"], SpokenPreferenceSplit]
    """The one split, whose whole files go to shards."""

    @property
    def unpinned(self) -> str | None:
        return self.repo if self.revision == "unpinned" else None

    @property
    def is_downloaded(self) -> bool:
        return True

    def job(self, name: str, split: str, shard: str) -> CollectPairs:
        from slamflow.corpora.job_settings import CollectPairs

        chosen = split_of(self.splits, split).model_copy(update={"hours": None, "bytes": None})
        return CollectPairs(
            corpus=name, split=split, shard=shard, pairs=self.model_copy(update={"splits": {split: chosen}})
        )

    def hours(self, split: str) -> float | None:
        return split_of(self.splits, split).hours

    def bytes(self, split: str) -> int | None:
        return split_of(self.splits, split).bytes


@dataclass(frozen=True)
class SpokenPreference:
    """A prompt and two endings, as recordings."""

    id: str
    speaker: str
    texts: tuple[str, str, str]
    """What is said in the prompt, the chosen and the rejected ending; empty if not known."""
    sources: tuple[str, str, str]
    open: tuple[Callable[[], BinaryIO], ...]

    @property
    def cluster(self) -> str:
        """What decides into which share of the pairs this one falls."""
        return self.id

    def recordings(self) -> Iterator[Recording]:
        """Its three recordings, {id}.prompt, {id}.ending and {id}.wrong_detail."""
        from slamflow.corpora.recordings import Recording, known_text

        for part, text, source, opened in zip(PARTS, self.texts, self.sources, self.open, strict=True):
            yield Recording(
                id=f"{self.id}.{part}",
                source=source,
                speaker=self.speaker,
                text=known_text(text),
                open=opened,
            )

    def record(self) -> dict[str, Any]:
        """What the pairs are built from."""
        return {"id": self.id, **dict(zip(PARTS, self.texts, strict=True))}


def pairs(
    corpus: SpokenPreferenceCorpus,
    job: CollectPairs,
    sources: list[Path],  # noqa: ARG001
    downloads: Path,
) -> Iterator[SpokenPreference]:
    """The pairs of one shard: those of every n-th file, in their order."""
    from slamflow.corpora.hub_tables import audio_of, cell, shard_files, table_rows

    columns = corpus.columns
    spoken = (columns.prompt, columns.chosen, columns.rejected)
    names = [*spoken, *columns.texts, columns.speaker, columns.id]
    for path, name in shard_files(corpus.repo, corpus.revision, corpus.files, job.shard, downloads):
        for place, row in table_rows(path, name, [column for column in names if column is not None]):
            told = [" ".join((cell(row, column) or "").split()) for column in columns.texts] or ["", "", ""]
            prompt, chosen, rejected = (f"{place}/{column}" for column in spoken)
            yield SpokenPreference(
                id=cell(row, columns.id) or place,
                speaker=cell(row, columns.speaker) or "unknown",
                texts=(told[0], told[1], told[2]),
                sources=(prompt, chosen, rejected),
                open=tuple(functools.partial(audio_of, row[column]) for column in spoken),
            )
