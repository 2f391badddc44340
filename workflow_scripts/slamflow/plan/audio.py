"""Recorded speech: what rules/audio.smk asks, and what becomes of speech that is not kept."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from slamflow.code_digest import code_digest
from slamflow.corpora.listing import items_digest, pairs_digest
from slamflow.plan.results import Results
from slamflow.plan.sources import Sources
from slamflow.settings.audio import (
    AudioArchive,
    AudioFolder,
    HubAudio,
    LibriSpeech,
    RecordedCorpus,
    collect_audio_settings,
)
from slamflow.settings.recipe import Recipe
from slamflow.settings.spoken_pairs import CollectPairs, SpokenPairCorpus
from slamflow.sharding import parse_shard

SHARDS_AHEAD = 32
"""How many shards of streamed speech may wait for their encoder: downloads are often faster."""


class AudioJobs:
    """Recordings in a folder, in archives or on the hub, and pairs that were published as speech."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results, scripts: Path) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results
        self.scripts = scripts
        self._streamed = frozenset(recipe.streamed())

    # Recordings

    def kept(self) -> list[str]:
        """The corpus/split of recordings that stay on disk."""
        references = [
            f"{name}/{split}"
            for name, corpus in self.recipe.corpora.items()
            if isinstance(corpus, RecordedCorpus)
            for split in corpus.splits
        ]
        return [reference for reference in references if reference not in self._streamed]

    def collect_audio(self, wildcards: Any) -> str:
        """Settings of one collect_audio job."""
        corpus = self._recorded_corpus(wildcards.corpus)
        return collect_audio_settings(wildcards.corpus, corpus, wildcards.split, wildcards.shard).model_dump_json()

    def archives(self, wildcards: Any) -> list[str]:
        """The archives that a split is read from; none for a folder or a dataset of the hub."""
        corpus = self._recorded_corpus(wildcards.corpus)
        if not isinstance(corpus, AudioArchive):
            return []
        return [path for archive in corpus.splits[wildcards.split].archives for path in self.sources.file(archive)]

    def items(self, wildcards: Any) -> str:
        """A digest of the names and sizes of the files in one shard, so that a new file reruns its shard alone."""
        corpus = self._recorded_corpus(wildcards.corpus)
        if isinstance(corpus, LibriSpeech | AudioFolder):
            corpus = corpus.model_copy(update={"path": self.sources.place(corpus.path)})
        return items_digest(corpus, wildcards.split, wildcards.shard)

    def source(self, wildcards: Any, input: Any, output: Any) -> str:  # noqa: ARG002
        """The flag that says where recordings lie. Asking for `output` keeps the place from being a reason to rerun."""
        corpus = self._recorded_corpus(wildcards.corpus)
        folder = [self.sources.place(corpus.path)] if isinstance(corpus, LibriSpeech | AudioFolder) else []
        places = [*folder, *input.get("archives", [])]
        return f"--source {shlex.join(places)}" if places else ""

    def _recorded_corpus(self, name: str) -> RecordedCorpus:
        corpus = self.recipe.corpora[name]
        assert isinstance(corpus, RecordedCorpus)
        return corpus

    # Recordings that are dropped once they are encoded

    def streamed(self) -> list[str]:
        """The corpus/split of recordings that are dropped once they are encoded."""
        return self.recipe.streamed()

    def shard(self, wildcards: Any) -> str:
        """The speech of one shard, for one encoder."""
        place = f"streams/{wildcards.encoder}" if self._is_streamed(wildcards) else "audio"
        return f"<results>/{place}/{wildcards.corpus}/{wildcards.split}/{wildcards.shard}.parquet"

    def shard_before(self, wildcards: Any) -> list[str]:
        """The units of an earlier shard, for which a streamed one waits: so that few are on disk at a time."""
        reference = f"{wildcards.corpus}/{wildcards.split}"
        index, _ = parse_shard(wildcards.shard)
        if index < SHARDS_AHEAD:
            return []
        before = self.results.shards(reference)[index - SHARDS_AHEAD]
        return [f"<results>/units/{wildcards.encoder}/{reference}/{before}.json"]

    def streamed_speech(self, wildcards: Any) -> str:
        """What the speech of a shard is made from, if it is not kept: then Snakemake cannot tell that this changed."""
        if not self._is_streamed(wildcards):
            return ""
        return f"{self.collect_audio(wildcards)} {code_digest(self.scripts / 'collect_audio.py')}"

    def _is_streamed(self, wildcards: Any) -> bool:
        return f"{wildcards.corpus}/{wildcards.split}" in self._streamed

    # Pairs

    def pair_corpora(self) -> list[str]:
        """The corpora of pairs that were published as speech."""
        return [name for name, corpus in self.recipe.corpora.items() if isinstance(corpus, SpokenPairCorpus)]

    def collect_pairs(self, wildcards: Any) -> str:
        """Settings of one collect_pairs job."""
        corpus = self._pair_corpus(wildcards.corpus)
        splits = {wildcards.split: corpus.splits[wildcards.split]}
        # Where a folder lies does not concern the job, and neither does another split.
        update = {"splits": splits, "path": "" if corpus.path is not None else None}
        pairs = corpus.model_copy(update=update)
        return CollectPairs(
            corpus=wildcards.corpus, split=wildcards.split, shard=wildcards.shard, pairs=pairs
        ).model_dump_json()

    def pair_items(self, wildcards: Any) -> str:
        """A digest of the names and sizes of the files of a folder of spoken pairs; empty for the hub."""
        path = self._pair_corpus(wildcards.corpus).path
        return "" if path is None else pairs_digest(Path(self.sources.place(path)))

    def pair_source(self, wildcards: Any, output: Any) -> str:  # noqa: ARG002
        """The flag that says where a folder of spoken pairs lies; see `source`."""
        path = self._pair_corpus(wildcards.corpus).path
        return "" if path is None else f"--source {shlex.quote(self.sources.place(path))}"

    def _pair_corpus(self, name: str) -> SpokenPairCorpus:
        corpus = self.recipe.corpora[name]
        assert isinstance(corpus, SpokenPairCorpus)
        return corpus

    # Commits of the hub

    def unpinned(self) -> dict[str, str]:
        """The datasets of the hub without a fixed commit: owner/name by owner--name."""
        repos = [
            str(corpus.repo)
            for corpus in self.recipe.corpora.values()
            if isinstance(corpus, HubAudio | SpokenPairCorpus) and corpus.revision == "unpinned"
        ]
        return {repo.replace("/", "--"): repo for repo in repos}

    def commit(self, wildcards: Any) -> list[str]:
        """The file that says which commit of the hub an unpinned corpus was first taken at; none for a pinned one."""
        corpus = self.recipe.corpora[wildcards.corpus]
        if not isinstance(corpus, HubAudio | SpokenPairCorpus) or corpus.revision != "unpinned":
            return []
        return [f"<resources>/revisions/{str(corpus.repo).replace('/', '--')}.json"]
