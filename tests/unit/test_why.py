"""What `why` says about changed settings and code."""

from __future__ import annotations

import json

import why


def settings(**values: object) -> str:
    return json.dumps(values)


def changes(old: str, new: str) -> list[str]:
    return list(why.differences(json.loads(old), json.loads(new)))


def test_a_changed_key_is_named_with_both_values() -> None:
    old = settings(learning_rate=1.0e-3, betas=[0.9, 0.95], fit={"hours": 0.4})
    new = settings(learning_rate=5.0e-4, betas=[0.9, 0.95], fit={"hours": 0.5})
    assert changes(old, new) == ["fit.hours 0.4 -> 0.5", "learning_rate 1.0e-3 -> 5.0e-4"]


def test_a_key_that_is_new_or_gone() -> None:
    assert changes(settings(a=1), settings(b=2)) == ["a 1 -> null", "b null -> 2"]


def test_a_section_that_is_new_or_gone_is_named_whole() -> None:
    old = settings(models={"cold": {"seed": 0}, "warm": {"seed": 0}}, fit={"hours": 0.4})
    new = settings(models={"cold": {"seed": 0}, "large": {"seed": 0, "init": "cold"}}, fit=None)
    assert changes(old, new) == ["fit is gone", "models.large is new", "models.warm is gone"]


def parameters(old: list[str], new: dict[str, str], settings_only: bool = False) -> list[str]:
    """What is said of parameters: values as recorded, and values by name as they are now."""
    names = {value: name for name, value in new.items()}
    found = why.parameter_changes(map(repr, old), map(repr, new.values()), names, settings_only)
    return [change.text for change in found]


def test_changed_files_of_the_code() -> None:
    old = "pack_tokens.py:aa slamflow/packing.py:bb slamflow/files.py:cc"
    new = "pack_tokens.py:aa slamflow/packing.py:ee slamflow/other.py:dd slamflow/files.py:cc"
    assert parameters([old], {"code": new}) == ["code of slamflow/other.py", "code of slamflow/packing.py"]


def test_code_of_a_kind_is_named() -> None:
    old = "extract_units.py:aa slamflow/tokenizers/whisper.py:bb"
    new = "extract_units.py:aa slamflow/tokenizers/whisper.py:cc"
    assert parameters([old], {"code": new}) == ["code of slamflow/tokenizers/whisper.py"]


def test_parameters_are_told_apart() -> None:
    old = [settings(seed=0), "train.py:aa"]
    new = {"experiment": settings(seed=1), "code": "train.py:bb"}
    assert parameters(old, new) == ["code of train.py", "seed 0 -> 1"]
    assert parameters(old, new, settings_only=True) == ["seed 0 -> 1"]


def test_several_settings_are_compared_with_their_like() -> None:
    old = [settings(corpus="a", max_seconds=30.0), settings(clusters=200, layer=None)]
    new = {"speech": settings(corpus="a", max_seconds=20.0), "settings": settings(clusters=150, layer=None)}
    assert parameters(old, new) == ["clusters 200 -> 150", "max_seconds 30.0 -> 20.0"]


def test_settings_with_code_behind_them() -> None:
    # As the speech of a streamed corpus is told to its encoder.
    old = settings(corpus="a", recordings={"max_seconds": 30.0}) + " collect_audio.py:aa slamflow/corpora/hub.py:bb"
    new = settings(corpus="a", recordings={"max_seconds": 20.0}) + " collect_audio.py:aa slamflow/corpora/hub.py:cc"
    assert parameters([old], {"speech": new}) == [
        "recordings.max_seconds 30.0 -> 20.0",
        "code of slamflow/corpora/hub.py",
    ]
    assert parameters([old], {"speech": new}, settings_only=True) == ["recordings.max_seconds 30.0 -> 20.0"]


def test_the_order_of_keys_is_no_difference() -> None:
    old, new = '{"a": 1, "b": {"c": 2, "d": 3}}', '{"b": {"d": 3, "c": 2}, "a": 1}'
    assert parameters([old], {"settings": new}) == []


def test_parameters_that_are_neither() -> None:
    names = {"502": "vocabulary", "b" * 64: "recordings"}
    assert [change.text for change in why.parameter_changes([repr(202)], [repr(502)], names)] == [
        "vocabulary 202 -> 502"
    ]
    assert parameters(["a" * 64], {"recordings": "b" * 64}) == ["recordings changed"]
    # Which of the old ones was which is not recorded, so no value is shown.
    assert parameters(["a", "b"], {"one": "c", "other": "d"}) == ["one changed", "other changed"]


def test_a_parameter_that_is_new() -> None:
    assert parameters([], {"words": "a1"}) == ["words changed"]


def test_what_only_the_whole_recipe_shows_is_marked() -> None:
    old, new = settings(models={"cold": {"seed": 0}}), settings(models={"cold": {"seed": 1}})
    [change] = why.parameter_changes([repr(old)], [repr(new)], {new: "recipe"})
    assert change == why.Change("models.cold.seed 0 -> 1", is_of_recipe=True)
    assert change.last_key == "seed 0 -> 1"


def test_numbers_as_in_a_recipe() -> None:
    values = [3.0e-3, 1.25e-4, 0.5, 0.0, 2.0e6, 416, "bf16", None]
    assert [why.shown(value) for value in values] == [
        "3.0e-3",
        "1.25e-4",
        "0.5",
        "0.0",
        "2.0e6",
        "416",
        '"bf16"',
        "null",
    ]


def test_durations_in_words() -> None:
    assert why.in_words(12.3) == "about 12 s"
    assert why.in_words(250) == "about 4 min"
