"""Assets: what rules/assets.smk asks."""

from __future__ import annotations

from typing import Any

from slamflow.plan.sources import Sources


class AssetJobs:
    """Downloads, and what converts them into transformers folders."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def fetch_asset(self, wildcards: Any) -> str:
        """Settings of one fetch_asset job."""
        return self.sources.assets[wildcards.asset].files[wildcards.file].model_dump_json()

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
        assets = self.sources.assets
        return [name for name, asset in assets.items() if asset.convert and not self.sources.is_encoder(name)]

    def encoders(self) -> list[str]:
        """Assets that convert_encoder makes into transformers folders."""
        return [name for name in self.sources.assets if self.sources.is_encoder(name)]
