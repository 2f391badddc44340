"""Collect the recordings of one shard of a corpus.

Reads: --source, the corpus folder or the archives of the split; nothing for a dataset of the hub, whose files pass
through --downloads.
For an unpinned dataset --commit is the JSON of pin_revision, which says the commit.
Writes: --output, a speech shard: Parquet with `id`, `speaker`, `text` (null if not known), `audio` (the file's own
bytes, or a FLAC piece of a long recording), `source`, `seconds` and `start` (of a piece in its recording); --manifest,
JSON with counts, seconds, settings, SHA-256 and versions; --quarantine, JSONL of what was set aside, with the reason.
"""

from __future__ import annotations

from pathlib import Path

from slamflow import commands
from slamflow.corpora.collect import collect_audio
from slamflow.corpora.job_settings import CollectAudio
from slamflow.corpora.revisions import pin


def main(argv: list[str]) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--source", type=Path, nargs="*", default=[], help="the corpus folder, or its archives")
    parser.add_argument("--commit", type=Path, help="JSON that says the commit of a dataset without a fixed one")
    parser.add_argument("--output", type=Path, required=True, help="the speech shard to write")
    parser.add_argument("--manifest", type=Path, required=True, help="JSON manifest to write")
    parser.add_argument("--quarantine", type=Path, required=True, help="JSONL of what was set aside, to write")
    parser.add_argument("--downloads", type=Path, default=Path("resources/.downloads"), help="for files of the hub")
    arguments = parser.parse_args(argv)
    settings = commands.read_settings(CollectAudio, arguments.settings)
    settings = settings.model_copy(update={"recordings": pin(settings.recordings, arguments.commit)})
    manifest = collect_audio(
        settings,
        arguments.source,
        arguments.output,
        arguments.manifest,
        arguments.quarantine,
        arguments.downloads,
    )
    commands.log.info(
        "%d recordings in %d utterances, %.2f h, %d set aside",
        *(manifest[key] for key in ("recordings", "utterances")),
        manifest["seconds"] / 3600,
        manifest["quarantined"],
    )


if __name__ == "__main__":
    commands.run(main)
