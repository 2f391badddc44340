# Results.
#
# in:  scores, training records, manifests, job costs, speech
# out: <results>/summary/{recipe}.json
#      <results>/report/{recipe}.html    a page that needs nothing else


report: "report/workflow.rst"


rule summarize:
    """Gather the results of a run into one JSON file."""
    input:
        scores=JOBS.evaluation.scores(".json"),
        pairs=JOBS.evaluation.scores(".pairs.parquet"),
        training=JOBS.training.all("training.json"),
        units=JOBS.units.all(),
        unit_manifests=JOBS.units.all(".json"),
        codebooks=JOBS.units.codebook_manifests(),
        voices=JOBS.units.voice_distances(),
        vocoders=JOBS.vocoder.scores(),
        generation=JOBS.generation.scores(),
        judgements=JOBS.generation.judgements(),
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
        command=JOBS.command("summarize"),
        code=JOBS.code("summarize"),
        recipe=JOBS.report.tracked_recipe(),
        settings=untracked(JOBS.report.summarize),
        job_costs=lambda wildcards, output: workflow.pathvars.apply("<benchmarks>"),
        resources=lambda wildcards, output: workflow.pathvars.apply("<resources>"),
        unit_manifests=shard_patterns("unit_manifests"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --scores {input.scores:q} \
            --pairs {input.pairs:q} \
            --training {input.training:q} \
            --unit-manifests {params.unit_manifests} \
            --codebooks {input.codebooks:q} \
            --voices {input.voices:q} \
            --vocoders {input.vocoders:q} \
            --generation {input.generation:q} \
            --judgements {input.judgements:q} \
            --job-costs {params.job_costs:q} \
            --resources {params.resources:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule render_report:
    """Write the page of a run."""
    input:
        summary="<results>/summary/{recipe}.json",
        metrics=JOBS.training.all("metrics.jsonl"),
        examples=JOBS.vocoder.examples(),
        continuations=JOBS.generation.continuations(),
        transcripts=JOBS.generation.transcripts(),
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
        command=JOBS.command("render_report"),
        code=JOBS.report.page_code(),
        recipe=JOBS.report.tracked_recipe(),
        terms=JOBS.report.tracked_terms(),
        words=JOBS.report.page_words(),
        settings=untracked(JOBS.report.render_report),
        metrics=named_files("metrics", RECIPE.trained),
        examples=named_files("examples", JOBS.vocoder.evaluated()),
        transcripts=named_files("transcripts", JOBS.generation.models()),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --summary {input.summary:q} \
            --metrics {params.metrics:q} \
            --vocoder-examples {params.examples:q} \
            --continuations {input.continuations:q} \
            --transcripts {params.transcripts:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """
