"""Error rates of recognized sequences, and how texts are made comparable."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache

from rapidfuzz.distance import Levenshtein
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer


@lru_cache(maxsize=1)
def _normalizer() -> EnglishTextNormalizer:
    return EnglishTextNormalizer({})


def words(text: str) -> list[str]:
    """The words of an English text as Whisper's authors compare them: no case, no punctuation, numbers as digits.

    Radford et al. 2022 (arXiv:2212.04356), appendix C; British spellings are left as they are.
    """
    # A lone full stop outlives the normalizer, which keeps points for the sake of numbers.
    return [word for word in str(_normalizer()(text)).split() if any(map(str.isalnum, word))]


def errors(reference: Sequence[Hashable], recognized: Sequence[Hashable]) -> int:
    """Least number of substitutions, deletions and insertions that turn one sequence into the other."""
    return Levenshtein.distance(reference, recognized)


def error_rate(references: Sequence[Sequence[Hashable]], recognized: Sequence[Sequence[Hashable]]) -> float:
    """Errors of all utterances over the length of all references; may exceed 1. Raises ValueError without any."""
    length = sum(len(reference) for reference in references)
    if not length:
        raise ValueError("no reference has any words or phones")
    pairs = zip(references, recognized, strict=True)
    return sum(errors(reference, heard) for reference, heard in pairs) / length
