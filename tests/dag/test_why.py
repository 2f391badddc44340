"""`why` names the changed key or file, and the jobs that follow."""

from __future__ import annotations

import re

from .conftest import Checkout


def why(checkout: Checkout) -> list[str]:
    done = checkout.python(str(checkout.code / "workflow_scripts/why.py"), "--configfile", "small.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_nothing_to_do(checkout: Checkout) -> None:
    assert why(checkout) == ["Nothing to do."]


def test_a_changed_learning_rate(checkout: Checkout) -> None:
    checkout.edit_recipe(models={"warm": {"learning_rate": 5.0e-4}})
    cause, follow = why(checkout)
    assert cause.startswith("train pocket/warm: learning_rate 1.0e-3 -> 5.0e-4, about ")
    assert re.search(r"\b\d+ score_benchmarks_of_warm, .*\b1 summarize, .*follow, about ", follow)


def test_an_edited_file(checkout: Checkout) -> None:
    checkout.edit_code("workflow_scripts/slamflow/packing.py", "from __future__ import annotations", "EDITED = True")
    first = why(checkout)[0]
    assert first.startswith("pack_tokens (5 jobs): code of slamflow/packing.py")


def test_a_deleted_file(checkout: Checkout) -> None:
    score = "results/scores/pocket/cold/tstorycloze.dev.json"
    (checkout.work / score).unlink()
    assert why(checkout)[0].startswith(f"score_benchmarks pocket/cold: {score} missing")


def test_a_change_below_another_change_is_named_too(checkout: Checkout) -> None:
    checkout.edit_recipe(encoders={"whisper": {"clusters": 150}}, models={"cold": {"learning_rate": 5.0e-4}})
    lines = why(checkout)
    assert any(line.startswith("fit_units whisper: encoder.clusters 200 -> 150") for line in lines)
    assert any(line.startswith("train pocket/cold: learning_rate 1.0e-3 -> 5.0e-4") for line in lines)
