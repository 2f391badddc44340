# How fast this device trains the models of a recipe.
#
# in:  <results>/rows/{dataset}/train/..., a model to start from
# out: <results>/calibration/{recipe}/{model}.json    seconds of a step, and how many rows the device takes at once


rule calibrate:
    """Measure how fast this device trains a model, and choose how many rows it takes at once."""
    input:
        train=JOBS.training.train_rows,
        parent=JOBS.training.parent,
    output:
        "<results>/calibration/{recipe}/{model}.json",
    log:
        "<logs>/calibrate/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/calibrate/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(JOBS.training.on_rows()),
    conda:
        "../envs/torch.yaml"
    threads: JOBS.threads
    resources:
        gpu=JOBS.gpus,
        mem_mb=16000,
        # Processes on each node; 0: one for each GPU, or one on a CPU.
        processes=0,
        torchrun="torchrun --standalone",
    params:
        command=JOBS.torchrun("calibrate"),
        # No `code=`: what was measured stays true. Delete the file to measure again.
        settings=untracked(JOBS.training.settings),
        train=lambda wildcards, input: Path(input.train[0]).parent,
        parent=folder_flag("parent"),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --train {params.train:q} {params.parent} \
            --output {output:q} \
            --threads {threads} \
            2>&1 | tee {log:q}
        """
