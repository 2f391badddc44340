"""Pairs of a right and a wrong ending, from stories whose parts were spoken apart."""

from __future__ import annotations

from collections import Counter, defaultdict

from slamflow.benchmarks.pairs import Record, Spoken
from slamflow.sharding import stable_hash
from slamflow.shards.items import Item
from slamflow.tokenizers.sequences import join

STORY_KEYS = ("id", "prompt", "ending")


def different_partners(stories: list[Record], seed: int) -> list[tuple[Record, Record]]:
    """Pair up stories such that two partners end in different words; each story is in one pair at most.

    As many pairs as can be: only where one ending is that of more than half the stories, or their number is odd,
    some stay alone. The order, and so the choice, depends on the ids and the seed only.
    """
    by_ending: dict[str, list[Record]] = defaultdict(list)
    for story in sorted(stories, key=lambda story: stable_hash(f"{seed}:{story['id']}")):
        by_ending[story["ending"]].append(story)
    count = len(stories)
    while by_ending and (count % 2 or max(map(len, by_ending.values())) > count // 2):
        largest = max(by_ending, key=lambda ending: len(by_ending[ending]))
        by_ending[largest].pop()
        if not by_ending[largest]:
            del by_ending[largest]
        count -= 1
    # Equal endings stand side by side, in runs of half the list at most: half a list apart, they differ.
    grouped = [story for group in by_ending.values() for story in group]
    return list(zip(grouped[: count // 2], grouped[count // 2 :], strict=True))


def other_endings(stories: list[Record], spoken: dict[str, Spoken], seed: int) -> tuple[list[Item], dict[str, int]]:
    """Topic cloze: the story's ending against that of another story in the same voice.

    Partners exchange their endings. So every ending is right once and wrong once, and what knows the endings only
    (their length, how usual their units are) is right in one of the two and wrong in the other. After Mostafazadeh
    et al. (2016), StoryCloze, and Hassid et al. (2023), tStoryCloze.

    Returns the items, sorted by id, and why other stories were left out.
    """
    by_voice: dict[str, list[Record]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    for story in stories:
        prompt, ending = (spoken.get(f"{story['id']}.{part}") for part in ("prompt", "ending"))
        if prompt is None or ending is None:
            left_out["not_spoken"] += 1
        else:
            by_voice[str(ending.speaker)].append(story)
    items = []
    for voice in sorted(by_voice):
        partners = different_partners(by_voice[voice], seed)
        left_out["no_partner"] += len(by_voice[voice]) - 2 * len(partners)
        for pair in partners:
            cluster = "+".join(sorted(story["id"] for story in pair))
            for own, other in (pair, pair[::-1]):
                beginning = spoken[f"{own['id']}.prompt"].units
                good, bad = (join(beginning, spoken[f"{story['id']}.ending"].units) for story in (own, other))
                items.append(Item(own["id"], None, cluster, good, bad))
    return sorted(items), dict(left_out)


def wrong_details(stories: list[Record], spoken: dict[str, Spoken]) -> tuple[list[Item], dict[str, int]]:
    """Detail cloze: the story's ending against the same ending with one detail that contradicts the story.

    Returns the items, sorted by id, and why other stories were left out.
    """
    items = []
    left_out: Counter[str] = Counter()
    for story in stories:
        if story.get("wrong_detail") is None:
            left_out["no_wrong_detail"] += 1
            continue
        parts = [spoken.get(f"{story['id']}.{part}") for part in ("prompt", "ending", "wrong_detail")]
        if any(part is None for part in parts):
            left_out["not_spoken"] += 1
            continue
        prompt, good, bad = (part.units for part in parts if part is not None)
        items.append(Item(story["id"], None, story["id"], join(prompt, good), join(prompt, bad)))
    return sorted(items), dict(left_out)
