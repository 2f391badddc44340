# Results.
#
# in:  scores, training records, manifests, job costs, speech
# out: <results>/summary/{recipe}.json
#      <results>/report/{recipe}.html    a page that needs nothing else


report: "report/workflow.rst"


rule summarize:
    """Gather everything that one wants to know of a run."""
    input:
        scores=PLAN.evaluation.scores(".json"),
        pairs=PLAN.evaluation.scores(".pairs.parquet"),
        training=PLAN.training.all("training.json"),
        units=PLAN.units.all(".json"),
        codebooks=PLAN.units.codebook_manifests(),
        voices=PLAN.units.voice_distances(),
        vocoders=PLAN.vocoder.scores(),
        generation=PLAN.generation.scores(),
    output:
        report(
            "<results>/summary/{recipe}.json",
            caption="report/summary.rst",
            category="Results",
            labels={"what": "summary"},
        ),
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
        settings=RECIPE.model_dump_json(),
        job_costs=lambda wildcards, output: Path(output[0]).parents[1] / "job_costs",
        units=shard_patterns("units"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --scores {input.scores:q} \
            --pairs {input.pairs:q} \
            --training {input.training:q} \
            --unit-manifests {params.units} \
            --codebooks {input.codebooks:q} \
            --voices {input.voices:q} \
            --vocoders {input.vocoders:q} \
            --generation {input.generation:q} \
            --job-costs {params.job_costs:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule render_report:
    """Write the page of a run."""
    input:
        summary="<results>/summary/{recipe}.json",
        metrics=PLAN.training.all("metrics.jsonl"),
        units=PLAN.units.all(),
        examples=PLAN.vocoder.examples(),
        continuations=PLAN.generation.continuations(),
        transcripts=PLAN.generation.transcripts(),
    output:
        report(
            "<results>/report/{recipe}.html",
            caption="report/page.rst",
            category="Results",
            labels={"what": "page"},
        ),
    log:
        "<logs>/render_report/{recipe}.log",
    benchmark:
        "<benchmarks>/render_report/{recipe}.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=2000,
    params:
        command=PLAN.command("render_report"),
        code=PLAN.report.page_code(),
        settings=PLAN.report.render_report(),
        units=shard_patterns("units"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --summary {input.summary:q} \
            --metrics {input.metrics:q} \
            --units {params.units} \
            --vocoder-examples {input.examples:q} \
            --continuations {input.continuations:q} \
            --transcripts {input.transcripts:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """
