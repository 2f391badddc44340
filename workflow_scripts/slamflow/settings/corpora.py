"""Corpora: where speech comes from. One class per kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from slamflow.settings.base import Settings


class StoryText(Settings):
    """Where the text of a story corpus comes from."""

    source: Literal["grammar", "file", "parquet", "swag"] = "grammar"
    """`grammar` writes stories of its own; `file` reads them, separated by a line `<|endoftext|>`; `parquet` reads
    them from a column of Parquet files, as text datasets of the hub have them; `swag` makes preference pairs of SWAG's
    CSV: its gold rows, the first sentence as the prompt, and a wrong ending drawn from its three."""
    path: str | None = None
    """The file, for every source but `grammar`: a path, or `asset:NAME/FILE` for a downloaded one. For `parquet` also
    `asset:NAME`, all files of the asset, or a folder."""
    column: str = "text"
    """For source `parquet`: the column with the text."""
    seed: int = 0
    """Seed of the grammar, of the split of a file's stories, and of the choice among wrong endings."""

    @model_validator(mode="after")
    def has_path(self) -> StoryText:
        if (self.source == "grammar") == (self.path is not None):
            raise ValueError("path belongs to the sources file, parquet and swag, and is needed there")
        if self.column != "text" and self.source != "parquet":
            raise ValueError("column belongs to source: parquet")
        return self


Voices = Annotated[list[Annotated[str, Field(pattern=r"^[\w-]+$")]], Field(min_length=1)]


class HibariSpeech(Settings):
    """Speech of hibari: one English voice, and others made of it. Fast on a CPU."""

    engine: Literal["hibari"] = "hibari"
    """The text-to-speech engine."""
    voices: Annotated[dict[str, Annotated[float, Field(gt=0.5, lt=2.0)]], Field(min_length=1)] = {"plain": 1.0}
    """Voices by name. The number is a resampling factor: 1.1 is a shorter vocal tract and a higher pitch.
    Each story is spoken in one voice, chosen by its id."""
    seed: int = 0
    """Seed of the engine, mixed with the utterance's id."""


class KokoroSpeech(Settings):
    """Speech of Kokoro: 28 English voices, at about 1.6 times real time on one core."""

    engine: Literal["kokoro"]
    """The text-to-speech engine."""
    voices: Voices
    """Names of voices, such as af_heart and bm_lewis: a American, b British; f and m.
    Each story is spoken in one voice, chosen by its id."""
    model: str = "kokoro"
    """The asset, or a folder, with the model (model.onnx, or its parts model.onnx.1, ...) and `<voice>.bin` files."""


class PiperSpeech(Settings):
    """Speech of Piper, a program under the GPL that is not part of the environment: see docs/audio.md."""

    engine: Literal["piper"]
    """The text-to-speech engine."""
    voices: Voices
    """Names of voices, such as en_US-joe-medium. Each story is spoken in one voice, chosen by its id."""
    model: str
    """The asset, or a folder, with `<voice>.onnx` and `<voice>.onnx.json` files."""


def _engine(values: Any) -> str:
    return f"tag:{values.get('engine', 'hibari') if isinstance(values, dict) else getattr(values, 'engine', None)}"


Speech = Annotated[
    Annotated[HibariSpeech, Tag("tag:hibari")]
    | Annotated[KokoroSpeech, Tag("tag:kokoro")]
    | Annotated[PiperSpeech, Tag("tag:piper")],
    Discriminator(_engine, custom_error_type="engine", custom_error_message="engine must be hibari, kokoro or piper"),
]
"""How stories are spoken."""


class StorySplit(Settings):
    """One part of a story corpus."""

    stories: Annotated[int | None, Field(ge=1)]
    """How many stories; null takes all that a file has for this split."""
    shards: Annotated[int, Field(ge=1, le=9999)] = 1
    """In how many shards, each a job of its own."""
    spoken: bool = True
    """Whether speech is made of them (text is cheap, and a text model wants more of it)."""
    hours: Annotated[float | None, Field(gt=0)] = None
    """How many hours they are as speech, for the plan alone; for stories of the grammar it knows by itself."""


SplitName = Literal["train", "text", "validation", "dev", "test", "preference"]


class StoryCorpus(Settings):
    """Speech synthesised from stories."""

    kind: Literal["stories"]
    """Speech made from text."""
    text: StoryText = StoryText()
    """Where the stories come from."""
    speech: Speech = HibariSpeech()
    """How they are spoken."""
    splits: dict[SplitName, StorySplit]
    """The parts. Those of a grammar are disjoint in (hero, object, event), and `dev` and `test` hold a story shape of
    their own; those of other sources are divided by a hash of the text."""

    @model_validator(mode="after")
    def swag_is_for_preferences(self) -> StoryCorpus:
        if self.text.source == "swag" and set(self.splits) != {"preference"}:
            raise ValueError("text of source swag has the split preference only")
        return self


PairTask = Literal["sblimp", "swuggy"]
PairSplitName = Literal["dev", "test"]


class PairSplit(Settings):
    """One part of a corpus of minimal pairs."""

    pairs: Annotated[int, Field(ge=2, multiple_of=2)]
    """How many pairs. They come by twos, in which what is right in one is wrong in the other."""
    shards: Annotated[int, Field(ge=1, le=9999)] = 1
    """In how many shards, each a job of its own."""


class MinimalPairCorpus(Settings):
    """Pairs of a right and a wrong utterance, spoken, in the vocabulary of the grammar's stories."""

    kind: Literal["minimal_pairs"]
    """Speech made from text, for benchmarks of the kinds `sblimp` and `swuggy`."""
    task: PairTask
    """`sblimp`: sentences that differ in one point of grammar; `swuggy`: words and pseudo-words."""
    seed: int = 0
    """Seed of the choice among the pairs that there are."""
    speech: Speech = HibariSpeech()
    """How they are spoken; the two utterances of a pair in one voice."""
    splits: dict[PairSplitName, PairSplit]
    """The parts. They share no sentence and no pseudo-word."""


class WriteStories(Settings):
    """Settings of one write_stories job."""

    text: StoryText
    corpus: str
    split: SplitName
    stories: Annotated[int | None, Field(ge=1)]
    shard: str


class WriteMinimalPairs(Settings):
    """Settings of one write_minimal_pairs job."""

    task: PairTask
    split: PairSplitName
    pairs: Annotated[int, Field(ge=2, multiple_of=2)]
    seed: int
    shard: str


class SynthesizeStories(Settings):
    """Settings of one synthesize_stories job."""

    speech: Speech
    corpus: str
    split: SplitName
