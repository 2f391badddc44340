# Recorded speech.
#
# in:  a folder (LibriSpeech's layout or any other), archives, or a dataset of the hub
# out: <results>/audio/{corpus}/{split}/{shard}.parquet              their recordings, as the files' own bytes
#      <results>/audio/{corpus}/{split}/{shard}.quarantine.jsonl     what could not be used, and why


rule collect_audio:
    """Collect the recordings of one shard."""
    input:
        archives=PLAN.audio_archives,
    output:
        audio="<results>/audio/{corpus}/{split}/{shard}.parquet",
        manifest="<results>/audio/{corpus}/{split}/{shard}.json",
        quarantine="<results>/audio/{corpus}/{split}/{shard}.quarantine.jsonl",
    log:
        "<logs>/collect_audio/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/collect_audio/{corpus}/{split}/{shard}.tsv"
    wildcard_constraints:
        corpus=one_of(PLAN.recorded_corpora()),
    retries: 1
    conda:
        "../envs/speech.yaml"
    resources:
        mem_mb=2000,
    params:
        command=PLAN.command("collect_audio"),
        code=PLAN.code("collect_audio"),
        settings=PLAN.collect_audio,
        # Which files, so that new ones concern their own shards only.
        recordings=PLAN.audio_items,
        # Where they lie is no reason to collect them again.
        source=PLAN.audio_source,
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.source} \
            --output {output.audio:q} \
            --manifest {output.manifest:q} \
            --quarantine {output.quarantine:q} \
            2>&1 | tee {log:q}
        """
