"""The tokens of a language model of speech, of text, or of both: the one place that knows ids and offsets.

The ids are SlamKit's: PAD is 0, BOS and EOS are both 1, unit u is u + 2. Text alone lies there in the same way; where a
model has units and text, the text lies behind the units, and behind that two marks that say which of the two follows.
A document is BOS, its tokens, EOS. Rows and models carry their vocabulary (manifest.json, speech.json).

A published model may have other ids, no BOS, or score documents without EOS: then its vocabulary has another `Layout`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slamflow.errors import InputError

if TYPE_CHECKING:
    from slamflow.recipe.datasets import VocabularySettings

PAD, BOS, EOS = 0, 1, 1
FIRST = 2
"""The first id that is no special token."""
CONFIG_IDS = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
"""The special tokens by the keys of a transformers configuration."""
BYTES = "bytes"
"""The text tokenizer that takes UTF-8 as it is."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Where special tokens and units lie, and which of them a document has."""

    pad: int = PAD
    """Fills rows; no figure depends on it."""
    bos: tuple[int, ...] = (BOS,)
    """What a document begins with: given, never scored. Empty for a model without BOS."""
    eos: int | None = EOS
    """What ends an utterance; None for a model that ends none."""
    ends: bool = True
    """Whether a document ends in EOS, which is then scored. If not, only a continuation may end in it."""
    first_unit: int = FIRST
    """The token of unit 0."""
    unpredicted: tuple[int, ...] = ()
    """Tokens that are read and never predicted: their logits are taken for -inf."""

    @classmethod
    def read(cls, special: dict[str, Any], first_unit: int | None) -> Layout:
        """The layout in a record. Raises KeyError or TypeError for another record."""
        bos, eos = special["bos"], special["eos"]
        several = () if bos is None else (bos,) if isinstance(bos, int) else tuple(bos)
        ends = special.get("ends", eos is not None)
        first = FIRST if first_unit is None else first_unit
        return cls(special["pad"], several, eos, ends, first, tuple(special.get("unpredicted", ())))

    def record(self) -> dict[str, Any]:
        """The special tokens as JSON values; bos is an id, several, or null.

        `ends` stands there if it is False, `unpredicted` if there are any.
        """
        found: dict[str, Any] = {"pad": self.pad, "bos": list(self.bos) or None, "eos": self.eos}
        if len(self.bos) == 1:
            found["bos"] = self.bos[0]
        if not self.ends and self.eos is not None:
            found["ends"] = False
        if self.unpredicted:
            found["unpredicted"] = list(self.unpredicted)
        return found


OWN = Layout()
"""Of all models that are trained here on rows, and of SlamKit's."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of rows, or of a model."""

    units: int = 0
    """How many units of speech there are."""
    text: str | None = None
    """The text tokenizer: `bytes`, the folder of a transformers tokenizer, or None for no text."""
    text_tokens: int = 0
    """How many tokens the text tokenizer has."""
    layout: Layout = OWN
    """Another one only where there are units alone."""

    @classmethod
    def of(cls, settings: VocabularySettings) -> Vocabulary:
        """The vocabulary that settings describe."""
        known = 256 if settings.text == BYTES else 0
        return cls(settings.units, settings.text, settings.text_tokens or known)

    @classmethod
    def of_size(cls, size: int) -> Vocabulary:
        """The vocabulary of units alone that has `size` tokens."""
        return cls(units=size - FIRST)

    @classmethod
    def read(cls, record: Any, where: object) -> Vocabulary:
        """The vocabulary in a manifest or in speech.json. Raises InputError that names the file `where`."""
        try:
            layout = Layout.read(record["special"], record["first_unit"])
            found = cls(record["units"], record["text"], record["text_tokens"], layout)
            if found.record() == record:
                return found
        except (KeyError, TypeError):
            pass
        raise InputError(f"{where}: has no vocabulary that this version reads; make it again")

    def record(self) -> dict[str, Any]:
        """The vocabulary as JSON values."""
        return {
            "units": self.units,
            "text": self.text,
            "text_tokens": self.text_tokens,
            "size": self.size,
            "special": self.layout.record(),
            "first_unit": self.first_unit if self.units else None,
            "first_text": self.first_text if self.text_tokens else None,
            "marks": {"speech": self.speech_mark, "text": self.text_mark} if self.is_mixed else None,
        }

    @property
    def is_mixed(self) -> bool:
        """Whether there are units and text, and so marks between them."""
        return bool(self.units and self.text_tokens)

    @property
    def first_unit(self) -> int:
        """The token of unit 0."""
        return self.layout.first_unit

    @property
    def first_text(self) -> int:
        """The token of the text tokenizer's id 0."""
        return self.first_unit + self.units

    @property
    def speech_mark(self) -> int:
        """The token before a stretch of units, in a mixed vocabulary."""
        return self.first_text + self.text_tokens

    @property
    def text_mark(self) -> int:
        """The token before a stretch of text, in a mixed vocabulary."""
        return self.speech_mark + 1

    @property
    def size(self) -> int:
        """How many tokens there are; a published model may have others behind them."""
        special = max((self.layout.pad, *self.layout.bos, self.layout.eos or 0)) + 1
        return max(self.speech_mark + 2 * self.is_mixed, special)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type, from uint16 up, that holds every token."""
        return np.dtype(np.uint16 if self.size <= 1 << 16 else np.uint32)

    @property
    def unit_dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type, from uint16 up, that holds every unit."""
        return np.dtype(np.uint16 if self.units <= 1 << 16 else np.uint32)

    def of_units(self, units: npt.ArrayLike) -> Ints:
        """The tokens of units; int64 of the same shape. Raises InputError for a unit that there is not."""
        values = np.asarray(units, dtype=np.int64)
        outside = values[(values < 0) | (values >= self.units)]
        if outside.size:
            raise InputError(
                f"unit {outside[0]} is outside a vocabulary of {self.units} units (tokens up to {self.size - 1}); "
                "was it made with another codebook?"
            )
        return values + self.first_unit

    def of_text_ids(self, ids: npt.ArrayLike) -> Ints:
        """The tokens of the text tokenizer's ids (of bytes, their values); int64 of the same shape."""
        values = np.asarray(ids, dtype=np.int64)
        outside = values[(values < 0) | (values >= self.text_tokens)]
        if outside.size:
            raise InputError(f"text token {outside[0]} is outside a vocabulary of {self.text_tokens} text tokens")
        return values + self.first_text

    def is_unit(self, tokens: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which tokens are units."""
        values = np.asarray(tokens)
        return (values >= self.first_unit) & (values < self.first_unit + self.units)

    def to_units(self, tokens: npt.ArrayLike) -> npt.NDArray[Any]:
        """The units of tokens that all are units."""
        return (np.asarray(tokens, dtype=np.int64) - self.first_unit).astype(self.unit_dtype)

    @property
    def pad(self) -> int:
        """What fills rows."""
        return self.layout.pad

    @property
    def eos(self) -> int | None:
        """What ends a continuation; None if nothing does."""
        return self.layout.eos

    def given(self, tokens: int = 0) -> int:
        """How many tokens of a document are given and not scored, if its first `tokens` behind BOS are.

        The first token of all is never scored, since nothing is before it: where there is no BOS, that is a unit.
        """
        return max(1, len(self.layout.bos) + tokens)

    def beginning(self, tokens: npt.ArrayLike) -> Ints:
        """What a continuation goes on from: BOS, if there is one, and the tokens; int64 [len(bos) + n]."""
        return np.concatenate([np.array(self.layout.bos, dtype=np.int64), np.asarray(tokens, dtype=np.int64)])

    def document(self, tokens: npt.ArrayLike) -> Ints:
        """BOS, the tokens, EOS, as far as documents have them: int64 [n + 2] for models that are trained here."""
        end = [self.layout.eos] if self.layout.ends and self.layout.eos is not None else []
        return np.concatenate([self.beginning(tokens), np.array(end, dtype=np.int64)])

    def documents(self, tokens: Ints, lengths: Ints) -> tuple[npt.NDArray[Any], Ints]:
        """Several documents, each between BOS and EOS; those without a token are left out.

        Parameters: the `tokens` of all documents end to end, and the `lengths` of the documents. Returns the tokens
        with BOS and EOS, in `dtype`, and the lengths with these two, int64. Raises InputError for a layout that is not
        OWN: rows are written for models that are trained here.
        """
        if self.layout != OWN:
            raise InputError("rows are packed with the special tokens of models that are trained here only")
        lengths = lengths[lengths > 0] + 2
        result = np.full(int(lengths.sum()), BOS, dtype=self.dtype)
        ends = np.cumsum(lengths)
        inner = np.ones(result.size, dtype=bool)
        inner[ends - lengths] = inner[ends - 1] = False
        result[ends - 1] = EOS
        result[inner] = tokens
        return result, lengths

    def text_encoder(self) -> Callable[[list[str]], list[Ints]]:
        """A function that gives the text tokenizer's ids of each of some texts, int64, without special tokens.

        Raises InputError if the tokenizer cannot be read or has another number of tokens.
        """
        if self.text == BYTES:
            return lambda texts: [np.frombuffer(text.encode(), np.uint8).astype(np.int64) for text in texts]
        if self.text is None:
            raise InputError("the vocabulary has no text")
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.text, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.text}: cannot be read as a transformers tokenizer: {error}") from None
        if len(tokenizer) != self.text_tokens:
            raise InputError(f"{self.text}: has {len(tokenizer)} tokens; text_tokens says {self.text_tokens}")

        def encode(texts: list[str]) -> list[Ints]:
            found = tokenizer(texts, add_special_tokens=False)["input_ids"]
            return [np.array(ids, dtype=np.int64) for ids in found]

        return encode
