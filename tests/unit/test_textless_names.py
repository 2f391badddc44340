"""textlesslib's names in a recipe, against the shipped table of assets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from slamflow.recipe.loading import load_assets
from slamflow.tokenizers.hubert import HubertTokenizer
from slamflow.tokenizers.textless_names import DENSE_MODELS, QUANTIZER_ASSET, QUANTIZERS, VOCODERS
from slamflow.vocoders.hifigan import HifiGanVocoder

ASSETS = load_assets(Path(__file__).parents[2] / "recipes/assets.yaml", {})


def encoder(**keys: Any) -> HubertTokenizer:
    return HubertTokenizer.model_validate({"kind": "hubert", **keys})


@pytest.mark.parametrize("codebook", QUANTIZERS)
def test_a_pair_of_names_says_all_the_rest(codebook: str) -> None:
    """The name of a codebook is that of its model, `-kmeans`, and the number of its units, as in textlesslib."""
    model, _, rest = codebook.partition("-kmeans")
    found = encoder(model=f"textless:{model}", codebook=f"textless:{codebook}")
    assert found.clusters == int(rest.rpartition("-")[2])
    assert found.frame_rate_hz == (25.0 if "25hz" in model else 50.0)
    assert found.window_seconds == 100.0
    assert found.normalize is None
    assert ASSETS[str(found.model)].convert == "fairseq_hubert"
    name, _, file = str(found.codebook).removeprefix("asset:").partition("/")
    assert ASSETS[name].files[file].sha256


def test_layers_are_textlesslibs() -> None:
    layers = {name: encoder(model=f"textless:{name}").layer for name in DENSE_MODELS}
    assert layers == {
        "hubert-base-ls960": 6,
        "hubert-base-ls960-layer-6": 6,
        "hubert-base-ls960-layer-9": 9,
        "mhubert-base-vp_mls_cv_8lang": 12,
        "mhubert-base-25hz": 11,
    }


def test_what_is_said_comes_first_and_a_second_reading_changes_nothing() -> None:
    found = encoder(model="textless:mhubert-base-25hz", layer=7, clusters=100, window_seconds=30.0)
    assert (found.layer, found.clusters, found.window_seconds) == (7, 100, 30.0)
    assert HubertTokenizer.model_validate_json(found.model_dump_json()) == found


def test_names_can_stand_alone() -> None:
    found = encoder(model="folder", codebook="textless:hubert-base-ls960-kmeans-50")
    assert (found.model, found.clusters, found.frame_rate_hz) == ("folder", 50, 25.0)
    assert str(found.codebook) == f"asset:{QUANTIZER_ASSET}/hubert-base-ls960-kmeans-50.bin"
    assert encoder(model="textless:hubert-base-ls960", codebook="mine.npy").codebook == "mine.npy"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model": "textless:hubert-large"}, "textless:hubert-large: unknown; there are hubert-base-ls960, "),
        ({"model": "m", "codebook": "textless:kmeans-500"}, "textless:kmeans-500: unknown"),
        (
            {"model": "textless:hubert-base-ls960", "codebook": "textless:mhubert-base-25hz-kmeans-500"},
            "was made for textless:mhubert-base-25hz",
        ),
        (
            {"model": "textless:hubert-base-ls960-layer-9", "codebook": "textless:hubert-base-ls960-kmeans-500"},
            "was made for textless:hubert-base-ls960",
        ),
    ],
)
def test_names_that_do_not_fit_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        encoder(**keys)


def test_vocoders_have_their_two_files() -> None:
    for name in VOCODERS:
        vocoder = HifiGanVocoder.model_validate({"kind": "hifigan", "model": f"textless:{name}"})
        files = ASSETS[vocoder.model].files
        assert sorted(Path(file).suffix for file in files) == [".json", ".pt"]
    with pytest.raises(ValidationError, match="unknown"):
        HifiGanVocoder.model_validate({"kind": "hifigan", "model": "textless:other"})
