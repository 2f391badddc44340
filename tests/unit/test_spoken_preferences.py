"""Preference pairs that were published as speech, from the hub to the pairs that a model is aligned on."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from pydantic import ValidationError

import build_preferences
import collect_pairs
from slamflow import files
from slamflow.corpora.spoken_preferences import PARTS, SpokenPreferenceCorpus
from slamflow.errors import InputError
from slamflow.recipe.base import canonical
from slamflow.recipe.loading import load_recipe
from slamflow.recipe.preferences import BuildPreferences
from slamflow.sharding import shard_names
from slamflow.shards.pairs import read_pairs
from slamflow.shards.units import write_units
from slamflow.strict_yaml import load_yaml
from stand_in.server import COMMIT, StandIn, start
from stand_in.speech import parquet

ROOT = Path(__file__).parents[2]
COLUMNS = ["speaker", "prompt_text", "chosen_text", "rejected_text", "prompt", "chosen", "rejected", "auto_bleu2"]
"""SpokenSwag's columns at commit 8564c6563ae6."""


def sound(seconds: float, pitch: float) -> dict[str, Any]:
    """A cell of the hub: a file of 24 kHz, as Kokoro speaks."""
    file = io.BytesIO()
    wave = np.sin(np.arange(round(seconds * 24_000)) * pitch).astype(np.float32) / 2
    soundfile.write(file, wave, 24_000, format="WAV", subtype="PCM_16")
    return {"bytes": file.getvalue(), "path": "a.wav"}


def row(number: int, **changes: Any) -> dict[str, Any]:
    texts = {
        "prompt_text": f"A man opens\tdoor {number}.",
        "chosen_text": "He walks in.",
        "rejected_text": "He eats it.",
    }
    audio = {
        name: sound(0.5, pitch / 50) for pitch, name in enumerate(("prompt", "chosen", "rejected"), start=number + 1)
    }
    return {"speaker": f"voice{number % 2}", **texts, **audio, "auto_bleu2": 0.0, **changes}


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpokenPreferenceCorpus]:
    """Two files: in the first, a row repeats itself and a recording is none; in the second, the speaker is null."""
    repeating = "the dog ran . the dog ran . the dog ran ."
    tables = [[row(0), row(1, chosen_text=repeating), row(2, rejected=sound(0, 1))], [row(3, speaker=None)]]
    assert all(sorted(one) == sorted(COLUMNS) for table in tables for one in table)
    place = f"/datasets/slprl/SpokenSwag/resolve/{COMMIT}/data"
    state = StandIn(files={f"{place}/train-0000{n}-of-00002.parquet": parquet(rows) for n, rows in enumerate(tables)})
    state.files[f"{place}/validation-00000-of-00001.parquet"] = parquet([row(9)])
    server = start(state)
    monkeypatch.setenv("HF_ENDPOINT", state.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield SpokenPreferenceCorpus.model_validate(
        {
            "kind": "spoken_preferences",
            "repo": "slprl/SpokenSwag",
            "revision": COMMIT,
            "files": ["data/train-*.parquet"],
            "splits": {"preference": {"shards": 2}},
        }
    )
    server.shutdown()
    server.server_close()


def collect(folder: Path, corpus: SpokenPreferenceCorpus, shard: str) -> list[dict[str, Any]]:
    """Run the command for one shard; returns the rows of speech."""
    folder.mkdir(exist_ok=True)
    names = {"output": "parquet", "text": "jsonl", "manifest": "json", "quarantine": "quarantine.jsonl"}
    flags = [part for flag, suffix in names.items() for part in (f"--{flag}", str(folder / f"{shard}.{suffix}"))]
    settings = canonical(corpus.job("swag", "preference", shard))
    collect_pairs.main(["--settings", settings, *flags, "--downloads", str(folder / "downloads")])
    return pq.read_table(folder / f"{shard}.parquet").to_pylist()


def test_published_pairs_become_preference_pairs(corpus: SpokenPreferenceCorpus, tmp_path: Path) -> None:
    shards = shard_names(2)
    spoken = {shard: collect(tmp_path, corpus, shard) for shard in shards}
    first, second = (files.read_jsonl(tmp_path / f"{shard}.jsonl") for shard in shards)
    name = "data/train-00000-of-00002.parquet#000000"
    assert first[0] == {
        "id": name,
        "prompt": "A man opens door 0.",
        "ending": "He walks in.",
        "wrong_detail": "He eats it.",
    }
    assert (len(first), len(second)) == (3, 1)
    assert [(one["id"], one["speaker"], one["text"]) for one in spoken[shards[0]][:3]] == [
        (f"{name}.prompt", "voice0", "A man opens door 0."),
        (f"{name}.ending", "voice0", "He walks in."),
        (f"{name}.wrong_detail", "voice0", "He eats it."),
    ]
    assert {one["speaker"] for one in spoken[shards[1]]} == {"unknown"}
    (aside,) = files.read_jsonl(tmp_path / f"{shards[0]}.quarantine.jsonl")
    assert aside["id"] == "data/train-00000-of-00002.parquet#000002.wrong_detail"
    sources = [one["source"].rpartition("/")[2] for one in spoken[shards[0]][:3]]
    assert sources == ["prompt", "chosen", "rejected"]
    # Units as an encoder might give them, by the part of the pair.
    for shard, rows in spoken.items():
        parts = [PARTS.index(one["id"].rpartition(".")[2]) for one in rows]
        speech = zip(rows, parts, strict=True)
        units = [{"id": one["id"], "speaker": one["speaker"], "units": [7, part, 40 + part]} for one, part in speech]
        write_units(tmp_path / f"{shard}.units.parquet", units)
    settings = BuildPreferences(name="swag", encoder="e", negatives=["detail"], max_auto_bleu=0.3, seed=0)
    inputs = [f"{tmp_path}/{shard}" for shard in shards]
    flags = [
        "--stories",
        *(f"{stem}.jsonl" for stem in inputs),
        "--units",
        *(f"{stem}.units.parquet" for stem in inputs),
    ]
    flags += ["--output", str(tmp_path / "pairs.parquet"), "--manifest", str(tmp_path / "pairs.json")]
    build_preferences.main(["--settings", canonical(settings), *flags])
    pairs = read_pairs(tmp_path / "pairs.parquet")
    assert [pair.id for pair in pairs] == [f"{name}.detail", "data/train-00001-of-00002.parquet#000000.detail"]
    assert [part.tolist() for part in pairs[0][1:]] == [[7, 0, 40], [7, 1, 41], [7, 2, 42]]
    assert files.read_json(tmp_path / "pairs.json")["left_out"] == {"not_spoken": 1, "repeats_itself": 1}


def test_a_column_that_is_not_there_is_named(corpus: SpokenPreferenceCorpus, tmp_path: Path) -> None:
    columns = corpus.columns.model_copy(update={"chosen": "right"})
    with pytest.raises(InputError, match=r"no column right; it has .*chosen.*see columns in the settings"):
        collect(tmp_path, corpus.model_copy(update={"columns": columns}), "0000-of-0002")


def test_texts_are_three_or_none() -> None:
    values = load_yaml(ROOT / "recipes/slam.yaml")["corpora"]["spoken_swag"]
    with pytest.raises(ValidationError, match="texts: give the columns of the prompt"):
        SpokenPreferenceCorpus.model_validate({**values, "columns": {"texts": ["a", "b"]}})
    assert SpokenPreferenceCorpus.model_validate({**values, "columns": {"texts": []}})


def test_pairs_of_recordings_or_benchmarks_are_no_preferences() -> None:
    config = load_yaml(ROOT / "recipes/slam.yaml")
    config["preferences"]["swag"]["corpus"] = "librispeech"
    with pytest.raises(InputError, match=r"preferences\.swag\.corpus: librispeech is of kind archive"):
        load_recipe(config, [])
