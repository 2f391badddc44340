# Models.
#
# in:  <results>/rows/{dataset}/..., a text model for a warm start
# out: <results>/models/{recipe}/{model}/    a transformers folder with speech.json and the training's record


rule pretrain:
    """Train a model on token rows."""
    input:
        train=PLAN.train_rows,
        validation=PLAN.validation_rows,
        codebook=PLAN.codebook_manifest,
        parent=PLAN.parent_model,
    output:
        config="<results>/models/{recipe}/{model}/config.json",
        weights="<results>/models/{recipe}/{model}/model.safetensors",
        speech="<results>/models/{recipe}/{model}/speech.json",
        training="<results>/models/{recipe}/{model}/training.json",
        metrics="<results>/models/{recipe}/{model}/metrics.jsonl",
    log:
        "<logs>/pretrain/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/pretrain/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(RECIPE.models),
    conda:
        "../envs/torch.yaml"
    threads: 16
    resources:
        gpu=1,
        mem_mb=16000,
        # How much of a batch the device takes at once: the machine's matter, so a resource and not a setting.
        micro_batch_tokens=8192,
    params:
        command=PLAN.torchrun("pretrain"),
        code=PLAN.code("pretrain"),
        settings=PLAN.model_settings,
        vocabulary=lambda wildcards: PLAN.vocabulary(
            RECIPE.models[wildcards.model].data
        ),
        train=lambda wildcards, input: Path(input.train[0]).parent,
        validation=validation_flags,
        codebook=lambda wildcards, input: (
            f"--codebook-manifest {input.codebook}" if input.codebook else ""
        ),
        parent=folder_flag("parent"),
        folder=subpath(output.config, parent=True),
        state=state_folder,
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --vocabulary {params.vocabulary} \
            --train {params.train:q} {params.validation} {params.codebook} {params.parent} \
            --state {params.state:q} \
            --output {params.folder:q} \
            --micro-batch-tokens {resources.micro_batch_tokens} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """
