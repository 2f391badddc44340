# What a recipe takes, before it runs: rule estimate.
#
# in:  nothing
# out: nothing; tables on the terminal and in the log


rule estimate:
    """Say what the recipe takes: hours, memory, disk, downloads, energy. It runs nothing else and needs no network."""
    log:
        f"<logs>/estimate/{RECIPE.recipe}.log",
    localrule: True
    conda:
        "../envs/torch.yaml"
    params:
        command=JOBS.command("estimate"),
        settings=untracked(JOBS.report.estimate),
        results=lambda wildcards, output: workflow.pathvars.apply("<results>"),
        resources=lambda wildcards, output: workflow.pathvars.apply("<resources>"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --results {params.results:q} \
            --resources {params.resources:q} \
            2>&1 | tee {log:q}
        """
