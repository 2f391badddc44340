# Assets: pretrained models and other files from outside, pinned in recipes/assets.yaml.
#
# out: <resources>/assets/{asset}/{file}     as published, verified
#      <resources>/models/{asset}/           as a transformers folder


rule fetch_asset:
    """Download one file of an asset and verify it."""
    output:
        "<resources>/assets/{asset}/{file}",
    log:
        "<logs>/fetch_asset/{asset}/{file}.log",
    benchmark:
        "<benchmarks>/fetch_asset/{asset}/{file}.tsv"
    # What most other jobs wait for.
    priority: 3
    retries: 2
    # The nodes of a cluster often see no network.
    localrule: True
    conda:
        "../envs/base.yaml"
    resources:
        mem_mb=1000,
    params:
        command=JOBS.command("fetch_asset"),
        # What the file must be decides; another mirror for it does not trigger a rerun.
        content=JOBS.assets.content,
        settings=untracked(JOBS.assets.fetch_asset),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --name {wildcards.asset}/{wildcards.file} \
            --output {output:q} \
            2>&1 | tee {log:q}
        """


rule convert_asset:
    """Convert a downloaded model into a transformers folder."""
    input:
        JOBS.assets.files,
    output:
        config="<resources>/models/{asset}/config.json",
        weights="<resources>/models/{asset}/model.safetensors",
        tokenizer="<resources>/models/{asset}/tokenizer.json",
        tokenizer_config="<resources>/models/{asset}/tokenizer_config.json",
    log:
        "<logs>/convert_asset/{asset}.log",
    benchmark:
        "<benchmarks>/convert_asset/{asset}.tsv"
    wildcard_constraints:
        asset=one_of(JOBS.assets.models()),
    # What most other jobs wait for.
    priority: 3
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=4000,
    params:
        command=JOBS.command("convert_asset"),
        code=JOBS.code("convert_asset", JOBS.assets.converter),
        convert=JOBS.assets.convert,
        source=lambda wildcards, input: Path(input[0]).parent,
        target=subpath(output.config, parent=True),
    shell:
        r"""
        {params.command} \
            --convert {params.convert} \
            --input {params.source:q} \
            --output {params.target:q} \
            2>&1 | tee {log:q}
        """


rule convert_encoder:
    """Convert a downloaded speech encoder into a transformers folder."""
    input:
        JOBS.assets.files,
    output:
        config="<resources>/models/{asset}/config.json",
        weights="<resources>/models/{asset}/model.safetensors",
        preprocessor="<resources>/models/{asset}/preprocessor_config.json",
    log:
        "<logs>/convert_encoder/{asset}.log",
    benchmark:
        "<benchmarks>/convert_encoder/{asset}.tsv"
    wildcard_constraints:
        asset=one_of(JOBS.assets.encoders()),
    # What most other jobs wait for.
    priority: 3
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=8000,
    params:
        command=JOBS.command("convert_encoder"),
        code=JOBS.code("convert_encoder", JOBS.assets.converter),
        convert=JOBS.assets.convert,
        source=lambda wildcards, input: Path(input[0]).parent,
        target=subpath(output.config, parent=True),
    shell:
        r"""
        {params.command} \
            --convert {params.convert} \
            --input {params.source:q} \
            --output {params.target:q} \
            2>&1 | tee {log:q}
        """
