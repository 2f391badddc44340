"""Text sources: where stories come from. Each kind is a module; what they share is here and in slamflow.text.stories.

A kind's module has a settings class and one function:

    records(text, job, paths) -> list of records

`text` are the kind's settings, `job` those of a write_stories job, and `paths` the files that `text.files` names. The
records are the stories of the job's shard, as docs of write_stories describe them; they are the same each time, and a
larger number of stories changes none of the earlier ones. Raises InputError for files that do not hold what is needed.

The lines of minimal pairs come from modules of their own: PAIR_TEXTS lists those that write them (PairTextSettings),
PAIR_SOURCES those that read the user's files (PairSourceSettings).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from slamflow.kinds import Family
from slamflow.recipe.base import Settings, canonical

if TYPE_CHECKING:
    from slamflow.corpora.job_settings import WriteStories
    from slamflow.jobs.sources import Sources


class TextSettings(Settings):
    """Where the text of a story corpus comes from."""

    source: str
    """Where stories come from."""

    def files(self, sources: Sources) -> list[str]:  # noqa: ARG002
        """The files that it is read from."""
        return []

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:  # noqa: ARG002
        """What is missing of its files; `key` is where the recipe has these settings."""
        yield from ()

    def split_problems(self, stories: Mapping[str, int | None]) -> Iterator[str]:  # noqa: ARG002
        """What it cannot give of the splits of a corpus, which are given with their numbers of stories."""
        yield from ()

    @abstractmethod
    def items(self, job: WriteStories, sources: Sources) -> str:
        """What the stories of one shard follow from: another number of stories changes it where the shard changes."""

    def hours(self, split: str, stories: int | None) -> float | None:  # noqa: ARG002
        """About how long the stories of a split are as speech, for the estimate; None if that is not known."""
        return None


class ReadTextSettings(TextSettings):
    """What the kinds that read files share."""

    path: str
    """The file: a path, or `asset:NAME/FILE` for a downloaded one."""
    seed: int = 0
    """Seed of the split that each story falls into."""

    def files(self, sources: Sources) -> list[str]:
        return sources.file(self.path)

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        yield from sources.file_problems(f"{key}.path", self.path)

    def items(self, job: WriteStories, sources: Sources) -> str:
        # Nothing is read here. A downloaded file is pinned; of another one a new size is taken for a new text.
        return f"{canonical(self)} {job.stories}{self.sizes(sources)}"

    def sizes(self, sources: Sources) -> str:
        """The sizes of its files in bytes; empty for downloaded ones, which may not be there yet."""
        if self.path.startswith("asset:"):
            return ""
        return f" {[Path(file).stat().st_size for file in self.files(sources)]}"


TEXT_SOURCES = Family(
    "text",
    {
        "grammar": "slamflow.text.grammar:GrammarText",
        "sentences": "slamflow.text.sentences:SentencesText",
        "file": "slamflow.text.file:FileText",
        "parquet": "slamflow.text.parquet:ParquetText",
        "swag": "slamflow.text.swag:SwagText",
    },
    key="source",
    default="grammar",
)


class PairTextSettings(Settings):
    """What is known of the minimal pairs that are written for one kind of benchmark. No recipe has keys of it.

    Beside it its module has one function:

        write_minimal_pairs(seed, split, count) -> list of records

    with `id`, `split`, `phenomenon`, `good`, `bad` and `cluster`. Raises InputError if there are not as many.
    """

    seconds: ClassVar[float]
    """A pair as hibari speaks it, both utterances together; for the estimate."""


PAIR_TEXTS = Family(
    "pair_texts",
    {
        "sblimp": "slamflow.text.minimal_pairs:SBlimpText",
        "swuggy": "slamflow.text.pseudo_words:SWuggyText",
    },
    key="task",
)


class PairSourceSettings(Settings):
    """A file of minimal pairs as text.

    Beside the settings a kind's module has one function:

        pairs(text, path) -> iterator of slamflow.text.pair_records.TextPair

    in the file's order. Raises InputError for a file that does not hold what is needed.
    """

    source: str
    """What the file is."""
    path: str
    """The file: a path, from the working folder or else from the folder of the Snakefile, or `asset:NAME/FILE`."""

    def files(self, sources: Sources) -> list[str]:
        """The file that it is read from."""
        return sources.file(self._placed(sources))

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        """What is missing of its file; `key` is where the recipe has these settings."""
        yield from sources.file_problems(f"{key}.path", self._placed(sources))

    def _placed(self, sources: Sources) -> str:
        return self.path if self.path.startswith("asset:") else sources.place(self.path)


PAIR_SOURCES = Family(
    "pair_sources",
    {
        "blimp": "slamflow.text.blimp:BlimpPairs",
        "hellaswag": "slamflow.text.hellaswag:HellaSwagPairs",
        "table": "slamflow.text.pair_table:PairTable",
    },
    key="source",
)
