"""A rule that calls its command wrongly fails, although the commands of these tests do nothing."""

from __future__ import annotations

import pytest

from .conftest import Checkout

PAGE = "results/report/pocket.html"
SUMMARY = "--summary {input.summary:q}"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (SUMMARY, f"{SUMMARY} --colour red", "render_report.py: unrecognized arguments: --colour red"),
        (SUMMARY, "", "render_report.py: the following arguments are required: --summary"),
        ("--settings {params.settings:q}", "--settings '{{\"colour\": 1}}'", "colour: unknown key"),
    ],
    ids=["unknown", "missing", "settings"],
)
def test_a_wrong_command_line_fails(checkout: Checkout, old: str, new: str, words: str) -> None:
    code = (checkout.code / "rules/report.smk").read_text()
    first = code[code.index("rule render_report") :].split(old)[0]
    checkout.edit_code("rules/report.smk", first + old, first + new)
    with pytest.raises(AssertionError, match=words):
        checkout.run(PAGE)


def test_an_argument_of_another_type_fails(checkout: Checkout) -> None:
    checkout.edit_code("rules/training.smk", "--threads {threads}", "--threads few")
    with pytest.raises(AssertionError, match="argument --threads: invalid int value: 'few'"):
        checkout.run("results/models/pocket/cold/config.json")


def test_a_folder_may_have_a_blank_in_its_name(checkout: Checkout) -> None:
    folder = checkout.work / "my models"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text(name)
    checkout.edit_recipe(evaluation={"text_model": folder.name})
    checkout.run("results/scores/pocket/text_model/sblimp.dev.json")
