# Speech units.
#
# in:  <results>/audio/{corpus}/{split}/{shard}.parquet, or <results>/streams/{encoder}/...
# out: <results>/units/{encoder}/codebook.safetensors
#      <results>/units/{encoder}/{corpus}/{split}/{shard}.parquet             deduplicated units and durations
#      <results>/units/{encoder}/{corpus}/{split}/{shard}.quarantine.jsonl    what could not be encoded, and why
#      <results>/units/{encoder}/{corpus}/voices.json                         distances between voices


rule fit_units:
    """Fit a codebook on frames of speech, or take a given one."""
    input:
        audio=JOBS.units.fitting_audio,
        given=JOBS.units.given_codebook,
        model=JOBS.units.model,
    output:
        codebook="<results>/units/{encoder}/codebook.safetensors",
        manifest="<results>/units/{encoder}/codebook.json",
    log:
        "<logs>/fit_units/{encoder}.log",
    benchmark:
        "<benchmarks>/fit_units/{encoder}.tsv"
    # What most other jobs wait for.
    priority: 3
    conda:
        "../envs/torch.yaml"
    threads: JOBS.threads
    resources:
        gpu=JOBS.gpus,
        mem_mb=8000,
    params:
        command=JOBS.command("fit_units"),
        code=JOBS.code("fit_units", JOBS.units.kinds),
        settings=JOBS.units.fit_units,
        model=folder_flag("model"),
        audio=lambda wildcards, input: (
            f"--audio {shard_patterns('audio')(wildcards, input)}"
            if input.audio
            else ""
        ),
        given=files_flag("given"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.audio} {params.given} {params.model} \
            --output {output.codebook:q} \
            --manifest {output.manifest:q} \
            --workers {threads} \
            2>&1 | tee {log:q}
        """


rule extract_units:
    """Encode the speech of one shard."""
    input:
        audio=JOBS.audio.shard,
        codebook="<results>/units/{encoder}/codebook.safetensors",
        model=JOBS.units.model,
    output:
        units="<results>/units/{encoder}/{corpus}/{split}/{shard}.parquet",
        manifest="<results>/units/{encoder}/{corpus}/{split}/{shard}.json",
        quarantine="<results>/units/{encoder}/{corpus}/{split}/{shard}.quarantine.jsonl",
    log:
        "<logs>/extract_units/{encoder}/{corpus}/{split}/{shard}.log",
    benchmark:
        "<benchmarks>/extract_units/{encoder}/{corpus}/{split}/{shard}.tsv"
    priority: JOBS.priority
    conda:
        "../envs/torch.yaml"
    threads: JOBS.threads
    resources:
        gpu=JOBS.gpus,
        mem_mb=8000,
    params:
        command=JOBS.command("extract_units"),
        code=JOBS.code("extract_units", JOBS.units.kinds),
        settings=JOBS.units.extract_units,
        # What the speech is made from, since a streamed shard is gone.
        speech=JOBS.audio.streamed_speech,
        model=folder_flag("model"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --audio {input.audio:q} \
            --codebook {input.codebook:q} {params.model} \
            --output {output.units:q} \
            --manifest {output.manifest:q} \
            --quarantine {output.quarantine:q} \
            --workers {threads} \
            2>&1 | tee {log:q}
        """


rule compare_voices:
    """Measure how far the same sentence is apart in different voices."""
    input:
        JOBS.units.compared,
    output:
        "<results>/units/{encoder}/{corpus}/voices.json",
    log:
        "<logs>/compare_voices/{encoder}/{corpus}.log",
    benchmark:
        "<benchmarks>/compare_voices/{encoder}/{corpus}.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=2000,
    params:
        command=JOBS.command("compare_voices"),
        code=JOBS.code("compare_voices"),
        settings=JOBS.units.compare_voices,
        units=shard_patterns(),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --units {params.units} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """
