# Published figures of speech language models beside those that the recipe measured.
#
# in:  <results>/summary/{recipe}.json, <results>/models/{recipe}/{model}/speech.json
# out: <results>/leaderboard/{recipe}.json
#      <results>/leaderboard/{recipe}.html    a page that needs nothing else


rule render_leaderboard:
    """Put published figures and measured ones side by side."""
    input:
        summary="<results>/summary/{recipe}.json",
        speech=JOBS.leaderboard.speech(),
    output:
        table="<results>/leaderboard/{recipe}.json",
        page=report(
            "<results>/leaderboard/{recipe}.html",
            caption="report/leaderboard.rst",
            category="Results",
            labels={"what": "leaderboard"},
        ),
    log:
        "<logs>/render_leaderboard/{recipe}.log",
    benchmark:
        "<benchmarks>/render_leaderboard/{recipe}.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=1000,
    params:
        command=JOBS.command("render_leaderboard"),
        code=JOBS.leaderboard.code(),
        settings=JOBS.leaderboard.render_leaderboard,
        speech=named_files("speech", JOBS.leaderboard.models()),
    shell:
        r"""
        {params.command} \
            --settings {params.settings:q} \
            --summary {input.summary:q} \
            --speech {params.speech:q} \
            --output {output.table:q} \
            --page {output.page:q} \
            2>&1 | tee {log:q}
        """
