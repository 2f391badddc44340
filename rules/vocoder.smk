# Units back to speech.
#
# in:  <results>/audio/..., <results>/units/{encoder}/...
# out: <results>/vocoders/{encoder}/vocoder.safetensors, vocoder.json    units to the speech of one voice, trained on
#                                                                        that speech or published
#      <results>/vocoders/{encoder}/score.json                           word and phone error rates on held-out speech,
#                                                                        and its quality if the recipe asks for it
#      <results>/vocoders/{encoder}/examples.parquet                     pairs to listen to


rule train_vocoder:
    """Train a vocoder for the units of an encoder."""
    input:
        audio=JOBS.vocoder.audio,
        units=JOBS.vocoder.units,
    output:
        weights="<results>/vocoders/{encoder}/vocoder.safetensors",
        description="<results>/vocoders/{encoder}/vocoder.json",
    log:
        "<logs>/train_vocoder/{encoder}.log",
    benchmark:
        "<benchmarks>/train_vocoder/{encoder}.tsv"
    wildcard_constraints:
        encoder=one_of(JOBS.vocoder.made_by("train_vocoder")),
    conda:
        "../envs/torch.yaml"
    # A fixed number: threads split sums, so their number shows in the last bits of the weights. And one, because the
    # network is small: a second thread would mostly wait, and here another job can have its core.
    threads: 1
    resources:
        mem_mb=4000,
    params:
        command=JOBS.command("train_vocoder"),
        code=JOBS.code("train_vocoder", JOBS.vocoder.kinds),
        settings=JOBS.vocoder.train_vocoder,
        folder=subpath(output.weights, parent=True),
        audio=shard_patterns("audio"),
        units=shard_patterns("units"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --audio {params.audio} \
            --units {params.units} \
            --output {params.folder:q} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule convert_vocoder:
    """Convert a published vocoder, so that it speaks by the same interface."""
    input:
        JOBS.vocoder.published_files,
    output:
        weights="<results>/vocoders/{encoder}/vocoder.safetensors",
        description="<results>/vocoders/{encoder}/vocoder.json",
    log:
        "<logs>/convert_vocoder/{encoder}.log",
    benchmark:
        "<benchmarks>/convert_vocoder/{encoder}.tsv"
    wildcard_constraints:
        encoder=one_of(JOBS.vocoder.made_by("convert_vocoder")),
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=4000,
    params:
        command=JOBS.command("convert_vocoder"),
        code=JOBS.code("convert_vocoder", JOBS.vocoder.kinds),
        settings=JOBS.vocoder.convert_vocoder,
        source=lambda wildcards, input: Path(input[0]).parent,
        target=subpath(output.weights, parent=True),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --input {params.source:q} \
            --output {params.target:q} \
            2>&1 | tee {log:q}
        """


rule score_vocoder:
    """Measure WER and PER of held-out speech, before and after units and vocoder."""
    input:
        vocoder=JOBS.vocoder.files,
        audio=JOBS.vocoder.held_out_audio,
        units=JOBS.vocoder.held_out_units,
        recognizer=JOBS.vocoder.recognizer,
        dnsmos=JOBS.vocoder.dnsmos,
    output:
        score=report(
            "<results>/vocoders/{encoder}/score.json",
            caption="report/vocoder.rst",
            category="Vocoder",
            labels={"encoder": "{encoder}"},
        ),
        examples="<results>/vocoders/{encoder}/examples.parquet",
    log:
        "<logs>/score_vocoder/{encoder}.log",
    benchmark:
        "<benchmarks>/score_vocoder/{encoder}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: JOBS.threads
    resources:
        mem_mb=4000,
    params:
        command=JOBS.command("score_vocoder"),
        code=JOBS.code("score_vocoder", JOBS.vocoder.kinds),
        settings=JOBS.vocoder.score_vocoder,
        vocoder=folder_flag("vocoder"),
        recognizer=folder_flag("recognizer"),
        audio=shard_patterns("audio"),
        units=shard_patterns("units"),
        dnsmos=files_flag("dnsmos"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.vocoder} \
            --audio {params.audio} \
            --units {params.units} \
            {params.recognizer} {params.dnsmos} \
            --output {output.score:q} \
            --examples {output.examples:q} \
            --workers {threads} \
            2>&1 | tee {log:q}
        """
