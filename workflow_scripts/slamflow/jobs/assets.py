"""Assets: what rules/assets.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.assets import ENCODER_CONVERTERS, MODEL_CONVERTERS
from slamflow.assets.asset import FetchAsset
from slamflow.jobs.sources import Sources
from slamflow.recipe.base import canonical


class AssetJobs:
    """Downloads, and what converts them into transformers folders."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def fetch_asset(self, wildcards: Any) -> str:
        """Settings of one fetch_asset job."""
        asset = self.sources.assets[wildcards.asset]
        return canonical(FetchAsset(file=asset.files[wildcards.file], ungated=asset.ungated))

    def content(self, wildcards: Any) -> str:
        """What pins an asset's file: its checksum, or where it comes from (a hub revision, or an address)."""
        file = self.sources.assets[wildcards.asset].files[wildcards.file]
        published = file.checksum if file.checksum != "unpublished" else None
        return file.sha256 or published or " ".join(file.sources)

    def files(self, wildcards: Any) -> list[str]:
        """All files of an asset."""
        return self.sources.asset(wildcards.asset)

    def models(self) -> list[str]:
        """Assets that convert_asset makes into transformers folders: models with a tokenizer."""
        return [name for name, asset in self.sources.assets.items() if asset.convert in MODEL_CONVERTERS.names()]

    def encoders(self) -> list[str]:
        """Assets that convert_encoder makes into transformers folders."""
        return [name for name, asset in self.sources.assets.items() if asset.convert in ENCODER_CONVERTERS.names()]

    def convert(self, wildcards: Any) -> str:
        """How an asset is converted."""
        return str(self.sources.assets[wildcards.asset].convert)

    def converter(self, wildcards: Any) -> list[str]:
        """The module that converts an asset."""
        name = self.convert(wildcards)
        family = MODEL_CONVERTERS if name in MODEL_CONVERTERS.names() else ENCODER_CONVERTERS
        return [family.module_name(name)]
