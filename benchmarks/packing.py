"""How fast documents are packed into rows, and what memory a document takes; beside another version if one is given.

    python benchmarks/packing.py             50 million tokens, in 260,000 documents and in 4 million
    python benchmarks/packing.py --scripts /path/to/other/workflow_scripts
                                             by that version too, and whether the rows are the same bytes

Units of documents are made up: 500 units, lengths as of speech (lognormal), in shards of 4 million tokens. Every
packing is a process of its own with one thread. Memory is what is not a page of a file (RssAnon), at its peak, above
what the process has when it begins; bytes a document are the slope between the two numbers of documents. Prints a
table; --output writes the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from slamflow import files
from slamflow.report.table import table

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"
UNITS, CONTEXT, SHARD_TOKENS = 500, 1024, 4_000_000
MEAN_UNITS = (192, 10)
"""Of the two runs: as in sTinyStories' and LibriSpeech's mix, and many short ones."""


def write_shards(folder: Path, tokens: int, mean: int) -> list[Path]:
    """Unit shards of about so many tokens, BOS and EOS of each document included."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(mean)
    paths = []
    for number in range(-(-tokens // SHARD_TOKENS)):
        documents = SHARD_TOKENS // (mean + 2)
        lengths = np.maximum(1, random.lognormal(np.log(mean) - 0.18, 0.6, documents).round().astype(np.int64))
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        units = pa.array(random.integers(0, UNITS, int(lengths.sum()), dtype=np.uint16))
        ids = pa.array([f"{number}-{document}" for document in range(documents)])
        path = folder / f"{number:04d}-of-{-(-tokens // SHARD_TOKENS):04d}.parquet"
        pq.write_table(pa.table({"id": ids, "units": pa.ListArray.from_arrays(offsets, units)}), path)
        paths.append(path)
    return paths


def anonymous_kb() -> int:
    """Memory of this process that is no page of a file, in kB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])


def measure(shards: list[str], output: str, documents: str) -> dict[str, Any]:
    """Pack in this process."""
    import datasets  # noqa: F401 - what is imported is not measured

    from slamflow import packing
    from slamflow.recipe.datasets import PackTokens

    values = {"context": CONTEXT, "vocabulary": {"units": UNITS}, "seed": 0, "documents": documents}
    settings = PackTokens.model_validate(values)
    before, peak, ended = anonymous_kb(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            peak[0] = max(peak[0], anonymous_kb())

    thread = threading.Thread(target=watch)
    cpu = time.process_time()
    thread.start()
    manifest = packing.pack_files([Path(shard) for shard in shards], settings, Path(output))
    ended.set()
    thread.join()
    return {
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_mb": round((peak[0] - before) / 1000, 1),
        **{key: manifest[key] for key in ("documents", "tokens", "rows", "fill", "sha256")},
    }


def pack(scripts: Path, shards: list[Path], output: Path, documents: str) -> dict[str, Any]:
    """Pack in a process of its own, with the library of `scripts`."""
    order = [str(path) for path in shards]
    command = [sys.executable, __file__, "--measure", json.dumps([order, str(output), documents]), "--scripts", scripts]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, check=True, text=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=50_000_000)
    parser.add_argument("--documents", default="masked", choices=("masked", "joined", "padded"))
    parser.add_argument("--scripts", type=Path, help="workflow_scripts/ of another version, to compare with")
    parser.add_argument("--output", type=Path, help="the figures, JSON")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        sys.path.insert(0, str(arguments.scripts))
        for name in [name for name in sys.modules if name.partition(".")[0] == "slamflow"]:
            del sys.modules[name]
        print(json.dumps(measure(*json.loads(arguments.measure))))
        return
    versions = {"this version": SCRIPTS, **({"the other": arguments.scripts} if arguments.scripts else {})}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in versions}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for mean in MEAN_UNITS:
            shards = Path(folder, str(mean))
            shards.mkdir()
            paths = write_shards(shards, arguments.tokens, mean)
            for name, scripts in versions.items():
                found[name].append(pack(scripts, paths, Path(folder, f"rows-{mean}-{name}"), arguments.documents))
    rows = []
    for name, (few, many) in found.items():
        slope = 1e6 * (many["peak_mb"] - few["peak_mb"]) / (many["documents"] - few["documents"])
        for run in (few, many):
            speed = run["tokens"] / run["cpu_seconds"] / 1e6
            size = (f"{run['documents']:,}", f"{run['tokens']:,}")
            rows.append(
                (name, *size, f"{run['cpu_seconds']:.1f}", f"{speed:.1f}", f"{run['peak_mb']:.0f}", f"{slope:.0f}")
            )
    head = ("version", "documents", "tokens", "CPU s", "M tokens/s/core", "peak MB", "bytes a document")
    print(table("Packing", head, rows))
    if arguments.scripts:
        same = [[run["sha256"] for run in runs] for runs in found.values()]
        print("rows are the same bytes" if same[0] == same[1] else "ROWS DIFFER")
    if arguments.output:
        files.write_json(arguments.output, found)


if __name__ == "__main__":
    main()
