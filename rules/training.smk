# Models.
#
# in:  <results>/rows/{dataset}/..., <results>/units/..., a text model for a warm start
# out: <results>/preferences/{encoder}/{preferences}.parquet    pairs of right and wrong endings, as units
#      <results>/models/{recipe}/{model}/                       a transformers folder with speech.json and the
#                                                               training's record


rule pretrain:
    """Train a model on token rows."""
    input:
        train=PLAN.training.train_rows,
        validation=PLAN.training.validation_rows,
        codebook=PLAN.training.codebook_manifest,
        parent=PLAN.training.parent,
        machine=ancient(PLAN.training.machine_plan),
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
        "<logs>/pretrain/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/pretrain/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(PLAN.training.pretrained_models()),
    # What most other jobs wait for.
    priority: 3
    conda:
        "../envs/torch.yaml"
    threads: PLAN.threads
    resources:
        gpu=PLAN.gpus,
        mem_mb=16000,
        # How much of a batch the device takes at once: the machine's matter, so a resource and not a setting.
        # 0: as calibrate found, if it was asked (results/plans), or else 8192.
        micro_batch_tokens=0,
    params:
        command=PLAN.torchrun("pretrain"),
        code=PLAN.code("pretrain"),
        # How often it is saved and watched is no reason to train again.
        experiment=PLAN.training.experiment,
        settings=lambda wildcards, output: PLAN.training.settings(wildcards),
        vocabulary=lambda wildcards: PLAN.packing.vocabulary(
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
        plan=machine_plan,
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --vocabulary {params.vocabulary} \
            --train {params.train:q} {params.validation} {params.codebook} {params.parent} \
            --state {params.state:q} \
            --output {params.folder:q} \
            --plan {params.plan:q} \
            --micro-batch-tokens {resources.micro_batch_tokens} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """


rule build_preferences:
    """Build pairs of a right and a wrong ending."""
    input:
        stories=PLAN.training.preference_text,
        units=PLAN.training.preference_units,
    output:
        preference_pairs="<results>/preferences/{encoder}/{preferences}.parquet",
        manifest="<results>/preferences/{encoder}/{preferences}.json",
    log:
        "<logs>/build_preferences/{encoder}/{preferences}.log",
    benchmark:
        "<benchmarks>/build_preferences/{encoder}/{preferences}.tsv"
    # What DPO waits for.
    priority: 3
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=4000,
    params:
        command=PLAN.command("build_preferences"),
        code=PLAN.code("build_preferences"),
        settings=PLAN.training.build_preferences,
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


rule dpo:
    """Train a model to prefer right endings to wrong ones."""
    input:
        parent=PLAN.training.parent,
        preference_pairs=PLAN.training.preference_pairs,
        machine=ancient(PLAN.training.machine_plan),
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
        "<logs>/dpo/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/dpo/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(PLAN.training.preference_models()),
    # What most other jobs wait for.
    priority: 3
    conda:
        "../envs/torch.yaml"
    threads: PLAN.threads
    resources:
        gpu=PLAN.gpus,
        mem_mb=16000,
        micro_batch_tokens=0,
    params:
        command=PLAN.torchrun("dpo"),
        code=PLAN.code("dpo"),
        # How often it is saved and watched is no reason to train again.
        experiment=PLAN.training.experiment,
        settings=lambda wildcards, output: PLAN.training.settings(wildcards),
        parent=lambda wildcards, input: Path(input.parent[0]).parent,
        folder=subpath(output.config, parent=True),
        state=state_folder,
        plan=machine_plan,
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --parent {params.parent:q} \
            --pairs {input.preference_pairs:q} \
            --state {params.state:q} \
            --output {params.folder:q} \
            --plan {params.plan:q} \
            --micro-batch-tokens {resources.micro_batch_tokens} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """
