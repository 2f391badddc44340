"""Build one split of a benchmark of minimal pairs.

Reads the records of the split (JSONL) and the units of its utterances. Of stories, the parts {id}.prompt, {id}.ending
and {id}.wrong_detail were spoken apart; of minimal pairs, {id}.good and {id}.bad, perhaps after {id}.prompt.
Writes the pairs (Parquet with id, phenomenon, cluster, good, bad) and a manifest that counts what was left out and why.
A story or pair with a part that is missing among the units (set aside as bad audio) is left out.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from slamflow import commands, files
from slamflow.benchmarks.pairs import build, needed_keys, read_records, read_spoken
from slamflow.recipe.evaluation import BuildBenchmark
from slamflow.shards.items import write_items


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument(
        "--records", action=commands.Files, nargs="+", required=True, help="stories or minimal pairs, JSONL"
    )
    parser.add_argument(
        "--units", action=commands.Files, nargs="+", required=True, help="unit shards of the same split"
    )
    parser.add_argument("--output", type=Path, required=True, help="the items, Parquet")
    parser.add_argument("--manifest", type=Path, required=True, help="the manifest, JSON")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(BuildBenchmark, arguments.settings)
    benchmark = settings.benchmark
    records = read_records(arguments.records, needed_keys(benchmark.kind, settings.published))
    items, left_out = build(
        benchmark.kind, records, read_spoken(arguments.units), benchmark.seed, published=settings.published
    )
    write_items(arguments.output, items)
    files.write_json(
        arguments.manifest,
        {
            "name": settings.name,
            "kind": benchmark.kind,
            "split": settings.split,
            "encoder": benchmark.encoder,
            "records": len(records),
            "items": len(items),
            "clusters": len({item.cluster for item in items}),
            "left_out": left_out,
            "sha256": files.sha256_file(arguments.output),
            "settings": settings.model_dump(),
            "versions": {"pyarrow": version("pyarrow")},
        },
    )
    commands.log.info("%d items of %d stories or pairs, left out: %s", len(items), len(records), left_out or "none")


if __name__ == "__main__":
    commands.run(main)
