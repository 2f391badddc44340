"""The words of the story grammar: data only.

Words that an ending can get wrong (heroes, objects, places, friends, feelings, events) sound different from one
another, and their pools are small: a small model has to see each of them told and told again often enough to learn
that an ending repeats what the story said.
No word that follows `a` in a template begins with a vowel.
"""

from __future__ import annotations

GIRLS = ("Lucy", "Anna", "Zoe", "Kate", "Molly", "Sarah")
BOYS = ("Tom", "Ben", "Max", "Leo", "Peter", "Charlie")
NAMES = GIRLS + BOYS

# What one does with an object: present and past.
USES = {
    "kite": ("fly", "flew"),
    "drum": ("bang", "banged"),
    "trumpet": ("blow", "blew"),
    "wagon": ("pull", "pulled"),
    "robot": ("steer", "steered"),
    "guitar": ("play", "played"),
    "lantern": ("light", "lit"),
    "scooter": ("ride", "rode"),
    "ball": ("kick", "kicked"),
    "puzzle": ("finish", "finished"),
    "ladder": ("climb", "climbed"),
    "crown": ("wear", "wore"),
}
OBJECTS = tuple(USES)

# Slots of the templates, and what may fill them.
POOLS: dict[str, tuple[str, ...]] = {
    "place": (
        "in the garden",
        "on the hill",
        "by the river",
        "under the bridge",
        "near the castle",
        "in the forest",
        "at the market",
        "outside the school",
    ),
    "friend": (
        "rabbit",
        "puppy",
        "turtle",
        "mouse",
        "bear",
        "monkey",
        "farmer",
        "baker",
        "teacher",
        "queen",
    ),
    "feeling": ("sad", "worried", "lonely", "grumpy", "nervous"),
    "tool": ("glue", "tape", "string", "paint", "nails"),
    "colour": ("red", "blue", "green", "yellow", "purple", "golden", "silver", "brown"),
    "look": ("tiny", "big", "pretty", "strange", "heavy", "lovely"),
    "kind": ("kind", "clever", "gentle", "friendly", "helpful", "wise"),
    "little": ("little", "small", "young", "quiet", "muddy", "noisy"),
    "weather": ("sunny", "windy", "rainy", "foggy", "snowy", "warm"),
    "time": ("morning", "evening", "day", "week", "summer", "winter"),
    "number": ("two", "three", "five", "seven", "ten", "twelve"),
    "spot": ("under a leaf", "behind a rock", "in a box", "beside a log", "inside a shoe", "on a roof"),
    "barrier": ("wall", "fence", "stone", "gate", "post", "chair"),
    "material": ("wood", "paper", "clay", "cloth", "metal", "straw"),
}

# The nouns, verbs (present, past) and adjectives of the stories, for tasks about single words.
NOUNS = tuple(
    sorted(
        {
            *OBJECTS,
            *(word for pool in ("friend", "barrier", "material", "time") for word in POOLS[pool]),
            *(phrase.split()[-1] for phrase in (*POOLS["place"], *POOLS["spot"])),
            *("glue", "tape", "string", "paint", "nail", "money", "coin", "apple", "floor", "window", "hen"),
            *("noise", "shadow", "growl", "storm", "mud", "hole", "tree", "net", "picnic", "party", "birthday"),
            *("wedding", "night", "turn", "mess", "home"),
        }
    )
)
VERBS = tuple(
    sorted(
        {
            *USES.values(),
            *(("lose", "lost"), ("drop", "dropped"), ("forget", "forgot"), ("find", "found"), ("thank", "thanked")),
            *(("want", "wanted"), ("buy", "bought"), ("give", "gave"), ("share", "shared"), ("laugh", "laughed")),
            *(("show", "showed"), ("fix", "fixed"), ("smile", "smiled"), ("carry", "carried"), ("hug", "hugged")),
            *(("make", "made"), ("hide", "hid"), ("bury", "buried"), ("take", "took"), ("bring", "brought")),
            *(("watch", "watched"), ("cheer", "cheered"), ("cry", "cried"), ("look", "looked"), ("help", "helped")),
            *(("hear", "heard"), ("fall", "fell"), ("break", "broke"), ("crack", "cracked"), ("bend", "bent")),
            *(("snap", "snapped"), ("try", "tried"), ("save", "saved"), ("love", "loved"), ("wash", "washed")),
            *(("pick", "picked"), ("sweep", "swept"), ("feed", "fed"), ("steal", "stole"), ("grab", "grabbed")),
            *(("walk", "walked"), ("wave", "waved"), ("wish", "wished"), ("keep", "kept"), ("paint", "painted")),
        }
    )
)
ADJECTIVES = tuple(
    sorted({word for pool in ("feeling", "colour", "look", "kind", "little", "weather") for word in POOLS[pool]})
)
