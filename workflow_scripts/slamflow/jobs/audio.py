"""Recorded speech: what rules/audio.smk asks, and what becomes of speech that is not kept."""

from __future__ import annotations

import functools
import shlex
from pathlib import Path
from typing import Any

from slamflow.code_digest import code_digest
from slamflow.jobs.results import Results
from slamflow.jobs.sources import Sources
from slamflow.recipe.base import canonical
from slamflow.recipe.recipe import Recipe
from slamflow.sharding import parse_shard, shard_name

SHARDS_AHEAD = 32
"""How many shards of streamed speech may wait for their encoder: downloads are often faster."""


class AudioJobs:
    """Recordings in a folder, in archives or on the hub, and pairs that were published as speech."""

    def __init__(self, recipe: Recipe, sources: Sources, results: Results, scripts: Path) -> None:
        self.recipe = recipe
        self.sources = sources
        self.results = results
        # Of streamed speech, each shard's jobs ask for both twice.
        self._code = functools.cache(functools.partial(code_digest, scripts / "collect_audio.py"))
        self._settings = functools.cache(self._job)
        self._streamed = frozenset(recipe.streamed())

    def corpora(self, made_by: str) -> list[str]:
        """The corpora whose speech is collected by one rule."""
        return [name for name, corpus in self.recipe.corpora.items() if corpus.made_by == made_by]

    def kept(self) -> list[str]:
        """The corpus/split of recordings that stay on disk."""
        references = [
            f"{name}/{split}" for name in self.corpora("collect_audio") for split in self.recipe.corpora[name].splits
        ]
        return [reference for reference in references if reference not in self._streamed]

    def collect_audio(self, wildcards: Any) -> str:
        """Settings of one collect_audio job."""
        return self._settings(wildcards.corpus, wildcards.split, wildcards.shard)

    def collect_pairs(self, wildcards: Any) -> str:
        """Settings of one collect_pairs job."""
        return self._settings(wildcards.corpus, wildcards.split, wildcards.shard)

    def archives(self, wildcards: Any) -> list[str]:
        """The archives that a split is read from; none for a folder or a dataset of the hub."""
        return self.recipe.corpora[wildcards.corpus].source_files(wildcards.split, self.sources)

    def items(self, wildcards: Any) -> str:
        """A digest of the names and sizes of the files in one shard, so that a new file reruns its shard alone."""
        corpus = self.recipe.corpora[wildcards.corpus]
        return corpus.items(wildcards.corpus, wildcards.split, wildcards.shard, self.sources)

    def source(self, wildcards: Any, input: Any, output: Any) -> str:  # noqa: ARG002
        """The flag that says where recordings lie; asking for `output` keeps it from triggering a rerun."""
        folder = self.recipe.corpora[wildcards.corpus].source_folder(self.sources)
        places = [*([folder] if folder is not None else []), *input.get("archives", [])]
        return f"--source {shlex.join(places)}" if places else ""

    def kinds(self, wildcards: Any) -> list[str]:
        """The modules of the kinds that read a corpus."""
        return self.recipe.corpora[wildcards.corpus].code()

    def _job(self, corpus: str, split: str, shard: str) -> str:
        return canonical(self.recipe.corpora[corpus].job(corpus, split, shard))

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
        index, count = parse_shard(wildcards.shard)
        if index < SHARDS_AHEAD:
            return []
        before = shard_name(index - SHARDS_AHEAD, count)
        return [f"<results>/units/{wildcards.encoder}/{reference}/{before}.json"]

    def streamed_speech(self, wildcards: Any) -> str:
        """What the speech of a shard is made from, if it is not kept: then Snakemake cannot tell that this changed."""
        if not self._is_streamed(wildcards):
            return ""
        return f"{self.collect_audio(wildcards)} {self._code(tuple(self.kinds(wildcards)))}"

    def _is_streamed(self, wildcards: Any) -> bool:
        return f"{wildcards.corpus}/{wildcards.split}" in self._streamed

    # Commits of the hub

    def unpinned(self) -> dict[str, str]:
        """The datasets of the hub without a fixed commit: owner/name by owner--name."""
        repos = [corpus.unpinned for corpus in self.recipe.corpora.values() if corpus.unpinned is not None]
        return {repo.replace("/", "--"): repo for repo in repos}

    def repo(self, wildcards: Any) -> str:
        """The dataset whose commit one pin_revision job asks for."""
        return self.unpinned()[wildcards.repository]

    def commit(self, wildcards: Any) -> list[str]:
        """The file that says which commit of the hub an unpinned corpus was first taken at; none for a pinned one."""
        repo = self.recipe.corpora[wildcards.corpus].unpinned
        return [] if repo is None else [f"<resources>/revisions/{repo.replace('/', '--')}.json"]
