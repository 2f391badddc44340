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
        PLAN.all_units(),
        PLAN.all_rows(),
        PLAN.all_models(),
        PLAN.score_files(".json"),
        PLAN.vocoder_scores(),
        PLAN.continuations(),
        PLAN.generation_scores(),
        PLAN.voice_distances(),
        f"<results>/summary/{RECIPE.recipe}.json",
        f"<results>/report/{RECIPE.recipe}.html",


rule units:
    """All speech as units."""
    input:
        PLAN.all_units(),


rule rows:
    """All token rows."""
    input:
        PLAN.all_rows(),


rule calibrations:
    """How fast this device trains each model. Models that train for so many hours ask for it by themselves."""
    input:
        PLAN.all_machine_plans(),


rule models:
    """All trained models."""
    input:
        PLAN.all_models(),


rule scores:
    """All scores."""
    input:
        PLAN.score_files(".json"),


rule vocoders:
    """All vocoders, judged."""
    input:
        PLAN.vocoder_scores(),


rule continuations:
    """All continuations, judged."""
    input:
        PLAN.continuations(),
        PLAN.generation_scores(),
