"""The one place that knows token ids: its layout, its record, and that nobody else has a copy of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import slamflow
from slamflow.errors import InputError
from slamflow.recipe.datasets import VocabularySettings
from slamflow.vocabulary import CONFIG_IDS, OWN, Layout, Vocabulary

LIBRARY = Path(slamflow.__file__).parent


def test_units_alone_lie_as_slamkit_has_them() -> None:
    vocabulary = Vocabulary(units=500)
    assert (vocabulary.size, vocabulary.first_unit, vocabulary.is_mixed) == (502, 2, False)
    assert CONFIG_IDS == {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    assert vocabulary.document(vocabulary.of_units([0, 499])).tolist() == [1, 2, 501, 1]
    assert vocabulary.to_units([2, 501]).tolist() == [0, 499]
    assert vocabulary.is_unit([0, 1, 2, 501, 502]).tolist() == [False, False, True, True, False]
    assert Vocabulary.of_size(502) == vocabulary


def test_bytes_alone_lie_in_the_same_way() -> None:
    vocabulary = Vocabulary.of(VocabularySettings(text="bytes"))
    assert (vocabulary.size, vocabulary.first_text) == (258, 2)
    assert vocabulary.text_encoder()(["Zo\u00eb"])[0].tolist() == list("Zo\u00eb".encode())
    assert not vocabulary.is_unit(np.arange(258)).any()


def test_units_and_text_have_marks_behind_them() -> None:
    vocabulary = Vocabulary.of(VocabularySettings(units=10, text="bytes"))
    assert vocabulary.of_units([0, 9]).tolist() == [2, 11]
    assert vocabulary.of_text_ids([0, 255]).tolist() == [12, 267]
    assert (vocabulary.speech_mark, vocabulary.text_mark, vocabulary.size) == (268, 269, 270)
    taken = [0, 1, *range(2, 12), *range(12, 268), 268, 269]
    assert taken == list(range(vocabulary.size))


@pytest.mark.parametrize(
    ("units", "dtype", "unit_dtype"),
    [(2, "uint16", "uint16"), (65534, "uint16", "uint16"), (65535, "uint32", "uint16"), (65537, "uint32", "uint32")],
)
def test_the_smallest_type_that_holds_every_token(units: int, dtype: str, unit_dtype: str) -> None:
    vocabulary = Vocabulary(units=units)
    assert (vocabulary.dtype, vocabulary.unit_dtype) == (np.dtype(dtype), np.dtype(unit_dtype))
    assert np.array([vocabulary.size - 1]).astype(vocabulary.dtype) == vocabulary.size - 1


@pytest.mark.parametrize("unit", [-1, 10])
def test_a_unit_outside_is_refused(unit: int) -> None:
    with pytest.raises(InputError, match=f"unit {unit} is outside a vocabulary of 10 units"):
        Vocabulary(units=10).of_units([3, unit])
    with pytest.raises(InputError, match="text token 256 is outside"):
        Vocabulary.of(VocabularySettings(text="bytes")).of_text_ids([256])
    with pytest.raises(InputError, match="has no text"):
        Vocabulary(units=10).text_encoder()


@pytest.mark.parametrize("seed", range(5))
def test_documents_are_those_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 6, 20)
    vocabulary = Vocabulary(units=50)
    units = rng.integers(0, 50, lengths.sum())
    tokens, found = vocabulary.documents(vocabulary.of_units(units), lengths)
    one_by_one = [vocabulary.document(vocabulary.of_units(part)) for part in np.split(units, np.cumsum(lengths)[:-1])]
    kept = [document for document in one_by_one if document.size > 2]
    assert tokens.dtype == vocabulary.dtype
    assert tokens.tolist() == [token for document in kept for token in document.tolist()]
    assert found.tolist() == [document.size for document in kept]


def test_the_record_of_models_trained_here_is_what_it_always_was() -> None:
    assert Vocabulary(units=500).record() == {
        **{"units": 500, "text": None, "text_tokens": 0, "size": 502, "special": {"pad": 0, "bos": 1, "eos": 1}},
        **{"first_unit": 2, "first_text": None, "marks": None},
    }


PUBLISHED = {
    # Nothing in front, nothing behind: the first unit is given.
    "twist": (Layout(pad=1, bos=(), eos=None, ends=False, first_unit=4), [4, 6, 9], 1, 10),
    "slm": (Layout(pad=501, bos=(500,), eos=500, ends=False, first_unit=0), [500, 0, 2, 5], 1, 502),
    "gslm": (Layout(pad=1, bos=(2,), eos=2, first_unit=4), [2, 4, 6, 9, 2], 1, 10),
    "spiritlm": (Layout(pad=0, bos=(1, 50), eos=2, ends=False, first_unit=20), [1, 50, 20, 22, 25], 2, 51),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_documents_of_its_own(name: str) -> None:
    layout, document, given, size = PUBLISHED[name]
    vocabulary = Vocabulary(units=6, layout=layout)
    tokens = vocabulary.of_units([0, 2, 5])
    assert vocabulary.document(tokens).tolist() == document
    assert vocabulary.beginning(tokens).tolist() == document[: len(layout.bos) + 3]
    assert (vocabulary.given(), vocabulary.size) == (given, size)
    assert vocabulary.given(2) == len(layout.bos) + 2
    assert vocabulary.to_units(tokens).tolist() == [0, 2, 5]
    assert vocabulary.is_unit(np.arange(size)).sum() == 6
    with pytest.raises(InputError, match="models that are trained here only"):
        vocabulary.documents(tokens, np.array([3]))


def test_the_layout_of_models_trained_here() -> None:
    vocabulary = Vocabulary(units=6)
    assert vocabulary.layout == OWN
    assert vocabulary.beginning(vocabulary.of_units([0])).tolist() == [1, 2]
    assert [vocabulary.given(), vocabulary.given(3)] == [1, 4]
    assert (vocabulary.pad, vocabulary.eos) == (0, 1)


@pytest.mark.parametrize(
    "vocabulary",
    [
        *(Vocabulary(units=500), Vocabulary(0, "bytes", 256), Vocabulary(10, "bytes", 256), Vocabulary(5, "folder", 9)),
        *(Vocabulary(6, layout=layout) for layout, *_ in PUBLISHED.values()),
    ],
)
def test_it_is_read_back_from_its_record(vocabulary: Vocabulary) -> None:
    assert Vocabulary.read(vocabulary.record(), "here") == vocabulary


@pytest.mark.parametrize(
    "record", [None, 502, {}, {"units": 500}, {**Vocabulary(units=5).record(), "size": 8}, {"special": 1}]
)
def test_another_record_is_refused(record: object) -> None:
    with pytest.raises(InputError, match=r"rows/manifest\.json: has no vocabulary that this version reads"):
        Vocabulary.read(record, "rows/manifest.json")


def test_settings_say_what_there_is() -> None:
    with pytest.raises(ValueError, match="needs units, text, or both"):
        VocabularySettings()
    with pytest.raises(ValueError, match="how many text_tokens"):
        VocabularySettings(text="folder")


def test_nobody_else_sets_ids_or_offsets() -> None:
    for path in LIBRARY.rglob("*.py"):
        if path.name != "vocabulary.py":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"^\s*(PAD|BOS|EOS|FIRST_UNIT|SPECIAL_TOKENS)\b.*=", text, re.M), path
