# Stories and minimal pairs, and their speech.
#
# in:  a grammar, or the user's text file
# out: <results>/text/{corpus}/{split}/{shard}.jsonl       stories, or minimal pairs
#      <results>/audio/{corpus}/{split}/{shard}.parquet    their speech, FLAC bytes


rule write_stories:
    """Write the stories of one shard."""
    input:
        source=lambda wildcards: ancient(PLAN.stories.source(wildcards)),
    output:
        "<results>/text/{corpus}/{split}/{shard}.jsonl",
    log:
        "<logs>/write_stories/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/write_stories/{corpus}/{split}/{shard}.tsv"
    wildcard_constraints:
        corpus=one_of(PLAN.stories.corpora()),
    priority: PLAN.priority
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=1000,
    params:
        command=PLAN.command("write_stories"),
        code=PLAN.code("write_stories"),
        # Asking for `output` keeps the number of stories from being a reason to rerun every shard.
        settings=lambda wildcards, output: PLAN.stories.write_stories(wildcards),
        # Which stories, so that a story added to a file concerns its own shard only.
        stories=PLAN.stories.items,
        source=lambda wildcards, input: (
            f"--source {input.source}" if input.source else ""
        ),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.source} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule write_minimal_pairs:
    """Write the minimal pairs of one shard."""
    output:
        "<results>/text/{corpus}/{split}/{shard}.jsonl",
    log:
        "<logs>/write_minimal_pairs/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/write_minimal_pairs/{corpus}/{split}/{shard}.tsv"
    wildcard_constraints:
        corpus=one_of(PLAN.stories.pair_corpora()),
    conda:
        "../envs/speech.yaml"
    resources:
        mem_mb=1000,
    params:
        command=PLAN.command("write_minimal_pairs"),
        code=PLAN.code("write_minimal_pairs"),
        settings=PLAN.stories.write_minimal_pairs,
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule synthesize_stories:
    """Speak the stories, or minimal pairs, of one shard."""
    input:
        stories="<results>/text/{corpus}/{split}/{shard}.jsonl",
        model=PLAN.stories.voices,
    output:
        audio="<results>/audio/{corpus}/{split}/{shard}.parquet",
        manifest="<results>/audio/{corpus}/{split}/{shard}.json",
    log:
        "<logs>/synthesize_stories/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/synthesize_stories/{corpus}/{split}/{shard}.tsv"
    wildcard_constraints:
        corpus=one_of(PLAN.stories.corpora() + PLAN.stories.pair_corpora()),
    priority: PLAN.priority
    conda:
        "../envs/speech.yaml"
    resources:
        mem_mb=2000,
    params:
        command=PLAN.command("synthesize_stories"),
        code=PLAN.code("synthesize_stories"),
        settings=PLAN.stories.synthesize_stories,
        model=folder_flag("model"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --stories {input.stories:q} {params.model} \
            --output {output.audio:q} \
            --manifest {output.manifest:q} \
            2>&1 | tee {log:q}
        """
