"""The whole plan: one part for each file of rules, and what the rules of all stages ask."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slamflow.code_digest import code_digest
from slamflow.plan.assets import AssetJobs
from slamflow.plan.audio import AudioJobs
from slamflow.plan.checks import check_files
from slamflow.plan.evaluation import EvaluationJobs
from slamflow.plan.generation import GenerationJobs
from slamflow.plan.packing import PackingJobs
from slamflow.plan.report import ReportJobs
from slamflow.plan.results import Results
from slamflow.plan.sources import Sources
from slamflow.plan.stories import StoryJobs
from slamflow.plan.training import TrainingJobs
from slamflow.plan.units import UnitJobs
from slamflow.plan.vocoder import VocoderJobs
from slamflow.settings.assets import Asset
from slamflow.settings.recipe import Recipe


class Plan:
    """The jobs of one recipe. Raises InputError for a recipe that names models or files that are not there."""

    def __init__(self, recipe: Recipe, assets: dict[str, Asset], scripts: Path) -> None:
        self.recipe = recipe
        self.scripts = scripts
        # For a job that computes with models; Snakemake cuts the threads to what the machine has.
        self.threads, self.gpus = (1, 0) if recipe.compute == "core" else (16, 1)
        self._trained_on = frozenset(_trained_on(recipe))

        self.sources = Sources(assets, checkout=scripts.parent)
        check_files(recipe, self.sources)
        self.results = Results(recipe)

        self.assets = AssetJobs(self.sources)
        self.stories = StoryJobs(recipe, self.sources)
        self.audio = AudioJobs(recipe, self.sources, self.results, scripts)
        self.units = UnitJobs(recipe, self.sources, self.results)
        self.packing = PackingJobs(recipe, self.results)
        self.training = TrainingJobs(recipe, self.sources, self.results)
        self.evaluation = EvaluationJobs(recipe, self.results)
        self.vocoder = VocoderJobs(recipe, self.sources, self.results)
        self.generation = GenerationJobs(recipe, self.sources, self.results)
        self.report = ReportJobs(recipe, assets, scripts)

    def command(self, name: str) -> Callable[..., str]:
        """A params function with the command line that runs workflow_scripts/<name>.py.

        It asks for `output`, so that Snakemake takes it for derived: the place of a checkout is no reason to rerun.
        """
        path = self.scripts / f"{name}.py"
        try:
            shown = path.relative_to(Path.cwd())
        except ValueError:
            shown = path
        text = f"python {shlex.quote(str(shown))}"
        return lambda wildcards, output: text  # noqa: ARG005

    def torchrun(self, name: str) -> Callable[..., str]:
        """Like `command`, for a command that torchrun launches."""
        plain = self.command(name)
        return lambda wildcards, output: plain(wildcards, output).replace(
            "python ", "torchrun --standalone --nproc_per_node=1 ", 1
        )

    def code(self, name: str) -> str:
        """Digest of the code of workflow_scripts/<name>.py."""
        return code_digest(self.scripts / f"{name}.py")

    def priority(self, wildcards: Any) -> int:
        """How early a part of a corpus is wanted: first what is pre-trained on, then preferences, then the rest.

        So the long trainings begin early, and what only scores need is made beside them.
        """
        if f"{wildcards.corpus}/{wildcards.split}" in self._trained_on:
            return 2
        return 1 if wildcards.split == "preference" else 0


def _trained_on(recipe: Recipe) -> list[str]:
    """The corpus/split that pre-training and codebooks wait for."""
    datasets, encoders = recipe.datasets.values(), recipe.encoders.values()
    references = [reference for dataset in datasets for reference in dataset.trained_on + dataset.validation]
    return references + [reference for encoder in encoders if encoder.fit for reference in encoder.fit.corpora]
