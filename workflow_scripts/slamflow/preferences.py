"""Preference pairs from stories whose parts were spoken and encoded apart, or that were published as speech.

After SpokenSwag (Maimon et al. 2025, arXiv:2502.15814): a prompt, its right ending, a wrong one; stories that repeat
themselves are left out.
"""

from __future__ import annotations

from collections import Counter

from slamflow.benchmarks.pairs import Record, Spoken
from slamflow.benchmarks.story_pairs import other_endings, wrong_details
from slamflow.errors import InputError
from slamflow.generation.auto_bleu import auto_bleu
from slamflow.recipe.preferences import BuildPreferences
from slamflow.shards.items import Item, Units
from slamflow.shards.pairs import PreferencePair


def build(
    settings: BuildPreferences, stories: list[Record], spoken: dict[str, Spoken]
) -> tuple[list[PreferencePair], dict[str, int]]:
    """The pairs of some stories, sorted by id, and why other stories were left out.

    Raises InputError if nothing is left.
    """
    left_out: Counter[str] = Counter()
    usable = []
    for story in stories:
        if auto_bleu(f"{story['prompt']} {story['ending']}") > settings.max_auto_bleu:
            left_out["repeats_itself"] += 1
        else:
            usable.append(story)
    ways = {
        "detail": lambda: wrong_details(usable, spoken),
        "other_story": lambda: other_endings(usable, spoken, settings.seed),
    }
    pairs = []
    for negative in settings.negatives:
        items, reasons = ways[negative]()
        left_out.update(reasons)
        pairs += [_split(item, negative, spoken[f"{item.id}.prompt"].units) for item in items]
    if not pairs:
        reasons_given = ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "no stories"
        raise InputError(f"no preference pair from {len(stories)} stories ({reasons_given})")
    return sorted(pairs, key=lambda pair: pair.id), {name: count for name, count in sorted(left_out.items()) if count}


def _split(item: Item, negative: str, prompt: Units) -> PreferencePair:
    """The endings of a pair of whole sequences: what comes after the prompt."""
    return PreferencePair(f"{item.id}.{negative}", prompt, item.good[len(prompt) :], item.bad[len(prompt) :])
