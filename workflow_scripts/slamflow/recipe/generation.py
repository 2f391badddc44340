"""Continuations of spoken prompts, and how they are scored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from slamflow.recipe.base import Settings, Use
from slamflow.tokenizers import TOKENIZERS, TokenizerSettings

if TYPE_CHECKING:
    from slamflow.recipe.recipe import Recipe


class Sampling(Settings):
    """How a model continues a prompt; the defaults are those of SlamKit's settings, as they are today.

    The paper's Table 6 (arXiv:2502.15814) adds a repetition penalty of 1.1, which SlamKit's file had for a day."""

    prompts: Annotated[int, Field(ge=2)] = 100
    """How many utterances: the first ones in `order`. Of pairs of recordings only the right ones count."""
    order: Literal["hash", "name"] = "hash"
    """`hash`: as if drawn at random. `name`: by the number that ids begin with, and then by id, as SlamKit sorts
    files; published figures are of the first 1,000 right recordings of the spoken sStoryCloze."""
    prompt_seconds: Annotated[float, Field(gt=0)] = 3.0
    """Length of the prompt. The waveform is cut there, and then encoded."""
    temperature: Annotated[float, Field(gt=0)] = 0.8
    """Divides the logits."""
    top_k: Annotated[int, Field(ge=1)] = 25
    """How many of the likeliest tokens are drawn from."""
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    """Divides the positive logits of all tokens that BOS, prompt and continuation have so far, and multiplies the
    negative ones, before temperature and top_k, as transformers does. 1 is none; the published Slam has 1.1."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 150
    """A continuation ends here, or where the model ends the utterance."""
    seed: int = 0
    """Seed of the draws, mixed with the utterance's id."""


class Bootstrap(Settings):
    """Percentile intervals of the figures, from resampled utterances."""

    resamples: Annotated[int, Field(ge=100)] = 2000
    """How many resamples."""
    seed: int = 0
    """Seed of the draws."""


class Judge(Settings):
    """A language model that is asked how well continuations fit their prompts (GPTScore, as AlignSLM scores)."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$")]
    """The address below which there is `/chat/completions`, as OpenAI, vLLM, llama.cpp and others offer it, such as
    `http://127.0.0.1:8000/v1`. A token is taken from the environment, JUDGE_API_KEY, and nowhere else."""
    model: str
    """The model's name there; published figures are by `gpt-4o`."""
    temperature: Annotated[float, Field(ge=0)] | None = None
    """Of the answers; null leaves it to the endpoint, as SlamKit does."""


class Generation(Settings):
    """Continuations of held-out prompts by the models, between the true rest and its units shuffled."""

    corpus: str
    """The corpus whose test split is continued."""
    encoder: str
    """The encoder whose units the models speak."""
    models: Annotated[list[str], Field(min_length=1)] | None = None
    """The models that speak; null takes all of that encoder."""
    sampling: Sampling = Sampling()
    """How they continue."""
    recognizer: str = "whisper_tiny_en"
    """The CTranslate2 Whisper that transcribes: an asset."""
    text_model: str = "smollm2_135m_instruct"
    """The text model that scores transcripts: an asset or a folder."""
    judge: Judge | None = None
    """A language model that scores continuations from 1 to 5, over a network; null asks none."""
    bootstrap: Bootstrap = Bootstrap()
    """The intervals of the figures."""

    @property
    def reference(self) -> str:
        """The corpus/split that prompts are cut from."""
        return f"{self.corpus}/test"

    def uses(self) -> Iterator[Use]:
        """The splits that generation reads."""
        yield Use(self.reference, "audio", None, "generation")

    def problems(self, recipe: Recipe) -> Iterator[str]:
        """What keeps models from continuing: they need an encoder, its units and a vocoder for these."""
        if problem := recipe.reference_problem("generation.corpus", self.reference):
            yield problem
        if self.encoder not in recipe.encoders:
            yield f"generation.encoder: no encoder {self.encoder!r}"
            return
        if self.encoder not in recipe.vocoders:
            yield f"generation.encoder: no vocoder for the units of {self.encoder}; add it to vocoders"
        for name in self.models or []:
            if name not in recipe.models:
                yield f"generation.models: no model {name!r}; there are {', '.join(recipe.models)}"
            elif recipe.encoder_of(name) != self.encoder:
                yield f"generation.models: {name} does not speak units of {self.encoder}"


class ContinueSpeech(Settings):
    """Settings of one continue_speech job."""

    model: str
    """Its name in the recipe, or `truth` or `shuffled`."""
    corpus: str
    """The corpus/split of the prompts, for the list of them."""
    holds: Literal["stories", "pairs", "recordings", "preferences"]
    """What that corpus holds."""
    encoder: Annotated[TokenizerSettings, TOKENIZERS]
    sampling: Sampling


class ScoreContinuations(Settings):
    """Settings of one score_continuations job."""

    apart: bool = False
    """Transcribe prompt and continuation each by itself too, for a judge."""
    bootstrap: Bootstrap = Bootstrap()


class JudgeContinuations(Settings):
    """Settings of one judge_continuations job."""

    judge: Judge
    bootstrap: Bootstrap = Bootstrap()
