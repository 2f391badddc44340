"""Results: what rules/report.smk asks."""

from __future__ import annotations

from pathlib import Path

from slamflow.code_digest import code_digest
from slamflow.files import sha256_file
from slamflow.settings.assets import Asset
from slamflow.settings.recipe import Recipe
from slamflow.settings.report import RenderReport, UsedAsset, asset_uses


class ReportJobs:
    """The page of a run."""

    def __init__(self, recipe: Recipe, assets: dict[str, Asset], scripts: Path) -> None:
        self.recipe = recipe
        self.assets = assets
        self.scripts = scripts

    def render_report(self) -> str:
        """Settings of the render_report job: the whole recipe, and the terms of the assets that it uses."""
        assets = {
            name: UsedAsset(licence=self.assets[name].licence, citation=self.assets[name].citation, keys=keys)
            for name, keys in asset_uses(self.recipe, self.assets).items()
        }
        return RenderReport(recipe=self.recipe, assets=assets).model_dump_json()

    def page_code(self) -> str:
        """Digest of the code that renders the page, and of its template."""
        template = self.scripts / "slamflow/report/page.html.j2"
        return f"{code_digest(self.scripts / 'render_report.py')} {template.name}:{sha256_file(template)[:12]}"
