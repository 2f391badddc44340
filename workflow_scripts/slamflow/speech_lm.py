"""A trained speech language model as a Python object: encode speech, tell its likelihood, continue it.

>>> model = SpeechLM.from_pretrained("results/models/pocket/aligned")
>>> units = model.encode("prompt.wav")
>>> good, bad = model.log_likelihood(["good.wav", "bad.wav"])
>>> speech = model.continue_speech("prompt.wav", seconds=3, max_new_tokens=150, temperature=0.8, top_k=25)
>>> speech.save("out.wav")
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from transformers import PreTrainedModel

from slamflow.audio import SAMPLE_RATE, AudioError, decode
from slamflow.errors import InputError
from slamflow.files import sha256_file
from slamflow.generation.sampling import continue_units
from slamflow.lm.model import load_language_model
from slamflow.lm.package import CODEBOOK
from slamflow.lm.speech import read_speech
from slamflow.recipe.generation import Sampling
from slamflow.scorers.language_model import LanguageModelScorer, read_vocabulary
from slamflow.tokenizers import TOKENIZERS
from slamflow.tokenizers.tokenizer import SpeechTokenizer, load_tokenizer
from slamflow.vocabulary import Vocabulary
from slamflow.vocoders.vocoder import UnitVocoder, load_vocoder

Units = npt.NDArray[np.integer[Any]]
SpeechLike = str | Path | npt.NDArray[np.floating[Any]]
"""An audio file, or a waveform: float [samples] in [-1, 1], mono, 16 kHz."""

FILES = ("*.json", "*.safetensors", "encoder/*", "vocoder/*")
"""What is downloaded of a model on the hub."""


@dataclass(frozen=True)
class Speech:
    """A prompt and its continuation, spoken in one voice."""

    wave: npt.NDArray[np.float32]
    """float32 [samples] in (-1, 1), 16 kHz."""
    units: Units
    """Deduplicated units of prompt and continuation, [n]."""
    prompt_units: int
    """How many of the units are the prompt's."""
    prompt_seconds: float
    """How long the prompt lasts in `wave`."""
    ended: bool
    """Whether the model ended the utterance itself."""

    @property
    def continuation(self) -> npt.NDArray[np.float32]:
        """The waveform behind the prompt."""
        return self.wave[round(self.prompt_seconds * SAMPLE_RATE) :]

    def save(self, path: str | Path) -> None:
        """Write an audio file; the ending says the format (wav, flac, ogg, mp3). Raises InputError for another one."""
        try:
            soundfile.write(path, self.wave, SAMPLE_RATE)
        except (soundfile.LibsndfileError, TypeError, ValueError) as error:
            raise InputError(f"{path}: cannot be written ({error})") from None

    def _repr_html_(self) -> str:
        """A player, for notebooks."""
        from slamflow.report.sound import player

        return f'<audio controls src="{player(self.wave)}"></audio>'


class SpeechLM:
    """A language model of speech units with its tokenizer and, if it has one, its vocoder.

    Computes in float32 on `device`. The tokenizer and the vocoder are loaded when they are first needed.
    """

    def __init__(self, folder: Path, model: PreTrainedModel, about: dict[str, Any], vocabulary: Vocabulary) -> None:
        """Use `from_pretrained`."""
        self.folder = folder
        self.model = model
        self.about = about
        self.vocabulary = vocabulary
        self._scorer = LanguageModelScorer(model, vocabulary)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, device: torch.device | str | None = None, revision: str | None = None
    ) -> SpeechLM:
        """Load a model's folder, as the workflow writes it, or a copy of it; or a model of the Hugging Face hub.

        name: a folder, or owner/name on the hub (HF_ENDPOINT and HF_TOKEN are heeded); revision: a commit there;
        device: CUDA if there is one, else the CPU. Raises InputError if there is no model of speech units.
        """
        folder = Path(name)
        if not folder.is_dir():
            folder = _download(str(name), revision)
        about, _ = read_speech(folder)
        model = load_language_model(folder, device or ("cuda" if torch.cuda.is_available() else "cpu"))
        return cls(folder, model, about, read_vocabulary(folder, model))

    @cached_property
    def tokenizer(self) -> SpeechTokenizer:
        """What turns speech into the model's units. Raises InputError if the folder lacks it, or has another one."""
        codebook = self.folder / CODEBOOK
        if self.about["tokenizer"] is None or not codebook.is_file():
            raise InputError(f"{self.folder}: the model comes without its tokenizer ({CODEBOOK}); run package_model")
        if sha256_file(codebook) != self.about["codebook_sha256"]:
            raise InputError(f"{codebook}: is not the codebook that the model was trained with; copy its folder again")
        network = self.folder / "encoder"
        settings = TOKENIZERS.validate(self.about["tokenizer"])
        return load_tokenizer(settings, network if network.is_dir() else None, codebook, self.model.device)

    @cached_property
    def vocoder(self) -> UnitVocoder:
        """What speaks the model's units. Raises InputError if the folder has none."""
        folder = self.folder / "vocoder"
        if not folder.is_dir():
            raise InputError(f"{self.folder}: the model comes without a vocoder, so it cannot speak")
        return load_vocoder(folder)

    def encode(self, speech: SpeechLike) -> Units:
        """Deduplicated units of an audio file or a waveform, [n].

        Raises InputError for speech that cannot be used, with the reason.
        """
        where, wave = _waveform(speech)
        return self._encode(where, wave)

    def log_likelihood(self, items: Sequence[SpeechLike | Units], per_token: bool = False) -> npt.NDArray[np.float64]:
        """Log-likelihood of each item under the model, in nats: float64 [items].

        items: audio files, waveforms, or arrays of units (integers). An item is read as BOS, units, EOS, and the sum is
        over the units and EOS (of a published model, over what its own documents score); `per_token` divides it by
        their number, as benchmarks of minimal pairs do. Raises InputError for an item that cannot be used.
        """
        sequences = [self._units_of(item) for item in items]
        sums, counts = self._scorer.nll(sequences)
        return -sums / counts if per_token else -sums

    def continue_speech(
        self,
        prompt: SpeechLike,
        seconds: float | None = None,
        max_new_tokens: int = 150,
        temperature: float = 0.8,
        top_k: int = 25,
        seed: int = 0,
        repetition_penalty: float = 1.0,
    ) -> Speech:
        """Continue a spoken prompt, and speak both with the model's vocoder. The same arguments give the same speech.

        seconds: take only the beginning of the prompt; max_new_tokens: units of the continuation at most;
        temperature: divides the logits; top_k: how many of the likeliest tokens are drawn from;
        repetition_penalty: makes units less likely that were said before, 1 does not. The defaults are SlamKit's; Slam
        (Maimon et al. 2025) was evaluated with a penalty of 1.1. Raises InputError for a prompt that cannot be used,
        or is too long for the model.
        """
        where, wave = _waveform(prompt)
        if seconds is not None:
            wave = wave[: round(seconds * SAMPLE_RATE)]
        heard = self._encode(where, wave)
        sampling = Sampling(
            temperature=temperature,
            top_k=top_k,
            max_new_tokens=max_new_tokens,
            seed=seed,
            repetition_penalty=repetition_penalty,
        )
        [continuation] = continue_units(self.model, self.vocabulary, ["prompt"], [heard], sampling)
        units = np.concatenate([heard, continuation.units])
        durations = self.vocoder.durations(units)
        spoken = self.vocoder(units, durations)
        prompt_seconds = float(durations[: len(heard)].sum() / self.vocoder.frame_rate_hz)
        return Speech(spoken, units, len(heard), prompt_seconds, continuation.ended)

    def _units_of(self, item: SpeechLike | Units) -> Units:
        if isinstance(item, np.ndarray) and np.issubdtype(item.dtype, np.integer):
            return cast(Units, item)
        return self.encode(cast(SpeechLike, item))

    def _encode(self, where: str, wave: npt.NDArray[np.float32]) -> Units:
        try:
            self.tokenizer.check(len(wave))
        except AudioError as error:
            raise InputError(f"{where}: {error}") from None
        [encoded] = self.tokenizer.encode([wave])
        if isinstance(encoded, str):
            raise InputError(f"{where}: {encoded}")
        return encoded.units


def _waveform(speech: SpeechLike) -> tuple[str, npt.NDArray[np.float32]]:
    """What to call speech in a message, and its waveform. Raises InputError for what is none."""
    if isinstance(speech, np.ndarray):
        if speech.ndim != 1 or not np.issubdtype(speech.dtype, np.floating) or not np.isfinite(speech).all():
            raise InputError(
                f"a waveform is a float array [samples] of finite numbers, mono, {SAMPLE_RATE} Hz; this one is "
                f"{speech.dtype} {list(speech.shape)}"
            )
        return "the waveform", np.ascontiguousarray(speech, dtype=np.float32)
    try:
        return str(speech), decode(Path(speech).read_bytes())
    except OSError as error:
        raise InputError(f"{speech}: cannot be opened ({error.strerror})") from None
    except AudioError as error:
        raise InputError(f"{speech}: {error}") from None


def _download(name: str, revision: str | None) -> Path:
    """The folder of a model of the hub, in the hub's cache. Raises InputError if it cannot be had."""
    import huggingface_hub

    from slamflow.assets.hub import explain

    token = os.environ.get("HF_TOKEN")
    try:
        found = huggingface_hub.snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(FILES),
            endpoint=os.environ.get("HF_ENDPOINT"),
            token=token or False,
        )
    except huggingface_hub.errors.HFValidationError:
        raise InputError(f"{name}: no such folder, and not owner/name of a model on the hub") from None
    except Exception as error:
        reason = explain(error, name, "", revision or "main", token is not None)
        if reason is None:
            raise
        raise InputError(f"{name}: no such folder; on the hub: {reason}") from None
    return Path(found)
