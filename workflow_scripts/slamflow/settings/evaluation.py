"""Benchmarks of minimal pairs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slamflow.settings.base import Settings

BenchmarkKind = Literal["tstorycloze", "sstorycloze", "sblimp", "swuggy"]


class Benchmark(Settings):
    """Minimal pairs built from a held-out corpus."""

    kind: BenchmarkKind
    """`tstorycloze`: the story's ending against the ending of another story in the same voice;
    `sstorycloze`: against an ending with one wrong detail; `sblimp`: a sentence against one with a mistake of
    grammar; `swuggy`: a word against a pseudo-word."""
    corpus: str
    """The corpus: of stories for the first two kinds, of minimal pairs of this task for the others, or for any kind one
    of spoken pairs of this task. Its test split, and its dev split if it has one, give the parts."""
    encoder: str
    """The encoder whose units are scored."""
    models: Annotated[list[str], Field(min_length=1)] | None = None
    """The models that are scored; null takes all of that encoder. The trivial ones are always."""
    seed: int = 0
    """Seed of the pairing of stories, for `tstorycloze`."""


class BuildBenchmark(Settings):
    """Settings of one build_benchmark job."""

    benchmark: str
    kind: BenchmarkKind
    part: Literal["dev", "test"]
    seed: int
    published: bool = False
    """Whether the pairs were published as speech: they are taken as they are, whatever the kind."""


class Evaluation(Settings):
    """How scores are computed."""

    ngram_tokens: Annotated[int, Field(ge=1)] = 20_000_000
    """How many units of the training data, the first ones, the n-gram baselines are fitted on.
    Each takes about 120 bytes of memory."""
    voices: list[str] = []
    """Corpora in which several speakers say the same sentences. How far apart their units are is measured, for
    every encoder in use."""


class CompareVoices(Settings):
    """Settings of one compare_voices job."""

    encoder: str
    corpus: str
