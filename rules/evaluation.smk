# Benchmarks of minimal pairs.
#
# in:  <results>/units/..., <results>/models/{recipe}/{model}/
# out: <results>/evaluation/{encoder}/{benchmark}/{part}.parquet           the pairs, as units
#      <results>/scores/{recipe}/{model}/{benchmark}.{part}.json           accuracy and interval
#      <results>/scores/{recipe}/{model}/{benchmark}.{part}.pairs.parquet  each pair's likelihoods


rule build_benchmark:
    """Build the pairs of one part (dev or test) of a benchmark."""
    input:
        stories=PLAN.evaluation.text,
        units=PLAN.evaluation.units,
    output:
        minimal_pairs="<results>/evaluation/{encoder}/{benchmark}/{part}.parquet",
        manifest="<results>/evaluation/{encoder}/{benchmark}/{part}.json",
    log:
        "<logs>/build_benchmark/{encoder}/{benchmark}/{part}.log",
    benchmark:
        "<benchmarks>/build_benchmark/{encoder}/{benchmark}/{part}.tsv"
    wildcard_constraints:
        part="dev|test",
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=2000,
    params:
        command=PLAN.command("build_benchmark"),
        code=PLAN.code("build_benchmark"),
        settings=PLAN.evaluation.build_benchmark,
        stories=shard_patterns("stories"),
        units=shard_patterns("units"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --stories {params.stories} \
            --units {params.units} \
            --output {output.minimal_pairs:q} \
            --manifest {output.manifest:q} \
            2>&1 | tee {log:q}
        """


rule score_benchmark:
    """Score a model on one part of a benchmark."""
    input:
        unpack(PLAN.evaluation.items),
        model=PLAN.evaluation.model,
    output:
        score=report(
            "<results>/scores/{recipe}/{model}/{benchmark}.{part}.json",
            caption="report/score.rst",
            category="Scores",
            subcategory="{benchmark}",
            labels={"model": "{model}", "part": "{part}"},
        ),
        pairs="<results>/scores/{recipe}/{model}/{benchmark}.{part}.pairs.parquet",
    log:
        "<logs>/score_benchmark/{recipe}/{model}/{benchmark}.{part}.log",
    benchmark:
        "<benchmarks>/score_benchmark/{recipe}/{model}/{benchmark}.{part}.tsv"
    wildcard_constraints:
        model=one_of(RECIPE.models),
        part="dev|test",
    conda:
        "../envs/torch.yaml"
    threads: PLAN.threads
    resources:
        gpu=PLAN.gpus,
        mem_mb=8000,
    params:
        command=PLAN.command("score_benchmark"),
        code=PLAN.code("score_benchmark"),
        settings=PLAN.evaluation.settings,
        folder=lambda wildcards, input: Path(input.model[0]).parent,
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --benchmark {wildcards.benchmark} \
            --part {wildcards.part} \
            --model-name {wildcards.model} \
            --model {params.folder:q} \
            --items {input.minimal_pairs:q} \
            --manifest {input.manifest:q} \
            --output {output.score:q} \
            --pairs {output.pairs:q} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule score_baselines:
    """Score what needs no model: unigram, 5-gram and length."""
    input:
        unpack(PLAN.evaluation.items),
        train=PLAN.evaluation.baseline_units,
    output:
        unigram="<results>/scores/{recipe}/unigram/{benchmark}.{part}.json",
        unigram_pairs="<results>/scores/{recipe}/unigram/{benchmark}.{part}.pairs.parquet",
        five_gram="<results>/scores/{recipe}/5gram/{benchmark}.{part}.json",
        five_gram_pairs="<results>/scores/{recipe}/5gram/{benchmark}.{part}.pairs.parquet",
        length="<results>/scores/{recipe}/length/{benchmark}.{part}.json",
        length_pairs="<results>/scores/{recipe}/length/{benchmark}.{part}.pairs.parquet",
    log:
        "<logs>/score_baselines/{recipe}/{benchmark}.{part}.log",
    benchmark:
        "<benchmarks>/score_baselines/{recipe}/{benchmark}.{part}.tsv"
    wildcard_constraints:
        part="dev|test",
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=8000,
    params:
        command=PLAN.command("score_baselines"),
        code=PLAN.code("score_baselines"),
        settings=PLAN.evaluation.settings,
        train=shard_patterns("train"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --benchmark {wildcards.benchmark} \
            --part {wildcards.part} \
            --train {params.train} \
            --items {input.minimal_pairs:q} \
            --manifest {input.manifest:q} \
            --unigram {output.unigram:q} \
            --unigram-pairs {output.unigram_pairs:q} \
            --5gram {output.five_gram:q} \
            --5gram-pairs {output.five_gram_pairs:q} \
            --length {output.length:q} \
            --length-pairs {output.length_pairs:q} \
            2>&1 | tee {log:q}
        """
