"""A published encoder with its codebook and its vocoder, by textlesslib's names."""

from __future__ import annotations

from collections import Counter

import pytest

from .conftest import Checkout

pytestmark = pytest.mark.slow
ENCODER = {"model": "textless:mhubert-base-25hz", "codebook": "textless:mhubert-base-25hz-kmeans-500"}
VOCODER = "textless:mhubert-base-25hz-kmeans-500-hifigan"


def test_published_units_and_their_vocoder_are_planned(checkout: Checkout) -> None:
    checkout.edit_recipe(
        encoders={"mhubert": {"kind": "hubert", **ENCODER}},
        datasets={"published": {"encoder": "mhubert", "train": ["stories/train"]}},
        vocoders={"mhubert": {"kind": "hifigan", "model": VOCODER}},
    )
    due = checkout.due("units")
    assert due == {"fetch_asset": 2, "convert_encoder": 1, "fit_units": 1, "extract_units": 4}
    due = checkout.due("results/vocoders/mhubert/vocoder.json")
    assert due == {"fetch_asset": 2, "convert_vocoder": 1}  # the generator and its configuration


def test_a_published_vocoder_is_evaluated_where_speech_is_held_out_for_it(checkout: Checkout) -> None:
    checkout.edit_recipe(
        encoders={"mhubert": {"kind": "hubert", **ENCODER}},
        vocoders={"mhubert": {"kind": "hifigan", "model": VOCODER, "held_out": ["stories/test"]}},
    )
    due = checkout.due("vocoders")
    assert due == {
        "fetch_asset": 4,
        "convert_encoder": 1,
        "convert_vocoder": 1,
        "fit_units": 1,
        "extract_units": 1,
        "score_vocoder": 1,
    }
    checkout.run("vocoders")
    assert (checkout.work / "results/vocoders/mhubert/score.json").is_file()
    assert checkout.due("vocoders") == Counter()


def test_textlesslib_itself_reads_what_was_downloaded(checkout: Checkout) -> None:
    checkout.edit_recipe(
        encoders={"original": {"kind": "textless", **ENCODER}},
        datasets={"published": {"encoder": "original", "train": ["stories/train"]}},
        vocoders={"original": {"kind": "hifigan", "model": VOCODER, "engine": "textless"}},
    )
    assert checkout.due("units") == {"fetch_asset": 2, "fit_units": 1, "extract_units": 4}
    assert checkout.due("results/vocoders/original/vocoder.json") == {"fetch_asset": 2, "convert_vocoder": 1}
    checkout.run("units")
    checkout.edit_recipe(encoders={"original": {"model": "nowhere", "codebook": "x.npy"}})
    failed = checkout.snakemake("--dry-run", "--configfile", "small.yaml", check=False)
    assert "'nowhere' is neither an asset nor a folder with one .pt file of fairseq" in failed.stdout + failed.stderr


def test_a_vocoder_of_neither_kind_is_named(checkout: Checkout) -> None:
    checkout.edit_recipe(vocoders={"whisper": {"kind": "griffin"}})
    failed = checkout.snakemake("--dry-run", "--configfile", "small.yaml", check=False)
    assert "vocoders.whisper: kind must be one of trained, hifigan" in failed.stdout + failed.stderr


def test_a_vocoder_that_is_nowhere_is_named(checkout: Checkout) -> None:
    checkout.edit_recipe(
        encoders={"mhubert": {"kind": "hubert", **ENCODER}}, vocoders={"mhubert": {"kind": "hifigan", "model": "away"}}
    )
    failed = checkout.snakemake("--dry-run", "--configfile", "small.yaml", check=False)
    assert "vocoders.mhubert.model: 'away' is neither an asset nor a folder" in failed.stdout + failed.stderr
