"""What every kind of benchmark must have, by the registry: a new kind is tested by being there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slamflow.benchmarks import BENCHMARKS, BenchmarkSettings
from slamflow.benchmarks.pairs import Spoken, build, needed_keys, whole_pairs
from slamflow.code_digest import code_digest
from slamflow.errors import InputError
from slamflow.shards.items import Item

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
KINDS = BENCHMARKS.names()
STORIES = 60


def records() -> list[dict[str, str]]:
    """Stories and pairs in one: every key that a kind may need."""
    return [
        {
            "id": f"r{number:03}",
            "prompt": f"Prompt {number}.",
            "ending": f"Ending {number % 7}.",
            "wrong_detail": f"Wrong {number}.",
            "good": f"Good {number}.",
            "bad": f"Bad {number}.",
            "cluster": f"c{number // 2:03}",
            "phenomenon": f"p{number % 3}",
        }
        for number in range(STORIES)
    ]


def spoken() -> dict[str, Spoken]:
    random = np.random.default_rng(0)
    return {
        f"{record['id']}.{part}": Spoken("voice", np.arange(random.integers(2, 9), dtype=np.uint16) + number)
        for number, record in enumerate(records())
        for part in ("prompt", "ending", "wrong_detail", "good", "bad")
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_settings_say_what_the_workflow_asks(kind: str) -> None:
    settings = BENCHMARKS.settings(kind)
    assert issubclass(settings, BenchmarkSettings)
    assert settings(kind=kind, corpus="c", encoder="e").kind == kind
    assert settings.question[-1] in ".?"
    assert settings.built_from in ("stories", "pairs")
    assert all(field.description for field in settings.model_fields.values())


@pytest.mark.parametrize("kind", KINDS)
def test_items_are_sorted_and_made_of_the_records(kind: str) -> None:
    assert "id" in needed_keys(kind, published=False)
    told = spoken()
    items, left_out = build(kind, records(), told, 0)
    assert [item.id for item in items] == sorted({item.id for item in items})
    assert all(isinstance(item, Item) and len(item.good) and len(item.bad) for item in items)
    assert len(items) + sum(left_out.values()) == STORIES
    again, _ = build(kind, records()[::-1], told, 0)
    assert [item.id for item in again] == [item.id for item in items]
    assert all(np.array_equal(one.bad, other.bad) for one, other in zip(items, again, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_spoken_is_counted(kind: str) -> None:
    with pytest.raises(InputError, match=rf"{kind}: none of {STORIES} stories or pairs can be used \(not_spoken"):
        build(kind, records(), {}, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_published_pairs_are_taken_as_they_are(kind: str) -> None:
    items, left_out = build(kind, records(), spoken(), 0, published=True)
    assert left_out == {}
    for item, expected in zip(items, whole_pairs(records(), spoken())[0], strict=True):
        assert item[:3] == expected[:3]
        assert np.array_equal(item.good, expected.good)
        assert np.array_equal(item.bad, expected.bad)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(InputError, match="kind 'story': there are tstorycloze"):
        needed_keys("story", published=False)


def test_the_digest_of_a_build_holds_its_own_kind_and_no_other() -> None:
    """Nor what belongs to scores and models."""
    for kind in KINDS:
        found = code_digest(SCRIPTS / "build_benchmark.py", (BENCHMARKS.module_name(kind),))
        held = {other for other in KINDS if f"benchmarks/{other}.py:" in found}
        assert held == {kind}
        assert "scorers/" not in found
        assert "recipe/" not in found
