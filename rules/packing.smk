# Fixed-shape rows.
#
# in:  <results>/units/{encoder}/... or <results>/text/...
# out: <results>/rows/{dataset}/{part}/     an Arrow dataset; part is train, or validation.{corpus}.{split}


rule pack_tokens:
    """Pack units, or text, into rows of a fixed length."""
    input:
        JOBS.packing.shards,
    output:
        rows="<results>/rows/{dataset}/{part}/data-00000-of-00001.arrow",
        info="<results>/rows/{dataset}/{part}/dataset_info.json",
        state="<results>/rows/{dataset}/{part}/state.json",
        manifest="<results>/rows/{dataset}/{part}/manifest.json",
    log:
        "<logs>/pack_tokens/{dataset}/{part}.log",
    benchmark:
        "<benchmarks>/pack_tokens/{dataset}/{part}.tsv"
    # What most other jobs wait for.
    priority: 3
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=8000,
    params:
        command=JOBS.command("pack_tokens"),
        code=JOBS.code("pack_tokens"),
        settings=JOBS.packing.pack_tokens,
        folder=subpath(output.rows, parent=True),
        shards=shard_patterns(),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --input {params.shards} \
            --output {params.folder:q} \
            2>&1 | tee {log:q}
        """
