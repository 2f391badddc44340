# Published models, which are scored and not trained.
#
# in:  an asset or a folder, as it was published; <results>/units/{encoder}/codebook.json
# out: <results>/models/{recipe}/{model}/    a transformers folder with speech.json


rule import_model:
    """Make a published model one that the workflow scores."""
    input:
        source=JOBS.systems.weights,
        codebook=JOBS.systems.codebook,
    output:
        config="<results>/models/{recipe}/{model}/config.json",
        weights="<results>/models/{recipe}/{model}/model.safetensors",
        speech="<results>/models/{recipe}/{model}/speech.json",
    log:
        "<logs>/import_model/{recipe}/{model}.log",
    benchmark:
        "<benchmarks>/import_model/{recipe}/{model}.tsv"
    wildcard_constraints:
        model=one_of(RECIPE.systems),
    conda:
        "../envs/torch.yaml"
    resources:
        # The weights of 7 billion parameters, as published and as written.
        mem_mb=32000,
    params:
        command=JOBS.command("import_model"),
        code=JOBS.code("import_model", JOBS.systems.kinds),
        adapter=JOBS.systems.adapter,
        settings=JOBS.systems.import_model,
        source=JOBS.systems.folder,
        folder=subpath(output.config, parent=True),
    shell:
        r"""
        {params.command} \
            --adapter {params.adapter} \
            --settings {params.settings:q} \
            --source {params.source:q} \
            --codebook {input.codebook:q} \
            --output {params.folder:q} \
            2>&1 | tee {log:q}
        """
