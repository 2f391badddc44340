# Preference pairs.
#
# in:  <results>/text/..., <results>/units/{encoder}/...
# out: <results>/preferences/{encoder}/{preferences}.parquet    pairs of right and wrong endings, as units


rule build_preferences:
    """Build pairs of a right and a wrong ending."""
    input:
        stories=JOBS.preferences.text,
        units=JOBS.preferences.units,
    output:
        preference_pairs="<results>/preferences/{encoder}/{preferences}.parquet",
        manifest="<results>/preferences/{encoder}/{preferences}.json",
    log:
        "<logs>/build_preferences/{encoder}/{preferences}.log",
    benchmark:
        "<benchmarks>/build_preferences/{encoder}/{preferences}.tsv"
    # What alignment waits for.
    priority: 3
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=4000,
    params:
        command=JOBS.command("build_preferences"),
        code=JOBS.code("build_preferences"),
        settings=JOBS.preferences.build_preferences,
        stories=shard_patterns("stories"),
        units=shard_patterns("units"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --stories {params.stories} \
            --units {params.units} \
            --output {output.preference_pairs:q} \
            --manifest {output.manifest:q} \
            2>&1 | tee {log:q}
        """
