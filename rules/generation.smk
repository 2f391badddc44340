# Spoken continuations of held-out prompts.
#
# in:  <results>/audio/..., <results>/units/{encoder}/codebook.safetensors, <results>/vocoders/{encoder}/,
#      <results>/models/{recipe}/{model}/
# out: <results>/generation/{recipe}/{model}/continuations.parquet     units and speech
#      <results>/scores/{recipe}/{model}/generation.json               GenPPL and auto-BLEU with intervals
#      <results>/scores/{recipe}/{model}/generation.transcripts.jsonl  what Whisper heard, with the figures of each
#
# Among the models are `truth`, the utterance's own rest, and `shuffled`, its units in disorder.


rule continue_speech:
    """Continue spoken prompts, and speak the result."""
    input:
        model=PLAN.generation.model,
        audio=PLAN.generation.prompts,
        codebook=PLAN.generation.codebook,
        encoder=PLAN.generation.encoder_model,
        vocoder=PLAN.generation.vocoder,
    output:
        "<results>/generation/{recipe}/{model}/continuations.parquet",
    log:
        "<logs>/continue_speech/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/continue_speech/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(PLAN.generation.models()),
    conda:
        "../envs/torch.yaml"
    threads: PLAN.threads
    resources:
        gpu=PLAN.gpus,
        mem_mb=8000,
    params:
        command=PLAN.command("continue_speech"),
        code=PLAN.code("continue_speech"),
        settings=PLAN.generation.continue_speech,
        source=lambda wildcards, input: (
            f"--model {Path(input.model[0]).parent}"
            if input.model
            else f"--baseline {wildcards.model}"
        ),
        encoder=lambda wildcards, input: (
            f"--encoder-model {Path(input.encoder[0]).parent}" if input.encoder else ""
        ),
        vocoder=lambda wildcards, input: Path(input.vocoder[0]).parent,
        audio=shard_patterns("audio"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.source} {params.encoder} \
            --audio {params.audio} \
            --codebook {input.codebook:q} \
            --vocoder {params.vocoder:q} \
            --output {output:q} \
            --workers {threads} \
            2>&1 | tee {log:q}
        """


rule score_continuations:
    """Transcribe continuations, and judge the transcripts by a text model."""
    input:
        continuations="<results>/generation/{recipe}/{model}/continuations.parquet",
        recognizer=PLAN.generation.recognizer,
        text_model=PLAN.generation.text_model,
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
        model=one_of(PLAN.generation.models()),
    conda:
        "../envs/torch.yaml"
    threads: PLAN.threads
    resources:
        gpu=PLAN.gpus,
        mem_mb=8000,
    params:
        command=PLAN.command("score_continuations"),
        code=PLAN.code("score_continuations"),
        settings="{}",
        recognizer=lambda wildcards, input: Path(input.recognizer[0]).parent,
        text_model=lambda wildcards, input: Path(input.text_model[0]).parent,
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --model-name {wildcards.model} \
            --continuations {input.continuations:q} \
            --recognizer {params.recognizer:q} \
            --text-model {params.text_model:q} \
            --output {output.score:q} \
            --transcripts {output.transcripts:q} \
            --workers {threads} \
            2>&1 | tee {log:q}
        """
