# Models.
#
# in:  <results>/rows/..., <results>/preferences/..., <results>/units/{encoder}/codebook.*, a model to start from
# out: <results>/models/{recipe}/{model}/    a transformers folder with speech.json and the training's record, and what
#                                            it needs to stand alone, as package.json lists it


rule train:
    """Train a model: on rows, or on preference pairs, as its objective asks."""
    input:
        unpack(JOBS.training.inputs),
        parent=JOBS.training.parent,
        calibration=ancient(JOBS.training.calibration),
    output:
        config="<results>/models/{recipe}/{model}/config.json",
        weights="<results>/models/{recipe}/{model}/model.safetensors",
        speech="<results>/models/{recipe}/{model}/speech.json",
        training="<results>/models/{recipe}/{model}/training.json",
        metrics=report(
            "<results>/models/{recipe}/{model}/metrics.jsonl",
            caption="report/curve.rst",
            category="Training",
            labels={"model": "{model}"},
        ),
    log:
        "<logs>/train/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/train/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(RECIPE.trained),
    # What most other jobs wait for.
    priority: 3
    conda:
        "../envs/torch.yaml"
    threads: JOBS.threads
    resources:
        gpu=JOBS.gpus,
        mem_mb=16000,
        # Processes on each node; 0: one for each GPU, or one on a CPU.
        processes=0,
        torchrun="torchrun --standalone",
        # How much of a batch the device takes at once: machine-specific, so a resource and not a setting.
        # 0: as calibrate found, if it was asked (results/calibration), or else 8192.
        micro_batch_tokens=0,
        # DeepSpeed's ZeRO stage, and 1 for an optimizer in the CPU's memory. -1: as calibrate found, or else 0.
        zero_stage=-1,
        offload=-1,
    params:
        command=JOBS.torchrun("train"),
        code=JOBS.code("train", JOBS.training.kinds),
        # How often it is saved and monitored does not trigger a rerun.
        experiment=JOBS.training.experiment,
        settings=untracked(JOBS.training.settings),
        parent=folder_flag("parent"),
        inputs=lambda wildcards, input: JOBS.training.flags(wildcards, input),
        folder=subpath(output.config, parent=True),
        state=state_folder,
        calibration=calibration,
    # SIGTERM, with which a cluster says that time is nearly up, reaches this shell and tee too: they wait for the training,
    # which saves its state. torchrun gives it four minutes.
    shell:
        r"""
        trap : TERM
        export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=240
        {params.command} \
            --settings {params.settings:q} \
            {params.parent} {params.inputs} \
            --state {params.state:q} \
            --output {params.folder:q} \
            --calibration {params.calibration:q} \
            --micro-batch-tokens {resources.micro_batch_tokens} \
            --zero-stage {resources.zero_stage} \
            --offload {resources.offload} \
            --threads {threads} \
            2>&1 | (
            trap "" TERM
            tee {log:q}
        )
        """


rule package_model:
    """Put into the folder of a model what it needs to stand alone: codebook, tokenizer, vocoder."""
    input:
        speech="<results>/models/{recipe}/{model}/speech.json",
        codebook=JOBS.training.codebook,
        encoder=JOBS.training.encoder,
        vocoder=JOBS.training.vocoder,
    output:
        # The files in encoder/ and vocoder/ are as many as there are; package.json lists them.
        codebook="<results>/models/{recipe}/{model}/codebook.safetensors",
        package="<results>/models/{recipe}/{model}/package.json",
    log:
        "<logs>/package_model/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/package_model/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(JOBS.training.speaking()),
    # Nothing waits for it.
    priority: -1
    conda:
        "../envs/torch.yaml"
    params:
        command=JOBS.command("package_model"),
        code=JOBS.code("package_model"),
        folder=subpath(output.package, parent=True),
        encoder=files_flag("encoder"),
        vocoder=files_flag("vocoder"),
    shell:
        r"""
        {params.command} \
            --model {params.folder:q} \
            --codebook {input.codebook:q} \
            {params.encoder} {params.vocoder} \
            2>&1 | tee {log:q}
        """
