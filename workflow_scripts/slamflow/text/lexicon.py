"""The words of the story grammar: data only.

Words that an ending can get wrong (heroes, objects, places, friends, events) sound different from one
another, and their pools are small: a small model has to see each of them told and told again often enough to learn
that an ending repeats what the story said.
No word that follows `a` in a template begins with a vowel.
"""

from __future__ import annotations

GIRLS = ("Lucy", "Emma", "Molly", "Kate")
BOYS = ("Tom", "Max", "Leo", "Peter")
NAMES = GIRLS + BOYS

# What one does with an object: present and past.
USES = {
    "kite": ("fly", "flew"),
    "drum": ("play", "played"),
    "wagon": ("pull", "pulled"),
    "whistle": ("blow", "blew"),
    "guitar": ("play", "played"),
    "bucket": ("fill", "filled"),
    "scooter": ("ride", "rode"),
    "ball": ("kick", "kicked"),
}
OBJECTS = tuple(USES)

# Slots of the templates, and what may fill them.
POOLS: dict[str, tuple[str, ...]] = {
    "place": ("in the garden", "by the river", "at the market", "on the beach"),
    "friend": ("rabbit", "puppy", "turtle", "monkey", "farmer", "baker"),
    "feeling": ("sad", "worried", "lonely", "scared"),
    "tool": ("glue", "tape", "string", "rope"),
    "colour": ("red", "blue", "green", "yellow", "purple"),
    "kind": ("kind", "clever", "gentle", "friendly"),
    "little": ("little", "small", "young", "quiet"),
    "weather": ("sunny", "windy", "rainy", "cloudy", "stormy"),
    "time": ("morning", "afternoon", "evening", "day", "night"),
    "number": ("two", "three", "five", "ten"),
    "barrier": ("wall", "fence", "rock", "tree", "gate"),
}

# The nouns, verbs (present, past) and adjectives of the stories, for tasks about single words.
NOUNS = tuple(
    sorted(
        {
            *OBJECTS,
            *(word for pool in ("friend", "barrier", "time") for word in POOLS[pool]),
            *(phrase.split()[-1] for phrase in POOLS["place"]),
            *POOLS["tool"],
            *("coin", "apple", "floor", "window", "hen", "home", "night"),
            *("noise", "shadow", "growl", "storm", "picnic", "party", "birthday", "wedding", "turn", "mess"),
        }
    )
)
VERBS = tuple(
    sorted(
        {
            *USES.values(),
            *(("lose", "lost"), ("drop", "dropped"), ("forget", "forgot"), ("find", "found"), ("thank", "thanked")),
            *(("want", "wanted"), ("buy", "bought"), ("give", "gave"), ("share", "shared"), ("laugh", "laughed")),
            *(("show", "showed"), ("fix", "fixed"), ("smile", "smiled"), ("miss", "missed")),
            *(("make", "made"), ("hide", "hid"), ("bury", "buried"), ("take", "took"), ("come", "came")),
            *(("watch", "watched"), ("cheer", "cheered"), ("like", "liked"), ("help", "helped")),
            *(("hear", "heard"), ("fall", "fell"), ("break", "broke"), ("crack", "cracked"), ("bend", "bent")),
            *(("snap", "snapped"), ("try", "tried"), ("love", "loved"), ("wash", "washed"), ("wish", "wished")),
            *(("pick", "picked"), ("sweep", "swept"), ("feed", "fed"), ("steal", "stole"), ("grab", "grabbed")),
        }
    )
)
ADJECTIVES = tuple(
    sorted({word for pool in ("feeling", "colour", "kind", "little", "weather") for word in POOLS[pool]})
)
