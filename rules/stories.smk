# Stories and minimal pairs, and their speech.
#
# in:  a grammar, or the user's file of stories or of pairs
# out: <results>/text/{corpus}/{split}/{shard}.jsonl       stories, or minimal pairs
#      <results>/audio/{corpus}/{split}/{shard}.parquet    their speech, FLAC bytes


rule write_stories:
    """Write the stories of one shard."""
    input:
        source=lambda wildcards: ancient(JOBS.stories.source(wildcards)),
    output:
        "<results>/text/{corpus}/{split}/{shard}.jsonl",
    log:
        "<logs>/write_stories/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/write_stories/{corpus}/{split}/{shard}.tsv"
    wildcard_constraints:
        corpus=one_of(JOBS.stories.corpora("write_stories")),
    priority: JOBS.priority
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=1000,
    params:
        command=JOBS.command("write_stories"),
        code=JOBS.code("write_stories", JOBS.stories.text_kinds),
        # Another number of stories does not trigger a rerun of every shard, but of those whose stories change.
        settings=untracked(JOBS.stories.write_stories),
        stories=JOBS.stories.items,
        source=files_flag("source"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.source} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule write_minimal_pairs:
    """Write the minimal pairs of one shard."""
    input:
        source=JOBS.stories.source,
    output:
        "<results>/text/{corpus}/{split}/{shard}.jsonl",
    log:
        "<logs>/write_minimal_pairs/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/write_minimal_pairs/{corpus}/{split}/{shard}.tsv"
    wildcard_constraints:
        corpus=one_of(JOBS.stories.corpora("write_minimal_pairs")),
    conda:
        "../envs/speech.yaml"
    resources:
        mem_mb=1000,
    params:
        command=JOBS.command("write_minimal_pairs"),
        code=JOBS.code("write_minimal_pairs", JOBS.stories.text_kinds),
        settings=JOBS.stories.write_minimal_pairs,
        source=files_flag("source"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.source} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule synthesize_stories:
    """Speak the stories, or minimal pairs, of one shard."""
    input:
        stories="<results>/text/{corpus}/{split}/{shard}.jsonl",
        model=JOBS.stories.engine_files,
    output:
        audio="<results>/audio/{corpus}/{split}/{shard}.parquet",
        manifest="<results>/audio/{corpus}/{split}/{shard}.json",
    log:
        "<logs>/synthesize_stories/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/synthesize_stories/{corpus}/{split}/{shard}.tsv"
    wildcard_constraints:
        corpus=one_of(JOBS.stories.spoken()),
    priority: JOBS.priority
    conda:
        "../envs/speech.yaml"
    resources:
        mem_mb=2000,
    params:
        command=JOBS.command("synthesize_stories"),
        code=JOBS.code("synthesize_stories", JOBS.stories.engine_kinds),
        settings=JOBS.stories.synthesize_stories,
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
