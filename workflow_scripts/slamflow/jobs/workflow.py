"""All jobs of a recipe, and what the rules of all stages ask."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slamflow.assets.asset import Asset
from slamflow.code_digest import code_digest
from slamflow.jobs.assets import AssetJobs
from slamflow.jobs.audio import AudioJobs
from slamflow.jobs.checks import check_files
from slamflow.jobs.evaluation import EvaluationJobs
from slamflow.jobs.generation import GenerationJobs
from slamflow.jobs.leaderboard import LeaderboardJobs
from slamflow.jobs.packing import PackingJobs
from slamflow.jobs.preferences import PreferenceJobs
from slamflow.jobs.report import ReportJobs
from slamflow.jobs.results import Results
from slamflow.jobs.sources import Sources
from slamflow.jobs.stories import StoryJobs
from slamflow.jobs.systems import SystemJobs
from slamflow.jobs.training import TrainingJobs
from slamflow.jobs.units import UnitJobs
from slamflow.jobs.vocoder import VocoderJobs
from slamflow.recipe.recipe import Recipe

CORES_OF_A_DEVICE_JOB = 16
"""For a job that computes with models; Snakemake cuts the threads to what the machine has."""


def on_gpus(count: int, launcher: str, command: str) -> str:
    """A command line that has as many GPUs as its job asked for.

    With 0 it sees none, so that it does not take the memory of one that another job holds. Else the launcher
    (on_gpus.py) waits until no other job on the machine holds them, and the command ends if there are fewer
    (slamflow.gpus).
    """
    if not count:
        return f"CUDA_VISIBLE_DEVICES= {command}"
    return f"python {launcher} --count {count} -- {command} --gpus {count}"


class Jobs:
    """The jobs of one recipe. Raises InputError for a recipe that names models or files that are not there."""

    def __init__(self, recipe: Recipe, assets: dict[str, Asset], scripts: Path) -> None:
        self.recipe = recipe
        self.scripts = scripts
        self.threads, self.gpus = (1, 0) if recipe.compute == "core" else (CORES_OF_A_DEVICE_JOB, 1)
        uses = recipe.uses()
        self._trained_on = {use.reference for use in uses if use.reader.startswith(("datasets.", "encoders."))}
        self._aligned_on = {use.reference for use in uses if use.reader.startswith("preferences.")}

        self.sources = Sources(assets, checkout=scripts.parent)
        check_files(recipe, self.sources)
        self.results = Results(recipe)

        self.assets = AssetJobs(self.sources)
        self.stories = StoryJobs(recipe, self.sources)
        self.audio = AudioJobs(recipe, self.sources, self.results, scripts)
        self.units = UnitJobs(recipe, self.sources, self.results)
        self.packing = PackingJobs(recipe, self.results)
        self.training = TrainingJobs(recipe, self.sources, self.results)
        self.systems = SystemJobs(recipe, self.sources, self.results)
        self.preferences = PreferenceJobs(recipe, self.results)
        self.evaluation = EvaluationJobs(recipe, self.sources, self.results)
        self.vocoder = VocoderJobs(recipe, self.sources, self.results)
        self.generation = GenerationJobs(recipe, self.sources, self.results)
        self.report = ReportJobs(recipe, assets, scripts)
        self.leaderboard = LeaderboardJobs(recipe, scripts)

    def command(self, name: str) -> Callable[..., str]:
        """A params function with the command line that runs workflow_scripts/<name>.py, on the GPUs that its job has.

        It asks for `output`, so that Snakemake takes it for derived: the place of a checkout does not trigger a rerun.
        """
        shown = self._shown(name)
        return lambda wildcards, output, resources: (  # noqa: ARG005
            on_gpus(resources.get("gpu", 0), self._shown("on_gpus"), f"python {shown}")
        )

    def torchrun(self, name: str) -> Callable[..., str]:
        """Like `command`, with as many processes on each node as it has GPUs, or as `processes` says; one on a CPU.

        The resource `torchrun` is how torchrun is started: a profile says there how the processes of several `nodes`
        find each other.
        """
        shown = self._shown(name)

        def command(wildcards: Any, output: Any, resources: Any) -> str:  # noqa: ARG001
            gpus = resources.gpu // max(1, resources.get("nodes", 1))
            text = f"{resources.torchrun} --nproc_per_node={resources.processes or max(1, gpus)} {shown}"
            return on_gpus(gpus, self._shown("on_gpus"), text)

        return command

    def _shown(self, name: str) -> str:
        """The path of workflow_scripts/<name>.py, below the working folder if it lies there, for the shell."""
        path = self.scripts / f"{name}.py"
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        return shlex.quote(str(path))

    def code(self, name: str, kinds: Callable[[Any], list[str]] | None = None) -> str | Callable[[Any], str]:
        """Digest of the code of workflow_scripts/<name>.py, and of the kinds that a job uses.

        kinds: gives the modules of the kinds for the wildcards of a job; then so does the digest, as a params function.
        """
        # A recipe has thousands of jobs of a few kinds.
        digest = functools.cache(functools.partial(code_digest, self.scripts / f"{name}.py"))
        if kinds is None:
            return digest()
        return lambda wildcards: digest(tuple(kinds(wildcards)))

    def priority(self, wildcards: Any) -> int:
        """How early a split of a corpus is wanted: first what is pre-trained on, then preferences, then the rest.

        So the long trainings begin early, and what only scores need is made beside them.
        """
        reference = f"{wildcards.corpus}/{wildcards.split}"
        if reference in self._trained_on:
            return 2
        return 1 if reference in self._aligned_on else 0
