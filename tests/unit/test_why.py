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


def test_changed_files_of_the_code() -> None:
    old = "pack_tokens.py:aa slamflow/packing.py:bb slamflow/files.py:cc"
    new = "pack_tokens.py:aa slamflow/packing.py:xx slamflow/other.py:dd slamflow/files.py:cc"
    assert why.code_changes(old, new) == ["code of slamflow/other.py", "code of slamflow/packing.py"]


def test_parameters_are_told_apart_as_snakemake_records_them() -> None:
    old = [repr(settings(seed=0)), repr("pretrain.py:aa")]
    new = [repr(settings(seed=1)), repr("pretrain.py:bb")]
    assert why.parameter_changes(old, new) == ["code of pretrain.py", "seed 0 -> 1"]


def test_parameters_that_are_neither() -> None:
    assert why.parameter_changes([repr(202)], [repr(502)]) == ["202 -> 502"]
    assert why.parameter_changes([repr("a" * 64)], [repr("b" * 64)]) == ["another list of items"]


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
