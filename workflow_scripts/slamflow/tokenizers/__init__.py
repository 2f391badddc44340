"""Speech tokenizers: waveforms to units. Each kind is a module; what they share is here.

A kind's module has a settings class and one function:

    load(settings, model, codebook, device, batch_seconds) -> SpeechTokenizer

`model` is the folder with the weights of the kind, `codebook` its file of centroids. A kind whose units are the nearest
centroids of frames derives from `FrameTokenizerSettings`, and has in its place

    load_encoder(settings, model, device) -> StateEncoder

The protocols are in slamflow.tokenizers.tokenizer and slamflow.tokenizers.frames.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from slamflow.kinds import Family
from slamflow.recipe.base import SectionSettings, Settings, Use

if TYPE_CHECKING:
    from slamflow.jobs.sources import Sources
    from slamflow.recipe.recipe import Recipe


class TokenizerSettings(SectionSettings):
    """What turns speech into units."""

    about: ClassVar[str]
    """What its units are, as sentences for the page."""
    is_comparable: ClassVar[bool] = True
    """Whether scores on its units may stand in a table with published ones, which are of units learned without text."""
    is_recognizer: ClassVar[bool] = False
    """Whether it is of the model that also transcribes resynthesis and continuations."""
    kind: str
    """The kind of tokenizer."""
    clusters: Annotated[int, Field(ge=2, le=65000)] = 500
    """How many units."""
    max_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """Longer audio is set aside and listed."""
    codebook: str | None = None
    """A given codebook: asset:NAME/FILE or a path (safetensors, npy, or a scikit-learn k-means pickle,
    which is read without executing it). `textless:NAME` is the one that textlesslib has under that name."""

    @property
    @abstractmethod
    def tick_hz(self) -> float:
        """Ticks per second, in which the durations of units are counted."""

    @property
    @abstractmethod
    def units_per_second(self) -> float:
        """About how many deduplicated units a second of speech gives, for the estimate."""

    @property
    def is_fitted(self) -> bool:
        """Whether the recipe fits a codebook for it."""
        return False

    def for_extraction(self) -> Self:
        """The settings that units depend on, the codebook being given as a file."""
        return self.model_copy(update={"codebook": None})

    def files(self, sources: Sources) -> list[str]:  # noqa: ARG002
        """The files that it reads besides the codebook."""
        return []

    def codebook_file(self, sources: Sources) -> list[str]:
        """The codebook, if it is given as a file."""
        return sources.file(self.codebook)

    def file_problems(self, key: str, sources: Sources) -> Iterator[str]:
        if self.codebook is not None:
            yield from sources.file_problems(f"{key}.codebook", self.codebook)

    def gflop_per_second(self) -> float | None:
        """Operations (1e9) for a second of speech on an accelerator; None where it runs on a CPU."""
        return None

    def seconds_per_core_second(self) -> float | None:
        """Seconds of speech that one core encodes in a second; None if that is not known or it needs an accelerator."""
        return None


class FitSettings(Settings):
    """K-means over frames of speech."""

    corpora: Annotated[list[str], Field(min_length=1)]
    """The corpora, as corpus/split, whose speech the codebook is fitted on."""
    hours: Annotated[float, Field(gt=0)] = 0.5
    """How much speech of them, taken in the order of a hash of the ids."""
    seed: int = 0
    """Seed of the k-means."""


class FrameTokenizerSettings(TokenizerSettings):
    """Frames at a constant rate, each of which becomes the unit of its nearest centroid."""

    frame_rate_hz: Annotated[float, Field(gt=0)] = 25.0
    """Frames per second after averaging neighboring frames; must divide the encoder's own rate."""
    window_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Longer audio is cut in windows of this length, each encoded as a file of its own (Whisper takes at most 30)."""
    standardize: bool = True
    """Give each feature mean 0 and variance 1, as measured on the fitting speech, before the k-means.
    A given codebook is taken as it is."""
    fit: FitSettings | None = None
    """Fit a codebook; or give one with `codebook`."""

    @property
    def tick_hz(self) -> float:
        return self.frame_rate_hz

    @property
    def units_per_second(self) -> float:
        # Libri-Light gives 3.5e9 units in 50,000 h at 25 Hz, 19.4 of 25 a second (Maimon et al. 2025, table 8). The
        # pocket's Whisper units: 17.2 of 25, measured.
        return 0.78 * self.frame_rate_hz

    @property
    def is_fitted(self) -> bool:
        return self.fit is not None

    def for_extraction(self) -> Self:
        return self.model_copy(update={"fit": None, "codebook": None})

    def uses(self, name: str, recipe: Recipe) -> Iterator[Use]:  # noqa: ARG002
        for reference in self.fit.corpora if self.fit else []:
            yield Use(reference, "audio", None, f"encoders.{name}.fit")

    def problems(self, name: str, recipe: Recipe) -> Iterator[str]:
        if (self.fit is None) == (self.codebook is None):
            yield f"encoders.{name}: give either fit or codebook"
        for reference in self.fit.corpora if self.fit else []:
            if problem := recipe.reference_problem(f"encoders.{name}.fit.corpora", reference):
                yield problem


class NetworkTokenizerSettings(FrameTokenizerSettings):
    """Frames that are states of a network."""

    # Left out of what jobs are told at its default: so the results of earlier versions stay as they are.
    precision: Annotated[Literal["fp32", "tf32", "bf16"], Field(exclude_if=lambda value: value == "fp32")] = "fp32"
    """Arithmetic of the network. `tf32` rounds what goes into products of matrices to 10 bits, on a GPU (a CPU computes
    in fp32 then); `bf16` to 7 bits, on both. Units differ a little from those in fp32: the manifests of unit shards say
    how much (`against_fp32`). Another precision makes other units, and so another codebook."""


TOKENIZERS = Family(
    "tokenizers",
    {
        "whisper": "slamflow.tokenizers.whisper:WhisperTokenizer",
        "hubert": "slamflow.tokenizers.hubert:HubertTokenizer",
        "logmel": "slamflow.tokenizers.logmel:LogMelTokenizer",
        "textless": "slamflow.tokenizers.textless:TextlessTokenizer",
    },
)
