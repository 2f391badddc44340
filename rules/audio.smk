# Recorded speech.
#
# in:  a folder (LibriSpeech's layout or any other), archives, or a dataset of the hub
# out: <results>/audio/{corpus}/{split}/{shard}.parquet              their recordings, as the files' own bytes
#      <results>/audio/{corpus}/{split}/{shard}.quarantine.jsonl     what could not be used, and why
#      <results>/streams/{encoder}/{corpus}/{split}/{shard}.parquet  the same if it can be fetched again, until encoded
#      <results>/text/{corpus}/{split}/{shard}.jsonl                 for pairs, which recordings belong together
#      <resources>/revisions/{repository}.json                       the commit of a dataset without a fixed one


rule pin_revision:
    """Keep the newest commit of a dataset of the hub, so that all jobs take the same."""
    output:
        "<resources>/revisions/{repository}.json",
    log:
        "<logs>/pin_revision/{repository}.log",
    benchmark:
        "<benchmarks>/pin_revision/{repository}.tsv"
    wildcard_constraints:
        repository=one_of(JOBS.audio.unpinned()),
    retries: 2
    localrule: True
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=1000,
    params:
        command=JOBS.command("pin_revision"),
        repo=JOBS.audio.repo,
    shell:
        r"""
        {params.command} \
            --repo {params.repo} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule collect_audio:
    """Collect the recordings of one shard."""
    input:
        archives=JOBS.audio.archives,
        commit=lambda wildcards: ancient(JOBS.audio.commit(wildcards)),
    output:
        audio="<results>/audio/{corpus}/{split}/{shard}.parquet",
        manifest="<results>/audio/{corpus}/{split}/{shard}.json",
        quarantine="<results>/audio/{corpus}/{split}/{shard}.quarantine.jsonl",
    log:
        "<logs>/collect_audio/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/collect_audio/{corpus}/{split}/{shard}.tsv"
    wildcard_constraints:
        corpus=one_of_splits(JOBS.audio.kept()),
    priority: JOBS.priority
    retries: 1
    conda:
        "../envs/speech.yaml"
    resources:
        mem_mb=2000,
    params:
        command=JOBS.command("collect_audio"),
        code=JOBS.code("collect_audio", JOBS.audio.kinds),
        settings=JOBS.audio.collect_audio,
        # Which files, so that new ones concern their own shards only.
        recordings=JOBS.audio.items,
        # Where they lie does not trigger a rerun.
        source=JOBS.audio.source,
        commit=files_flag("commit"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.source} {params.commit} \
            --output {output.audio:q} \
            --manifest {output.manifest:q} \
            --quarantine {output.quarantine:q} \
            2>&1 | tee {log:q}
        """


# What can be fetched again is dropped once it is encoded: the next shard needs the space. Each encoder fetches for
# itself, so that another encoder does not trigger a rerun.
use rule collect_audio as stream_audio with:
    input:
        archives=JOBS.audio.archives,
        commit=lambda wildcards: ancient(JOBS.audio.commit(wildcards)),
        before=lambda wildcards: ancient(JOBS.audio.shard_before(wildcards)),
    output:
        audio=temp("<results>/streams/{encoder}/{corpus}/{split}/{shard}.parquet"),
        manifest="<results>/streams/{encoder}/{corpus}/{split}/{shard}.json",
        quarantine="<results>/streams/{encoder}/{corpus}/{split}/{shard}.quarantine.jsonl",
    log:
        "<logs>/stream_audio/{encoder}/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/stream_audio/{encoder}/{corpus}/{split}/{shard}.tsv"
    wildcard_constraints:
        corpus=one_of_splits(JOBS.audio.streamed()),


rule collect_pairs:
    """Collect one shard of pairs that were published as speech."""
    input:
        archives=JOBS.audio.archives,
        commit=lambda wildcards: ancient(JOBS.audio.commit(wildcards)),
    output:
        audio="<results>/audio/{corpus}/{split}/{shard}.parquet",
        text="<results>/text/{corpus}/{split}/{shard}.jsonl",
        manifest="<results>/audio/{corpus}/{split}/{shard}.json",
        quarantine="<results>/audio/{corpus}/{split}/{shard}.quarantine.jsonl",
    log:
        "<logs>/collect_pairs/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/collect_pairs/{corpus}/{split}/{shard}.tsv"
    wildcard_constraints:
        corpus=one_of(JOBS.audio.corpora("collect_pairs")),
    retries: 1
    conda:
        "../envs/speech.yaml"
    resources:
        mem_mb=2000,
    params:
        command=JOBS.command("collect_pairs"),
        code=JOBS.code("collect_pairs", JOBS.audio.kinds),
        settings=JOBS.audio.collect_pairs,
        recordings=JOBS.audio.items,
        source=JOBS.audio.source,
        commit=files_flag("commit"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.source} {params.commit} \
            --output {output.audio:q} \
            --text {output.text:q} \
            --manifest {output.manifest:q} \
            --quarantine {output.quarantine:q} \
            2>&1 | tee {log:q}
        """
