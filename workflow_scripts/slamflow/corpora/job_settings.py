"""Settings of the jobs that write, speak and collect what corpora hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from slamflow.corpora import CORPORA
from slamflow.corpora.recorded import PercentRange, RecordedSettings
from slamflow.corpora.spoken_pairs import SpokenPairCorpus
from slamflow.corpora.spoken_preferences import SpokenPreferenceCorpus
from slamflow.recipe.base import Settings
from slamflow.text import PAIR_SOURCES, TEXT_SOURCES, PairSourceSettings, TextSettings
from slamflow.tts import ENGINES, EngineSettings


class WriteStories(Settings):
    """Settings of one write_stories job."""

    text: Annotated[TextSettings, TEXT_SOURCES]
    corpus: str
    split: str
    stories: Annotated[int | None, Field(ge=1)]
    shard: str


class WriteMinimalPairs(Settings):
    """Settings of one write_minimal_pairs job."""

    task: str
    """Without `text`, the name in slamflow.text.PAIR_TEXTS."""
    text: Annotated[PairSourceSettings, PAIR_SOURCES] | None = None
    """The file of pairs; where it lies is said by --source."""
    split: str
    pairs: Annotated[int | None, Field(ge=1)]
    percent: PercentRange = [0, 100]
    pairs_per_phenomenon: Annotated[int | None, Field(ge=1)] = None
    seed: int
    shard: str


class SynthesizeStories(Settings):
    """Settings of one synthesize_stories job."""

    speech: Annotated[EngineSettings, ENGINES]
    corpus: str
    split: str


class CollectAudio(Settings):
    """Settings of one collect_audio job."""

    corpus: str
    split: str
    shard: str
    recordings: Annotated[RecordedSettings, CORPORA]
    """The corpus with this split alone; where it lies is said by --source."""


class CollectPairs(Settings):
    """Settings of one collect_pairs job."""

    corpus: str
    split: str
    shard: str
    pairs: Annotated[SpokenPairCorpus | SpokenPreferenceCorpus, CORPORA]
    """The corpus with this split alone; where a folder lies is said by --source."""
