# The configuration, checked, and what all rules share. What JOBS.units answers is in slamflow/jobs/units.py, and so on.
import shlex
import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir, "workflow_scripts")
sys.path.insert(0, str(SCRIPTS))

from slamflow.errors import InputError
from slamflow.jobs.patterns import one_of, one_of_splits, shell_patterns
from slamflow.jobs.workflow import Jobs
from slamflow.recipe.loading import load_assets, load_recipe
from slamflow.recipe.rehearsed import rehearsed
from slamflow.sharding import SHARD_PATTERN

try:
    RECIPE = load_recipe(config, [str(path) for path in workflow.configfiles])
    ASSETS = load_assets(Path(workflow.basedir, "recipes/assets.yaml"), RECIPE.assets)
    RECIPE, ASSETS = rehearsed(RECIPE, ASSETS)
    JOBS = Jobs(RECIPE, ASSETS, SCRIPTS)
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


def untracked(value):
    """A params function that does not trigger a rerun: Snakemake takes what asks for `output` for derived."""
    return lambda wildcards, output: value(wildcards)


def folder_flag(name, key=None):
    """A params function that gives `--<name> FOLDER` for an input of several files, or nothing without one.

    key: the input's name, where it is not the flag's.
    """

    def flag(wildcards, input):
        files = input.get(key or name)
        return f"--{name} {shlex.quote(str(Path(files[0]).parent))}" if files else ""

    return flag


def shard_patterns(name=None):
    """A params function that gives the shards of an input as patterns (commands.Files): names do not fit a command."""

    def patterns(wildcards, input):
        files = input.get(name) if name else input
        return shell_patterns([files] if isinstance(files, str) else files)

    return patterns


def state_folder(wildcards, output):
    """Where the resumable training state is kept: outside the outputs, which Snakemake deletes."""
    models = Path(output.config).parent.parent
    return models.parent.parent / "state" / models.name / wildcards.model


def answers_so_far(wildcards, output):
    """Where a judge's answers are kept as they come, outside the outputs."""
    scores = Path(output.score).parent.parent
    return (
        scores.parent.parent / "state/judge" / scores.name / f"{wildcards.model}.jsonl"
    )


def calibration(wildcards, output):
    """What calibrate found for a model, or for the one that an aligned model comes from. It need not exist."""
    models = Path(output.config).parent.parent
    name = JOBS.training.calibrated_by(wildcards.model)
    return models.parent.parent / "calibration" / models.name / f"{name}.json"


def files_flag(name):
    """A params function that gives `--<name> FILE...` for an input, or nothing without files."""

    def flag(wildcards, input):
        files = input.get(name)
        return f"--{name} {shlex.join(files)}" if files else ""

    return flag


def named_files(key, names):
    """A params function that gives NAME=FILE for each file of an input, which are in the order of `names`."""

    def pairs(wildcards, input):
        return [f"{name}={file}" for name, file in zip(names, input[key], strict=True)]

    return pairs
