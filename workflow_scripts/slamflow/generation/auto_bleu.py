"""How often a text repeats itself."""

from __future__ import annotations

from collections import Counter

from nltk.tokenize import NLTKWordTokenizer

_tokenizer = NLTKWordTokenizer()


def auto_bleu(text: str, n: int = 2) -> float:
    """Share of a text's n-grams that occur in it more than once; 0 for a text without any.

    Auto-BLEU of Lakhotia et al. 2021 (arXiv:2102.01192), section 3.2, on the words and marks of NLTK's tokenizer.
    """
    tokens = _tokenizer.tokenize(text)
    grams = Counter(zip(*(tokens[start:] for start in range(n)), strict=False))
    total = sum(grams.values())
    return sum(count for count in grams.values() if count > 1) / total if total else 0.0
