# Benchmarks of minimal pairs.
#
# in:  <results>/units/..., <results>/models/{recipe}/{model}/
# out: <results>/evaluation/{encoder}/{benchmark}/{split}.parquet           the pairs, as units
#      <results>/scores/{recipe}/{model}/{benchmark}.{split}.json           accuracy and interval
#      <results>/scores/{recipe}/{model}/{benchmark}.{split}.pairs.parquet  each pair's likelihoods
#
# Among the models are the recipe's baselines.


rule build_benchmark:
    """Build the pairs of one split (dev or test) of a benchmark."""
    input:
        records=JOBS.evaluation.records,
        units=JOBS.evaluation.units,
    output:
        minimal_pairs="<results>/evaluation/{encoder}/{benchmark}/{split}.parquet",
        manifest="<results>/evaluation/{encoder}/{benchmark}/{split}.json",
    log:
        "<logs>/build_benchmark/{encoder}/{benchmark}/{split}.log",
    benchmark:
        "<benchmarks>/build_benchmark/{encoder}/{benchmark}/{split}.tsv"
    wildcard_constraints:
        split="dev|test",
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=2000,
    params:
        command=JOBS.command("build_benchmark"),
        code=JOBS.code("build_benchmark", JOBS.evaluation.kinds),
        settings=JOBS.evaluation.build_benchmark,
        records=shard_patterns("records"),
        units=shard_patterns("units"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --records {params.records} \
            --units {params.units} \
            --output {output.minimal_pairs:q} \
            --manifest {output.manifest:q} \
            2>&1 | tee {log:q}
        """


rule score_benchmark:
    """Score a model on one split of a benchmark."""
    input:
        unpack(JOBS.evaluation.items),
        model=JOBS.evaluation.model,
    output:
        score=report(
            "<results>/scores/{recipe}/{model}/{benchmark}.{split}.json",
            caption="report/score.rst",
            category="Scores",
            subcategory="{benchmark}",
            labels={"model": "{model}", "split": "{split}"},
        ),
        pairs="<results>/scores/{recipe}/{model}/{benchmark}.{split}.pairs.parquet",
    log:
        "<logs>/score_benchmark/{recipe}/{model}/{benchmark}.{split}.log",
    benchmark:
        "<benchmarks>/score_benchmark/{recipe}/{model}/{benchmark}.{split}.tsv"
    wildcard_constraints:
        model=one_of(RECIPE.models),
        split="dev|test",
    conda:
        "../envs/torch.yaml"
    threads: JOBS.threads
    resources:
        gpu=JOBS.gpus,
        mem_mb=8000,
    params:
        command=JOBS.command("score_benchmark"),
        code=JOBS.code("score_benchmark"),
        settings=JOBS.evaluation.score_benchmark,
        model=folder_flag("model"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.model} \
            --items {input.minimal_pairs:q} \
            --manifest {input.manifest:q} \
            --output {output.score:q} \
            --pairs {output.pairs:q} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


if RECIPE.evaluation.baselines:

    rule score_baselines:
        """Score the recipe's baselines on one split of a benchmark."""
        input:
            unpack(JOBS.evaluation.items),
            train=JOBS.evaluation.baseline_units,
        output:
            JOBS.evaluation.baseline_outputs(),
        log:
            "<logs>/score_baselines/{recipe}/{benchmark}.{split}.log",
        benchmark:
            "<benchmarks>/score_baselines/{recipe}/{benchmark}.{split}.tsv"
        wildcard_constraints:
            split="dev|test",
        conda:
            "../envs/torch.yaml"
        resources:
            mem_mb=8000,
        params:
            command=JOBS.command("score_baselines"),
            code=JOBS.code("score_baselines", JOBS.evaluation.baseline_kinds),
            settings=JOBS.evaluation.score_baselines,
            train=shard_patterns("train"),
            outputs=JOBS.evaluation.baseline_flags,
        shell:
            r"""
            {params.command} \
                --settings {params.settings:q} \
                --train {params.train} \
                --items {input.minimal_pairs:q} \
                --manifest {input.manifest:q} \
                {params.outputs} \
                2>&1 | tee {log:q}
            """
