# The configuration, checked, and what all rules share. What PLAN.units answers is in slamflow/plan/units.py, and so on.
import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir, "workflow_scripts")
sys.path.insert(0, str(SCRIPTS))

from slamflow.errors import InputError
from slamflow.plan.loading import load_assets, load_recipe
from slamflow.plan.patterns import one_of, one_of_parts, shell_patterns
from slamflow.plan.plan import Plan
from slamflow.rehearsal import rehearsed
from slamflow.sharding import SHARD_PATTERN

try:
    RECIPE = load_recipe(config, [str(path) for path in workflow.configfiles])
    ASSETS = load_assets(Path(workflow.basedir, "recipes/assets.yaml"), RECIPE.assets)
    RECIPE, ASSETS = rehearsed(RECIPE, ASSETS)
    PLAN = Plan(RECIPE, ASSETS, SCRIPTS)
except InputError as error:
    raise WorkflowError(str(error))


# Everything that is written lies under <results> or <resources>, the jobs' logs and costs too. A rehearsal has results
# of its own; what it downloads is what the recipe needs.
pathvars:
    results="results/rehearsal" if RECIPE.rehearsal else "results",
    logs="<results>/logs",
    benchmarks="<results>/job_costs",


wildcard_constraints:
    asset=one_of(ASSETS),
    corpus=one_of(RECIPE.corpora),
    split=r"[a-z_]+",
    shard=SHARD_PATTERN,
    encoder=one_of(RECIPE.encoders),
    dataset=one_of(RECIPE.datasets),
    recipe=one_of([RECIPE.recipe]),
    benchmark=one_of(RECIPE.benchmarks),
    preferences=one_of(RECIPE.preferences),


def folder_flag(name):
    """A params function that gives `--<name> FOLDER` for an input of several files, or nothing without one."""

    def flag(wildcards, input):
        files = input.get(name)
        return f"--{name} {Path(files[0]).parent}" if files else ""

    return flag


def shard_patterns(name=None):
    """A params function that gives the shards of an input as patterns that the shell expands.

    Thousands of names do not fit a command; a folder has no other file that fits a pattern.
    """

    def patterns(wildcards, input):
        files = input.get(name) if name else input
        return shell_patterns([files] if isinstance(files, str) else files)

    return patterns


def validation_flags(wildcards, input):
    """`--validation NAME=FOLDER` for each validation corpus of a model."""
    folders = dict.fromkeys(Path(file).parent for file in input.validation)
    return " ".join(
        f"--validation {folder.name.removeprefix('validation.').replace('.', '/')}={folder}"
        for folder in folders
    )


def machine_plan(wildcards, output):
    """What calibrate found for a model, or for the one that a model of preferences comes from. It need not exist."""
    models = Path(output.config).parent.parent
    name = PLAN.training.trained_on_rows(wildcards.model)
    return models.parent.parent / "plans" / models.name / f"{name}.json"


def state_folder(wildcards, output):
    """Where a trainer keeps what it needs to go on: outside its outputs, which Snakemake deletes."""
    models, model = Path(output.config).parent.parent, wildcards.model
    return models.parent.parent / "state" / models.name / model
