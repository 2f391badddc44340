# slamflow: from stories and audio to a scored speech language model.
#
#   snakemake --cores all                                        the pocket recipe (config.yaml)
#   snakemake --cores all --configfile recipes/<recipe>.yaml     another recipe
#   snakemake --cores all <results>/scores/...json               one target alone
#   snakemake --cores 1 plan --configfile recipes/<recipe>.yaml  what a recipe would take; runs nothing
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
include: "rules/planning.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/vocoder.smk"
include: "rules/generation.smk"
include: "rules/report.smk"


rule all:
    """The whole recipe, up to its table of results. What is deleted on the way is made again."""
    default_target: True
    input:
        PLAN.units.all(),
        PLAN.packing.all(),
        PLAN.training.all(),
        PLAN.evaluation.scores(".json"),
        PLAN.vocoder.scores(),
        PLAN.generation.continuations(),
        PLAN.generation.scores(),
        PLAN.units.voice_distances(),
        f"<results>/summary/{RECIPE.recipe}.json",
        f"<results>/report/{RECIPE.recipe}.html",


rule units:
    """All speech as units."""
    input:
        PLAN.units.all(),


rule rows:
    """All token rows."""
    input:
        PLAN.packing.all(),


rule calibrations:
    """How fast this device trains each model. Models that train for so many hours ask for it by themselves."""
    input:
        PLAN.training.all_machine_plans(),


rule models:
    """All trained models."""
    input:
        PLAN.training.all(),


rule scores:
    """All scores."""
    input:
        PLAN.evaluation.scores(".json"),


rule vocoders:
    """All vocoders, judged."""
    input:
        PLAN.vocoder.scores(),


rule continuations:
    """All continuations, judged."""
    input:
        PLAN.generation.continuations(),
        PLAN.generation.scores(),
