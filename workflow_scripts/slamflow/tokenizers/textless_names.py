"""textlesslib's names for encoders, codebooks and vocoders, as assets of recipes/assets.yaml."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "textless:"
WINDOW_SECONDS = 100.0
"""textlesslib cuts longer waveforms in windows of this length."""


@dataclass(frozen=True)
class DenseModel:
    """An encoder of textlesslib: the asset with its checkpoint, the layer, and how often a second it says something."""

    asset: str
    layer: int
    rate_hz: float


DENSE_MODELS = {
    "hubert-base-ls960": DenseModel("textless_hubert_base_ls960", 6, 50.0),
    # textlesslib itself has no name with the layer for this one.
    "hubert-base-ls960-layer-6": DenseModel("textless_hubert_base_ls960", 6, 50.0),
    "hubert-base-ls960-layer-9": DenseModel("textless_hubert_base_ls960", 9, 50.0),
    "mhubert-base-vp_mls_cv_8lang": DenseModel("textless_mhubert_base_vp_mls_cv_8lang", 12, 50.0),
    "mhubert-base-25hz": DenseModel("textless_mhubert_base_25hz", 11, 25.0),
}
QUANTIZERS = {
    "hubert-base-ls960-kmeans-50": 50,
    "hubert-base-ls960-kmeans-100": 100,
    "hubert-base-ls960-kmeans-200": 200,
    "hubert-base-ls960-kmeans-500": 500,
    "hubert-base-ls960-layer-9-kmeans-500": 500,
    "hubert-base-ls960-layer-9-kmeans-expresso-2000": 2000,
    "mhubert-base-vp_mls_cv_8lang-kmeans-2000": 2000,
    "mhubert-base-vp_mls_cv_8lang-kmeans-expresso-2000": 2000,
    "mhubert-base-25hz-kmeans-500": 500,
}
"""Codebooks, with the number of their units."""
QUANTIZER_ASSET = "textless_kmeans"
VOCODERS = {"mhubert-base-25hz-kmeans-500-hifigan": "textless_mhubert_base_25hz_hifigan"}
"""Vocoders that need nothing but units, and the assets with their files."""


def named(reference: object, table: dict[str, object]) -> str | None:
    """The name in `textless:NAME`, None for any other reference. Raises ValueError for a name not in the table."""
    if not isinstance(reference, str) or not reference.startswith(PREFIX):
        return None
    name = reference.removeprefix(PREFIX)
    if name not in table:
        raise ValueError(f"{reference}: unknown; there are {', '.join(table)}")
    return name


def encoder_keys(values: dict[str, object]) -> dict[str, object]:
    """The keys of an encoder with textlesslib's names replaced, and what they say filled in where nothing is said.

    Raises ValueError for unknown names, and for a codebook that was not made for the model.
    """
    model, codebook = named(values.get("model"), {**DENSE_MODELS}), named(values.get("codebook"), {**QUANTIZERS})
    said: dict[str, object] = {}
    if model is not None:
        dense = DENSE_MODELS[model]
        said = {"layer": dense.layer, "frame_rate_hz": dense.rate_hz, "window_seconds": WINDOW_SECONDS}
    if codebook is not None:
        said["clusters"] = QUANTIZERS[codebook]
    if model is not None and codebook is not None:
        made_for = codebook.partition("-kmeans")[0]
        if DENSE_MODELS[made_for] != DENSE_MODELS[model]:
            raise ValueError(f"codebook: {PREFIX}{codebook} was made for {PREFIX}{made_for}")
    result = {**said, **{key: value for key, value in values.items() if value is not None or key not in said}}
    if model is not None:
        result["model"] = DENSE_MODELS[model].asset
    if codebook is not None:
        result["codebook"] = f"asset:{QUANTIZER_ASSET}/{codebook}.bin"
    return result
