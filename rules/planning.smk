# What a recipe takes, before it runs.
#
# in:  nothing for `plan`; rows and a parent model for `calibrate`
# out: <results>/plans/{recipe}/{model}.json    how fast this device trains a model, and how many rows at once


rule plan:
    """Say what the recipe takes: hours, memory, disk, downloads, energy. It runs nothing else and needs no network."""
    log:
        f"<logs>/plan/{RECIPE.recipe}.log",
    localrule: True
    conda:
        "../envs/torch.yaml"
    params:
        command=PLAN.command("plan"),
        settings=RECIPE.model_dump_json(),
        results=lambda wildcards, output: workflow.pathvars.get("results"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --results {params.results:q} \
            2>&1 | tee {log:q}
        """


rule calibrate:
    """Measure how fast this device trains a model, and choose how many rows it takes at once."""
    input:
        train=PLAN.training.train_rows,
        parent=PLAN.training.parent,
    output:
        "<results>/plans/{recipe}/{model}.json",
    log:
        "<logs>/calibrate/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/calibrate/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(PLAN.training.pretrained_models()),
    conda:
        "../envs/torch.yaml"
    threads: PLAN.threads
    resources:
        gpu=PLAN.gpus,
        mem_mb=16000,
    params:
        command=PLAN.torchrun("calibrate"),
        # No `code=`: what was measured stays true. Delete the file to measure again.
        settings=lambda wildcards, output: PLAN.training.settings(wildcards),
        vocabulary=lambda wildcards: PLAN.packing.vocabulary(
            RECIPE.models[wildcards.model].data
        ),
        train=lambda wildcards, input: Path(input.train[0]).parent,
        parent=folder_flag("parent"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --vocabulary {params.vocabulary} \
            --train {params.train:q} {params.parent} \
            --output {output:q} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """
