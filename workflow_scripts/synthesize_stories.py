"""Speak one shard of a corpus of stories or of minimal pairs.

Reads: --stories, JSONL of write_stories or write_minimal_pairs; --model, the folder of the engine's model and voices
(for an engine that needs one).
Writes: --output, a speech shard: Parquet with `id`, `speaker` (the voice), `text`, `audio` (a 16 kHz mono FLAC
file), `source` (corpus/split/id), `seconds` and `start`; --manifest, JSON with counts, seconds, settings, SHA-256,
versions, and the stories that were set aside with the reason.

A story of train, text or validation is one utterance. One of dev, test or preference is two or three, told apart by
their ids: {id}.prompt, {id}.ending and, where the story has one, {id}.wrong_detail; all in one voice.
A minimal pair is two, {id}.good and {id}.bad, whatever the split; the pairs of a cluster have one voice. Where the two
begin alike that may be spoken apart, as {id}.prompt, and {id}.good and {id}.bad are the endings.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slamflow import commands, files
from slamflow.corpora.job_settings import SynthesizeStories
from slamflow.errors import InputError
from slamflow.shards.speech import encode_flac, write_speech
from slamflow.tts import ENGINES
from slamflow.tts.utterances import SAMPLE_RATE_HZ, Unspeakable, voice_of

if TYPE_CHECKING:
    from slamflow.tts import Say

WHOLE = ("train", "text", "validation")
"""Splits whose stories are spoken in one piece."""


def main(argv: list[str]) -> None:
    arguments = commands.parser(__doc__)
    arguments.add_argument("--stories", type=Path, required=True, help="JSONL of write_stories or write_minimal_pairs")
    arguments.add_argument("--model", type=Path, help="folder of the engine's model and voices")
    arguments.add_argument("--output", type=Path, required=True, help="speech shard to write (Parquet)")
    arguments.add_argument("--manifest", type=Path, required=True, help="manifest to write (JSON)")
    options = arguments.parse_args(argv)
    settings = commands.read_settings(SynthesizeStories, options.settings)
    stories = [story for story in files.read_jsonl(options.stories) if "left_out" not in story]
    set_aside: list[dict[str, str]] = []
    seconds: dict[str, float] = {}
    engine = ENGINES.module(settings.speech.engine)
    rows = speak(stories, settings, engine.start(settings.speech, options.model), set_aside)

    def counted() -> Iterator[dict[str, Any]]:
        for row in rows:
            seconds[row["id"]] = row["seconds"]
            yield row

    write_speech(options.output, counted())
    manifest = {
        "corpus": settings.corpus,
        "split": settings.split,
        "stories": len(stories) - len(set_aside),
        "utterances": len(seconds),
        "seconds": round(sum(seconds.values()), 3),
        "set_aside": set_aside,
        "settings": settings.model_dump(),
        "sha256": files.sha256_file(options.output),
        "versions": {name: version(name) for name in sorted({*engine.PACKAGES, "numpy", "pyarrow", "soundfile"})},
    }
    files.write_json(options.manifest, manifest)
    commands.log.info("%s: %d utterances, %.2f h", options.output, len(seconds), sum(seconds.values()) / 3600)


def speak(
    stories: list[dict[str, Any]], settings: SynthesizeStories, say: Say, set_aside: list[dict[str, str]]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a speech shard, story by story; a story that cannot be spoken goes to `set_aside` whole."""
    for story in commands.progress(stories, len(stories), "stories"):
        voice = voice_of(story.get("cluster", story["id"]), settings.speech.voices)
        rows = []
        try:
            for utterance_id, text in utterances(story, settings.split).items():
                speech = say(text, voice, utterance_id)
                rows.append(
                    {
                        "id": utterance_id,
                        "speaker": voice,
                        "text": text,
                        "audio": encode_flac(speech, SAMPLE_RATE_HZ),
                        "source": f"{settings.corpus}/{settings.split}/{utterance_id}",
                        "seconds": len(speech) / SAMPLE_RATE_HZ,
                        "start": 0.0,
                    }
                )
        except Unspeakable as error:
            commands.log.warning("story %s is set aside: %s", story["id"], error)
            set_aside.append({"id": story["id"], "reason": str(error)})
            continue
        yield from rows


def utterances(story: dict[str, Any], split: str) -> dict[str, str]:
    """What is spoken of a story: text by utterance id. Raises InputError if a key is missing."""
    try:
        if "good" in story:
            parts = ("prompt", "good", "bad") if "prompt" in story else ("good", "bad")
            return {f"{story['id']}.{part}": story[part] for part in parts}
        if split in WHOLE:
            return {story["id"]: story["text"]}
        told = {key: story[key] for key in ("prompt", "ending", "wrong_detail")}
    except KeyError as error:
        raise InputError(f"story {story.get('id')}: no key {error}; write the text again") from None
    return {f"{story['id']}.{key}": text for key, text in told.items() if text is not None}


if __name__ == "__main__":
    commands.run(main)
