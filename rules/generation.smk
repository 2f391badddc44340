# Spoken continuations of held-out prompts.
#
# in:  <results>/audio/..., <results>/units/{encoder}/codebook.safetensors, <results>/vocoders/{encoder}/,
#      <results>/models/{recipe}/{model}/
# out: <results>/generation/{recipe}/{model}/continuations.parquet     units and speech
#      <results>/scores/{recipe}/{model}/generation.json               GenPPL and auto-BLEU with intervals
#      <results>/scores/{recipe}/{model}/generation.transcripts.jsonl  what Whisper transcribes, with the figures of each
#
# Among the models are `truth`, the utterance's own rest, and `shuffled`, its units shuffled.


rule continue_speech:
    """Continue spoken prompts, and speak the result."""
    input:
        model=JOBS.generation.model,
        audio=JOBS.generation.prompts,
        codebook=JOBS.generation.codebook,
        tokenizer=JOBS.generation.tokenizer_model,
        vocoder=JOBS.generation.vocoder,
    output:
        "<results>/generation/{recipe}/{model}/continuations.parquet",
    log:
        "<logs>/continue_speech/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/continue_speech/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(JOBS.generation.models()),
    conda:
        "../envs/torch.yaml"
    threads: JOBS.threads
    resources:
        gpu=JOBS.gpus,
        mem_mb=8000,
    params:
        command=JOBS.command("continue_speech"),
        code=JOBS.code("continue_speech", JOBS.generation.kinds),
        settings=JOBS.generation.continue_speech,
        model=folder_flag("model"),
        tokenizer=lambda wildcards, input: (
            f"--tokenizer-model {Path(input.tokenizer[0]).parent}"
            if input.tokenizer
            else ""
        ),
        vocoder=folder_flag("vocoder"),
        audio=shard_patterns("audio"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.model} {params.tokenizer} {params.vocoder} \
            --audio {params.audio} \
            --codebook {input.codebook:q} \
            --output {output:q} \
            --workers {threads} \
            2>&1 | tee {log:q}
        """


rule score_continuations:
    """Transcribe continuations, and score the transcripts by a text model."""
    input:
        continuations="<results>/generation/{recipe}/{model}/continuations.parquet",
        recognizer=JOBS.generation.recognizer,
        text_model=JOBS.generation.text_model,
    output:
        score=report(
            "<results>/scores/{recipe}/{model}/generation.json",
            caption="report/generation.rst",
            category="Continuations",
            labels={"model": "{model}"},
        ),
        transcripts="<results>/scores/{recipe}/{model}/generation.transcripts.jsonl",
    log:
        "<logs>/score_continuations/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/score_continuations/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(JOBS.generation.models()),
    conda:
        "../envs/torch.yaml"
    threads: JOBS.threads
    resources:
        gpu=JOBS.gpus,
        mem_mb=8000,
    params:
        command=JOBS.command("score_continuations"),
        code=JOBS.code("score_continuations"),
        settings=JOBS.generation.score_continuations,
        recognizer=folder_flag("recognizer"),
        text_model=lambda wildcards, input: Path(input.text_model[0]).parent,
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.recognizer} \
            --continuations {input.continuations:q} \
            --text-model {params.text_model:q} \
            --output {output.score:q} \
            --transcripts {output.transcripts:q} \
            --workers {threads} \
            2>&1 | tee {log:q}
        """
