"""The words of the story grammar: data only.

Words that an ending can get wrong (heroes, objects, places, animals, helpers, feelings, tools, events) sound
different from one another, and each pool is small enough for every word to occur often in two thousand stories.
No word that follows `a` in a template begins with a vowel.
"""

from __future__ import annotations

GIRLS = ("Lucy", "Anna", "Zoe", "Kate", "Molly", "Ivy", "Sarah", "Rose")
BOYS = ("Tom", "Ben", "Max", "Leo", "Oscar", "Peter", "Charlie", "Hugo")
NAMES = GIRLS + BOYS

# What one does with an object: present and past.
USES = {
    "kite": ("fly", "flew"),
    "drum": ("bang", "banged"),
    "trumpet": ("blow", "blew"),
    "wagon": ("pull", "pulled"),
    "robot": ("steer", "steered"),
    "guitar": ("play", "played"),
    "bucket": ("fill", "filled"),
    "lantern": ("light", "lit"),
    "basket": ("pack", "packed"),
    "scooter": ("ride", "rode"),
    "ball": ("kick", "kicked"),
    "mirror": ("clean", "cleaned"),
    "rocket": ("launch", "launched"),
    "puzzle": ("finish", "finished"),
    "ladder": ("climb", "climbed"),
    "crown": ("wear", "wore"),
    "jar": ("open", "opened"),
    "hoop": ("spin", "spun"),
}
OBJECTS = tuple(USES)

# Slots of the templates, and what may fill them.
POOLS: dict[str, tuple[str, ...]] = {
    "place": (
        "in the garden",
        "at the beach",
        "on the hill",
        "by the river",
        "under the bridge",
        "behind the barn",
        "near the castle",
        "in the forest",
        "inside the cave",
        "at the market",
        "beside the lake",
        "outside the school",
    ),
    "animal": (
        "rabbit",
        "puppy",
        "kitten",
        "turtle",
        "frog",
        "mouse",
        "goat",
        "duck",
        "squirrel",
        "bear",
        "monkey",
        "hedgehog",
    ),
    "helper": ("farmer", "baker", "teacher", "doctor", "queen", "postman", "nurse", "sailor"),
    "need": ("lonely", "hungry", "thirsty", "cold", "sleepy", "bored", "dizzy", "shy"),
    "upset": ("sad", "angry", "gloomy", "worried", "hopeless"),
    "fear": ("scared", "nervous", "frightened", "worried"),
    "pleased": ("proud", "happy", "cheerful", "excited"),
    "tool": ("glue", "tape", "string", "wire", "paint", "nails"),
    "colour": ("red", "blue", "green", "yellow", "purple", "golden", "silver", "brown"),
    "look": ("tiny", "big", "pretty", "strange", "heavy", "lovely"),
    "kind": ("kind", "clever", "gentle", "friendly", "helpful", "wise"),
    "little": ("little", "small", "young", "fluffy", "muddy", "noisy"),
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
            *(word for pool in ("animal", "helper", "barrier", "material", "time") for word in POOLS[pool]),
            *(phrase.split()[-1] for phrase in (*POOLS["place"], *POOLS["spot"])),
            *("glue", "tape", "string", "wire", "paint", "nail", "money", "coin", "apple", "floor", "window", "hen"),
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
    sorted(
        {
            word
            for pool in ("need", "upset", "fear", "pleased", "colour", "look", "kind", "little", "weather")
            for word in POOLS[pool]
        }
    )
)
