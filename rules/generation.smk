# Spoken continuations of held-out prompts.
#
# in:  <results>/audio/..., <results>/units/{encoder}/codebook.safetensors, <results>/vocoders/{encoder}/,
#      <results>/models/{recipe}/{model}/
# out: <results>/generation/{recipe}/{model}/continuations.parquet     units and speech
#      <results>/generation/{recipe}/{model}/prompts.json              which prompts, with the sha256 of their audio
#      <results>/scores/{recipe}/{model}/generation.json               GenPPL and auto-BLEU with intervals
#      <results>/scores/{recipe}/{model}/generation.transcripts.jsonl  what Whisper transcribes, with the figures of each
#      <results>/scores/{recipe}/{model}/judge.json                    mean grade by a language model, if there is a judge
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
        continuations="<results>/generation/{recipe}/{model}/continuations.parquet",
        prompts="<results>/generation/{recipe}/{model}/prompts.json",
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
        tokenizer=folder_flag("tokenizer-model", "tokenizer"),
        vocoder=folder_flag("vocoder"),
        audio=shard_patterns("audio"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.model} {params.tokenizer} {params.vocoder} \
            --audio {params.audio} \
            --codebook {input.codebook:q} \
            --output {output.continuations:q} \
            --prompts {output.prompts:q} \
            --workers {threads} \
            2>&1 | tee {log:q}
        """


rule score_continuations:
    """Transcribe continuations, and score the transcripts by a text model."""
    input:
        continuations="<results>/generation/{recipe}/{model}/continuations.parquet",
        prompts="<results>/generation/{recipe}/{model}/prompts.json",
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
        text_model=folder_flag("text-model", "text_model"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} {params.recognizer} {params.text_model} \
            --continuations {input.continuations:q} \
            --prompts {input.prompts:q} \
            --output {output.score:q} \
            --transcripts {output.transcripts:q} \
            --workers {threads} \
            2>&1 | tee {log:q}
        """


rule judge_continuations:
    """Have a language model over the network grade continuations, in a recipe with `generation.judge`."""
    input:
        "<results>/scores/{recipe}/{model}/generation.transcripts.jsonl",
    output:
        score=report(
            "<results>/scores/{recipe}/{model}/judge.json",
            caption="report/judge.rst",
            category="Continuations",
            labels={"model": "{model}, judged"},
        ),
        answers="<results>/scores/{recipe}/{model}/judge.answers.jsonl",
    log:
        "<logs>/judge_continuations/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/judge_continuations/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(JOBS.generation.judged()),
    conda:
        "../envs/base.yaml"
    threads: 4
    resources:
        mem_mb=1000,
    params:
        command=JOBS.command("judge_continuations"),
        code=JOBS.code("judge_continuations"),
        settings=JOBS.generation.judge_continuations,
        state=answers_so_far,
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --transcripts {input:q} \
            --output {output.score:q} \
            --answers {output.answers:q} \
            --state {params.state:q} \
            --workers {threads} \
            2>&1 | tee {log:q}
        """
