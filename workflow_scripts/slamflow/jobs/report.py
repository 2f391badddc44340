"""Results: what rules/report.smk and rules/estimate.smk ask."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from slamflow.assets.asset import Asset
from slamflow.benchmarks import BENCHMARKS
from slamflow.code_digest import code_digest
from slamflow.files import sha256_file, sha256_json
from slamflow.jobs.patterns import one_of
from slamflow.recipe.base import canonical
from slamflow.recipe.recipe import REFERENCE_CONTINUATIONS, Recipe
from slamflow.recipe.report import RenderReport, Summarize, UsedAsset, asset_uses
from slamflow.report.rules import RULES
from slamflow.scorers import BASELINES


def code_and_files(command: Path, *files: str) -> str:
    """Digest of the code of a command, and of files of the package report that it reads."""
    folder = command.parent / "slamflow/report"
    return " ".join([code_digest(command), *(f"{name}:{sha256_file(folder / name)[:12]}" for name in files)])


class ReportJobs:
    """The summary and the page of a run, and the estimate of one."""

    def __init__(self, recipe: Recipe, assets: dict[str, Asset], scripts: Path) -> None:
        self.recipe = recipe
        self.assets = assets
        self.scripts = scripts

    # The settings of these jobs are in the recipe's own order, which tables and page keep, and are not tracked. What
    # they say is, in a canonical form: another order of keys does not trigger a rerun.

    def tracked_recipe(self) -> str:
        """The whole recipe, in a canonical form."""
        return canonical(self.recipe)

    def estimate(self, _wildcards: Any) -> str:
        """Settings of the estimate job: the whole recipe."""
        return self.recipe.model_dump_json()

    def summarize(self, _wildcards: Any) -> str:
        """Settings of the summarize job."""
        return Summarize(recipe=self.recipe, jobs=self.own_jobs()).model_dump_json()

    def own_jobs(self) -> dict[str, str]:
        """For each rule, a regular expression of the names of its jobs that belong to the recipe.

        The folder of job costs is shared: other recipes have theirs in it too.
        """
        recipe = self.recipe
        names = {
            "recipe": [recipe.recipe],
            "asset": sorted(asset_uses(recipe, self.assets)),
            "repository": sorted(
                corpus.unpinned.replace("/", "--") for corpus in recipe.corpora.values() if corpus.unpinned
            ),
            "corpus": sorted(recipe.corpora),
            "encoder": sorted(recipe.encoders),
            "dataset": sorted(recipe.datasets),
            "preferences": sorted(recipe.preferences),
            "model": [*sorted(recipe.models), *REFERENCE_CONTINUATIONS],
            "benchmark": sorted(recipe.benchmarks),
        }
        patterns = {wildcard: f"(?:{one_of(values)})" for wildcard, values in names.items()}
        # Odd pieces are wildcards; those without names, such as {shard}, are free.
        pieces = {rule: re.split(r"\{(\w+)\}", settings.job) for rule, settings in RULES.items()}
        return {
            rule: "".join(patterns.get(piece, ".+") if odd % 2 else re.escape(piece) for odd, piece in enumerate(parts))
            for rule, parts in pieces.items()
        }

    def render_report(self, _wildcards: Any) -> str:
        """Settings of the render_report job."""
        return RenderReport(recipe=self.recipe, assets=self._terms()).model_dump_json()

    def tracked_terms(self) -> str:
        """The terms of the assets that the recipe uses, in a canonical form."""
        return json.dumps({name: terms.model_dump() for name, terms in self._terms().items()}, sort_keys=True)

    def _terms(self) -> dict[str, UsedAsset]:
        return {
            name: UsedAsset(licence=self.assets[name].licence, citation=self.assets[name].citation, keys=sorted(keys))
            for name, keys in asset_uses(self.recipe, self.assets).items()
        }

    def page_code(self) -> str:
        """Digest of the code that renders the page, and of its template."""
        return code_and_files(self.scripts / "render_report.py", "page.html.j2", "style.css.j2")

    def page_words(self) -> str:
        """Digest of what kinds say of themselves on the page: settings classes are left out of digests of code."""
        engines = [corpus.engine for corpus in self.recipe.corpora.values() if corpus.engine is not None]
        words = [
            *(BENCHMARKS.settings(benchmark.kind).question for benchmark in self.recipe.benchmarks.values()),
            *(BASELINES.settings(name).about for name in self.recipe.evaluation.rows()),
            *((one.about, one.is_comparable, one.is_recognizer) for one in self.recipe.encoders.values()),
            *(program for engine in engines for program in engine.programs),
        ]
        return sha256_json(sorted(map(str, words)))[:12]
