# Results.
#
# in:  scores, training records, manifests, job costs
# out: <results>/summary/{recipe}.json


rule summarize:
    """Gather everything that one wants to know of a run."""
    input:
        scores=PLAN.score_files(".json"),
        pairs=PLAN.score_files(".pairs.parquet"),
        training=PLAN.all_models("training.json"),
        units=PLAN.all_units(".json"),
        codebooks=PLAN.codebook_manifests(),
    output:
        "<results>/summary/{recipe}.json",
    log:
        "<logs>/summarize/{recipe}.log",
    benchmark:
        "<benchmarks>/summarize/{recipe}.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=2000,
    params:
        command=PLAN.command("summarize"),
        code=PLAN.code("summarize"),
        settings=PLAN.summary_settings(),
        job_costs=lambda wildcards, output: Path(output[0]).parents[1] / "job_costs",
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --scores {input.scores:q} \
            --pairs {input.pairs:q} \
            --training {input.training:q} \
            --unit-manifests {input.units:q} \
            --codebooks {input.codebooks:q} \
            --job-costs {params.job_costs:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """
