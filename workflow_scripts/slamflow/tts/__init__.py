"""Text-to-speech engines. Each kind is a module; what they share is here and in slamflow.tts.utterances.

A kind's module has a settings class, the names of the packages that its speech depends on, and one function:

    PACKAGES
    start(settings, model) -> Say

`model` is the folder with the engine's model and voices, None for an engine that needs none. Raises InputError for a
folder that lacks what is needed, or if the engine cannot be run.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from slamflow.kinds import Family
from slamflow.recipe.base import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slamflow.jobs.sources import Sources

    Say = Callable[[str, str, str], NDArray[np.float32]]
    """Text, voice and utterance id to speech at 16 kHz in [-1, 1], shape (samples,), the same each time. Raises
    utterances.Unspeakable for a text that the engine cannot say."""


class Program(NamedTuple):
    """A program that is no asset of the recipe, and its terms."""

    name: str
    licence: str
    """SPDX identifier."""
    citation: str
    role: str
    """What it does for a run."""
    in_model: bool
    """Whether models are made of it or of what it gave, so that its terms concern them."""


class EngineSettings(Settings):
    """How text is spoken."""

    seconds_per_core_second: ClassVar[float | None] = None
    """Seconds of speech that it makes in a second of one core; None if that was not measured."""
    programs: ClassVar[tuple[Program, ...]] = ()
    """What it is, if it is no asset."""

    engine: str
    """The text-to-speech engine."""
    voices: Mapping[str, Any] | Sequence[str]
    """The voices. Each story is spoken in one voice, chosen by its id."""

    def voice_names(self) -> list[str]:
        """The voices, told apart from those of other engines."""
        return [f"{self.engine} {voice}" for voice in self.voices]

    def files(self, sources: Sources) -> list[str]:  # noqa: ARG002
        """Its model and the voices that it uses, all in one folder."""
        return []

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:  # noqa: ARG002
        """What is missing of its files; `key` is where the recipe has these settings."""
        yield from ()


VoiceList = Annotated[list[Annotated[str, Field(pattern=r"^[\w-]+$")]], Field(min_length=1)]


class FolderEngineSettings(EngineSettings):
    """What the engines share that read their model and voices from a folder."""

    voices: VoiceList
    """Names of voices. Each story is spoken in one voice, chosen by its id."""
    model: str
    """The asset, or a folder, with its files."""

    @abstractmethod
    def file_names(self, present: Sequence[str]) -> list[str]:
        """The files that are needed of the folder, which has the files `present`."""

    def files(self, sources: Sources) -> list[str]:
        root, present = sources.folder(self.model)
        return [f"{root}/{file}" for file in self.file_names(present)]

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        if missing := list(sources.folder_problems(f"{key}.model", self.model)):
            yield from missing
            return
        present = sources.files_in(self.model)
        for file in self.file_names(present):
            if file not in present:
                yield f"{key}.voices: {self.model} has no {file}"


ENGINES = Family(
    "tts",
    {
        "hibari": "slamflow.tts.hibari:HibariSpeech",
        "kokoro": "slamflow.tts.kokoro:KokoroSpeech",
        "piper": "slamflow.tts.piper:PiperSpeech",
    },
    key="engine",
    default="hibari",
)
