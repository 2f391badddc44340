# slamflow: from stories and audio to a scored speech language model.
#
#   snakemake --cores all                                        the pocket recipe (config.yaml)
#   snakemake --cores all --configfile recipes/<recipe>.yaml     another recipe
#   snakemake --cores all <results>/scores/...json               one target alone
#   snakemake --cores 1 estimate --configfile recipes/<recipe>.yaml  what a recipe would take; runs nothing
from snakemake.utils import min_version

min_version("9.27")

# A file with a `recipe:` key is a whole recipe; one without is laid over the pocket recipe.
if "recipe" not in config:

    configfile: f"{workflow.basedir}/config.yaml"


include: "rules/common.smk"
include: "rules/assets.smk"
include: "rules/stories.smk"
include: "rules/audio.smk"
include: "rules/units.smk"
include: "rules/packing.smk"
include: "rules/calibration.smk"
include: "rules/training.smk"
include: "rules/systems.smk"
include: "rules/preference.smk"
include: "rules/evaluation.smk"
include: "rules/vocoder.smk"
include: "rules/generation.smk"
include: "rules/report.smk"
include: "rules/leaderboard.smk"
include: "rules/estimate.smk"


rule all:
    """The whole recipe, up to its table of results. What is deleted on the way is made again."""
    default_target: True
    input:
        JOBS.units.all(),
        JOBS.packing.all(),
        JOBS.training.all(),
        JOBS.training.packages(),
        JOBS.systems.all(),
        JOBS.evaluation.scores(".json"),
        JOBS.vocoder.scores(),
        JOBS.generation.continuations(),
        JOBS.generation.scores(),
        JOBS.generation.judgements(),
        JOBS.units.voice_distances(),
        f"<results>/summary/{RECIPE.recipe}.json",
        f"<results>/report/{RECIPE.recipe}.html",
        JOBS.leaderboard.all(),


rule units:
    """All speech as units."""
    input:
        JOBS.units.all(),


rule rows:
    """All token rows."""
    input:
        JOBS.packing.all(),


rule calibrations:
    """How fast this device trains each model. Models with a fixed time budget ask for it by themselves."""
    input:
        JOBS.training.calibrations(),


rule models:
    """All models, trained and published."""
    input:
        JOBS.training.all(),
        JOBS.training.packages(),
        JOBS.systems.all(),


rule scores:
    """All scores."""
    input:
        JOBS.evaluation.scores(".json"),


rule vocoders:
    """All vocoders, evaluated."""
    input:
        JOBS.vocoder.scores(),


rule continuations:
    """All continuations, scored."""
    input:
        JOBS.generation.continuations(),
        JOBS.generation.scores(),
        JOBS.generation.judgements(),


rule leaderboard:
    """Published figures beside those that the recipe measures."""
    input:
        JOBS.leaderboard.files(),
