"""Score baselines, which need no model of speech, on one split of a benchmark.

Reads the items (Parquet), their manifest and the unit shards that baselines are fitted on; for baselines that read the
speech or the texts of the items also what these were built from (the records and unit shards of the split), the speech,
and a text model. Writes for each baseline a score (JSON) and each pair's likelihoods (Parquet), as score_benchmarks
does for a model. The likelihoods of `length` are numbers of tokens: the shorter sequence wins; those of `loudness` are
minus the level in dB: the louder one wins. Items whose speech or texts are not there are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from slamflow import commands, gpus
from slamflow.benchmarks.pairs import needed_keys, read_records, read_spoken
from slamflow.errors import InputError
from slamflow.evaluation import parts, scores
from slamflow.recipe.evaluation import ScoreBaselines
from slamflow.scorers import BASELINES, Material
from slamflow.scorers.ngram import take_tokens
from slamflow.shards.items import Item, Units, read_items, unit_arrays
from slamflow.shards.units import read_batches

Sides = dict[str, tuple[Any, Any]]
"""What a baseline reads of the right and the wrong sequence, by the item's id; what it cannot read is missing."""


def training_units(paths: list[Path]) -> Iterator[Units]:
    """The sequences of several unit shards, one after the other."""
    for path in paths:
        for batch in read_batches(path, ["units"], 1000):
            yield from unit_arrays(batch["units"])


def spoken_sides(settings: ScoreBaselines, reads: set[str], items: list[Item], arguments: Any) -> dict[str, Sides]:
    """What baselines that read `text` or `levels` read of the items. Raises InputError if files for it are missing."""
    if not reads - {"units"}:
        return {}
    if settings.built is None or not (arguments.records and arguments.spoken):
        raise InputError("baselines that read speech or texts need --records, --spoken and the setting `built`")
    if "levels" in reads and not arguments.speech:
        raise InputError("loudness needs the speech of the pairs: give --speech")
    benchmark = settings.built.benchmark
    records = read_records(arguments.records, needed_keys(benchmark.kind, settings.built.published))
    found = parts.parts_of(
        benchmark.kind, records, read_spoken(arguments.spoken), benchmark.seed, settings.built.published, items
    )
    known: dict[str, dict[str, Any]] = {}
    if "text" in reads:
        known["text"] = dict(parts.texts(records))
    if "levels" in reads:
        wanted = {name for sides in found.values() for side in sides for name in side}
        known["levels"] = dict(parts.levels(arguments.speech, wanted))
    return {what: sides_of(found, of_utterance, what) for what, of_utterance in known.items()}


def sides_of(found: dict[str, tuple[parts.Parts, parts.Parts]], of_utterance: dict[str, Any], what: str) -> Sides:
    """What is known of the utterances of each side: their texts as one, or their levels."""

    def joined(names: Sequence[str]) -> Any:
        known = [of_utterance[name] for name in names]
        return " ".join(known) if what == "text" else tuple(known)

    return {
        item: (joined(good), joined(bad))
        for item, (good, bad) in found.items()
        if all(name in of_utterance for name in (*good, *bad))
    }


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument(
        "--train", action=commands.Files, nargs="*", default=[], help="unit shards that baselines are fitted on"
    )
    parser.add_argument(
        "--records", action=commands.Files, nargs="*", default=[], help="what the items were built from, JSONL"
    )
    parser.add_argument(
        "--spoken", action=commands.Files, nargs="*", default=[], help="unit shards that they were built from"
    )
    parser.add_argument(
        "--speech", action=commands.Files, nargs="*", default=[], help="speech shards of the same split"
    )
    parser.add_argument("--text-model", type=Path, help="transformers folder of a text model")
    parser.add_argument("--items", type=Path, required=True, help="the pairs, Parquet")
    parser.add_argument("--manifest", type=Path, required=True, help="the items' manifest, JSON")
    for flag, what in (("--score", "a score, JSON"), ("--pairs", "its likelihoods, Parquet")):
        parser.add_argument(
            flag, type=commands.named_path, action="append", required=True, metavar="NAME=PATH", help=what
        )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the text model")
    gpus.add_options(parser)
    arguments = parser.parse_args(argv)
    gpus.check(arguments)
    settings = commands.read_settings(ScoreBaselines, arguments.settings)
    score_paths = scores.paths_by_name("--score", arguments.score, settings.baselines)
    pair_paths = scores.paths_by_name("--pairs", arguments.pairs, settings.baselines)
    if arguments.text_model:
        import torch

        torch.set_num_threads(arguments.threads)
    items = read_items(arguments.items)
    train = take_tokens(training_units(arguments.train), settings.ngram_tokens)
    sequences = [units for item in items for units in (item.good, item.bad)]
    units = 1 + max(int(sequence.max(initial=0)) for sequence in [*train, *sequences])
    material = Material(train, units, arguments.text_model)
    modules = {name: BASELINES.module(name) for name in settings.baselines}
    sides = spoken_sides(settings, {module.READS for module in modules.values()}, items, arguments)
    sides["units"] = {item.id: (item.good, item.bad) for item in items}
    for name, module in modules.items():
        own = sides[module.READS]
        readable = [item for item in items if item.id in own]
        score = scores.write_scores(
            readable,
            [own[item.id][0] for item in readable],
            [own[item.id][1] for item in readable],
            module.fit(material),
            scores.about(settings.name, settings.kind, settings.split, name, arguments.manifest),
            score_paths[name],
            pair_paths[name],
            left_out={f"no_{module.READS}": len(items) - len(readable)},
        )
        accuracy = f"{100 * score['accuracy']:.1f} % of {score['n']}" if score["n"] else "nothing can be scored"
        commands.log.info("%s: %s, left out: %s", name, accuracy, score["left_out"] or "none")


if __name__ == "__main__":
    commands.run(main)
