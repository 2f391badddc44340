"""Whose work is in a model, under which terms, and what follows for the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from slamflow.settings.report import UsedAsset

PERMISSIVE = ("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "CC0-1.0", "Unlicense")
RESULTS_ARE_FREE = ("CDLA-Sharing-1.0",)
"""Terms that ask to share changed data alike, and nothing of what is computed from them."""
ATTRIBUTION = ("CC-BY-",)
LIMITED = ("-NC", "-ND", "-SA", "GPL", "NonCommercial")
JUDGES = ("recognizer", "text_model")
"""Keys of what only judges: nothing of it gets into a model."""


@dataclass(frozen=True)
class Source:
    """Somebody else's work that a run used."""

    name: str
    licence: str
    citation: str
    role: str
    in_model: bool
    """Whether models, or the vocoder, are made of it or of what it gave."""


PROGRAMS = {
    "hibari": Source("hibari-tts", "Apache-2.0", "hibari-tts, version 0.2.1 (Python package)", "voice", True),
    "piper": Source("piper-tts", "GPL-3.0-or-later", "Piper, version 1.8.0 (program)", "speaks the voices", False),
}
"""Speech engines that are programs and no assets. What a program under the GPL puts out is not under the GPL."""
KOKORO_EXAMPLES = Source(
    "examples/ of this repository", "Apache-2.0", "spoken with Kokoro-82M (hexgrad), an asset", "recordings", True
)
PHONES = Source("hama", "Apache-2.0", "hama, version 1.7.0 (Python package)", "phone recogniser, judges only", False)


def sources(recipe: dict[str, Any], assets: dict[str, UsedAsset], vocoder: bool) -> list[Source]:
    """Assets and programs that a recipe used; `vocoder`: whether one was judged, with hama."""
    result = [
        Source(name, asset.licence, asset.citation, ", ".join(asset.keys), not all(map(_judges, asset.keys)))
        for name, asset in assets.items()
    ]
    speech = [corpus.get("speech") or {} for corpus in recipe["corpora"].values()]
    engines = dict.fromkeys(settings["engine"] for settings in speech if "engine" in settings)
    result += [PROGRAMS[name] for name in engines if name in PROGRAMS]
    if any((corpus.get("path") or "").startswith("examples/") for corpus in recipe["corpora"].values()):
        result.append(KOKORO_EXAMPLES)
    return [*result, PHONES] if vocoder else result


def _judges(key: str) -> bool:
    return key.rpartition(".")[2] in JUDGES


def consequences(used: Iterable[Source]) -> list[str]:
    """What the terms mean for the trained models, as sentences."""
    inside = [source for source in used if source.in_model]
    if not inside:
        return ["Nothing from outside went into the models: their terms are yours to choose."]
    limited = [source for source in inside if any(word in source.licence for word in LIMITED)]
    credit = [source for source in inside if source not in limited and source.licence.startswith(ATTRIBUTION)]
    free = [source for source in inside if source not in limited and source.licence in PERMISSIVE + RESULTS_ARE_FREE]
    unknown = [source for source in inside if source not in limited + credit + free]
    lines = []
    if free and not limited and not unknown:
        terms = " and ".join(dict.fromkeys(source.licence for source in free))
        lines.append(
            f"What the models are made of is under {terms}: they may be shared, changed and used in products, "
            "if you keep the notices and name the sources below."
        )
    if credit:
        lines.append(f"Credit is a duty for {_names(credit)}: name the author, the licence and what you changed.")
    if limited:
        lines.append(
            f"Not free of limits: {_names(limited)}. Take it that the trained models carry the same limits "
            "(no commercial use, or the same licence for what is derived) unless you have other permission."
        )
    if unknown:
        lines.append(f"Read the terms of {_names(unknown)} before you share a model trained with it.")
    return lines


def _names(items: list[Source]) -> str:
    return ", ".join(f"{source.name} ({source.licence})" for source in items)
