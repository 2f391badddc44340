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


# The rule score_benchmarks. All jobs of a rule have the same outputs, so models that are scored on other benchmarks have
# a rule of their own, score_benchmarks_of_{the first of them}: the same otherwise, and what a profile sets for
# score_benchmarks holds for it too. Scores that are still right are kept (update): one more benchmark does not score the
# others again.
for alike in JOBS.evaluation.scored_alike():

    rule:
        """Score a model on its benchmarks."""
        name:
            f"score_benchmarks{alike.suffix}"
        input:
            minimal_pairs=JOBS.evaluation.minimal_pairs,
            manifests=JOBS.evaluation.manifests,
            model=JOBS.evaluation.model,
        output:
            scores=[
                report(
                    update(
                        f"<results>/scores/{{recipe}}/{{model}}/{benchmark}.{split}.json"
                    ),
                    caption="report/score.rst",
                    category="Scores",
                    subcategory=benchmark,
                    labels={"model": "{model}", "split": split},
                )
                for benchmark, split in alike.scored
            ],
            pairs=[
                update(f"<results>/scores/{{recipe}}/{{model}}/{name}.pairs.parquet")
                for name in alike.names
            ],
        log:
            "<logs>/score_benchmarks/{recipe}/{model}.log",
        benchmark:
            "<benchmarks>/score_benchmarks/{recipe}/{model}.tsv"
        wildcard_constraints:
            model=one_of(alike.models),
        conda:
            "../envs/torch.yaml"
        threads: JOBS.threads
        resources:
            gpu=JOBS.gpus,
            mem_mb=8000,
        params:
            command=JOBS.command("score_benchmarks"),
            code=JOBS.code("score_benchmarks"),
            settings=JOBS.evaluation.score_benchmarks,
            model=folder_flag("model"),
            files=JOBS.evaluation.benchmark_flags,
        shell:
            r"""
            {params.command} \
                --settings {params.settings:q} {params.model} \
                {params.files} \
                --threads {threads} \
                2>&1 | tee {log:q}
            """

    own = workflow.get_rule(f"score_benchmarks{alike.suffix}")
    own.resources = workflow.get_rule("score_benchmarks").resources


if RECIPE.evaluation.rows():

    rule score_baselines:
        """Score the recipe's baselines on one split of a benchmark."""
        input:
            unpack(JOBS.evaluation.items),
            train=JOBS.evaluation.baseline_units,
            records=JOBS.evaluation.baseline_records,
            spoken=JOBS.evaluation.baseline_spoken,
            speech=JOBS.evaluation.baseline_speech,
            text_model=JOBS.evaluation.baseline_text_model,
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
        threads: JOBS.threads if RECIPE.evaluation.text_model else 1
        resources:
            gpu=JOBS.gpus if RECIPE.evaluation.text_model else 0,
            mem_mb=8000,
        params:
            command=JOBS.command("score_baselines"),
            code=JOBS.code("score_baselines", JOBS.evaluation.baseline_kinds),
            settings=JOBS.evaluation.score_baselines,
            train=shard_patterns("train"),
            records=shard_patterns("records"),
            spoken=shard_patterns("spoken"),
            speech=shard_patterns("speech"),
            text_model=folder_flag("text-model", "text_model"),
            outputs=JOBS.evaluation.baseline_flags,
        shell:
            r"""
            {params.command} \
                --settings {params.settings:q} \
                --train {params.train} \
                --records {params.records} \
                --spoken {params.spoken} \
                --speech {params.speech} {params.text_model} \
                --items {input.minimal_pairs:q} \
                --manifest {input.manifest:q} \
                {params.outputs} \
                --threads {threads} \
                2>&1 | tee {log:q}
            """
