"""Whose work is in a model, under which terms, and what follows for the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slamflow.recipe.recipe import Recipe
from slamflow.recipe.report import UsedAsset

PERMISSIVE = ("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "CC0-1.0", "Unlicense")
RESULTS_ARE_FREE = ("CDLA-Sharing-1.0",)
"""Terms that ask to share changed data alike, and nothing of what is computed from them."""
ATTRIBUTION = ("CC-BY-",)
LIMITED = ("-NC", "-ND", "-SA", "GPL", "NonCommercial", "Community License")
EVALUATION_KEYS = ("recognizer", "text_model", "dnsmos")
"""Keys of what is used for evaluation only: nothing of it gets into a model."""


@dataclass(frozen=True)
class Source:
    """Somebody else's work that a run used."""

    name: str
    licence: str
    citation: str
    role: str
    in_model: bool
    """Whether models, or the vocoder, are made of it or of what it gave."""


KOKORO_EXAMPLES = Source(
    "examples/ of this repository", "Apache-2.0", "spoken with Kokoro-82M (hexgrad), an asset", "recordings", True
)
PHONES = Source(
    "hama", "Apache-2.0", "hama, version 1.7.0 (Python package)", "phone recognizer, for evaluation only", False
)


def sources(recipe: Recipe, assets: dict[str, UsedAsset], is_vocoder_scored: bool) -> list[Source]:
    """Assets and programs that a recipe used. A vocoder is scored with hama."""
    result = [
        Source(name, asset.licence, asset.citation, ", ".join(asset.keys), not all(map(_is_evaluation, asset.keys)))
        for name, asset in assets.items()
    ]
    engines = [corpus.engine for corpus in recipe.corpora.values() if corpus.engine is not None]
    programs = dict.fromkeys(program for engine in engines for program in engine.programs)
    result += [Source(**program._asdict()) for program in programs]
    if any((getattr(corpus, "path", None) or "").startswith("examples/") for corpus in recipe.corpora.values()):
        result.append(KOKORO_EXAMPLES)
    return [*result, PHONES] if is_vocoder_scored else result


def _is_evaluation(key: str) -> bool:
    return key.rpartition(".")[2] in EVALUATION_KEYS


def consequences(used: Iterable[Source]) -> list[str]:
    """What the terms mean for the trained models, as sentences."""
    inside = [source for source in used if source.in_model]
    if not inside:
        return ["The models are made of nothing from outside: you choose their licence."]
    limited = [source for source in inside if any(word in source.licence for word in LIMITED)]
    credit = [source for source in inside if source not in limited and source.licence.startswith(ATTRIBUTION)]
    free = [source for source in inside if source not in limited and source.licence in PERMISSIVE + RESULTS_ARE_FREE]
    unknown = [source for source in inside if source not in limited + credit + free]
    lines = []
    if free and not limited and not unknown:
        terms = " and ".join(dict.fromkeys(source.licence for source in free))
        lines.append(
            f"All sources of the models are under {terms}: the models may be shared, changed and used in products, "
            "if you keep the notices and name the sources below."
        )
    if credit:
        lines.append(f"Attribution is required for {_names(credit)}: name author, licence and what you changed.")
    if limited:
        lines.append(
            f"Restricted: {_names(limited)}. Assume that the trained models carry the same restrictions "
            "(no commercial use, share-alike, or rules on use and names) unless you have other permission."
        )
    if unknown:
        lines.append(f"Read the terms of {_names(unknown)} before you share a model trained with it.")
    return lines


def _names(items: list[Source]) -> str:
    return ", ".join(f"{source.name} ({source.licence})" for source in items)
