"""The stand-in of the hub is good enough for the libraries as they are, and its models are of the real classes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from slamflow.assets import convert_hubert
from slamflow.jobs.sources import Sources
from slamflow.recipe.loading import load_assets
from stand_in import models, speech
from stand_in.__main__ import shipped
from stand_in.content import Content, whole
from stand_in.server import COMMIT, StandIn, start

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hub() -> Iterator[StandIn]:
    files = {}
    for repo, family in (
        ("Qwen/Qwen2.5-0.5B", models.qwen2),
        ("lab/llama", models.llama),
        ("lab/hubert", models.hubert),
    ):
        files.update({f"/{repo}/resolve/{COMMIT}/{name}": content for name, content in family().items()})
    del files[f"/lab/llama/resolve/{COMMIT}/model.safetensors"]  # in two files, as big models are
    columns = {"audio": "audio", "text": "text", "speaker": None, "id": None}
    for part in range(2):
        table = speech.hub_audio(columns, part, 4)
        files[f"/datasets/lab/talk/resolve/{COMMIT}/data/train-{part:05d}-of-00002.parquet"] = table
    state = StandIn(files=files)
    server = start(state)
    yield state
    server.shutdown()
    server.server_close()


SCRIPT = """
import json, datasets, huggingface_hub, transformers
answers = {}
for repo in ("Qwen/Qwen2.5-0.5B", "lab/llama"):
    model = transformers.AutoModelForCausalLM.from_pretrained(repo)
    tokenizer = transformers.AutoTokenizer.from_pretrained(repo)
    logits = model(**tokenizer("Anna found a red ball.", return_tensors="pt")).logits
    answers[repo] = [type(model).__name__, tokenizer.decode(tokenizer("Anna found")["input_ids"]), logits.ndim]
answers["hubert"] = type(transformers.AutoModel.from_pretrained("lab/hubert", revision="COMMIT")).__name__
for streaming in (False, True):
    talk = datasets.load_dataset("lab/talk", split="train", revision="COMMIT", streaming=streaming)
    rows = list(talk.cast_column("audio", datasets.Audio(decode=False)))
    answers[f"rows {streaming}"] = [len(rows), rows[0]["text"], len(rows[0]["audio"]["bytes"])]
api = huggingface_hub.HfApi()
answers["files"] = api.list_repo_files("lab/talk", repo_type="dataset")
answers["sha"] = api.dataset_info("lab/talk").sha
answers["tree"] = sorted(entry.path for entry in api.list_repo_tree("lab/talk", repo_type="dataset"))
print(json.dumps(answers))
""".replace("COMMIT", COMMIT)


@pytest.mark.slow
def test_the_libraries_take_it_for_the_hub(hub: StandIn, tmp_path: Path) -> None:
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers["Qwen/Qwen2.5-0.5B"] == ["Qwen2ForCausalLM", "Anna found", 3]
    assert answers["lab/llama"] == ["LlamaForCausalLM", "Anna found", 3]
    assert answers["hubert"] == "HubertModel"
    text, wave = speech.sentences(4)[0]
    expected = [8, text, len(speech.flac(wave))]
    assert answers["rows False"] == answers["rows True"] == expected
    assert answers["files"] == [f"data/train-{part:05d}-of-00002.parquet" for part in range(2)]
    assert answers["sha"] == COMMIT
    assert answers["tree"] == ["data"]


@pytest.mark.slow
def test_something_stands_for_every_source_of_the_shipped_recipes() -> None:
    content = Content()
    for path in shipped():
        content.add(whole(path))
    served = {source.removeprefix("hf:/").replace("@", "/resolve/") for source in hub_sources(content)}
    assert served <= set(content.files)
    assert {"/Qwen/Qwen2.5-0.5B", "/slprl/mhubert-base-25hz"} <= {"/".join(p.split("/")[:3]) for p in served}


@pytest.mark.slow
def test_archives_have_audio_in_every_folder_that_a_recipe_names() -> None:
    for path in shipped():
        recipe, content = whole(path), Content()
        assets = load_assets(ROOT / "recipes/assets.yaml", recipe.assets)
        for corpus in (corpus for corpus in recipe.corpora.values() if corpus.holds == "recordings"):
            for split, settings in corpus.splits.items():
                for archive in corpus.source_files(split, Sources(assets, checkout=ROOT)):
                    _, _, name, file = archive.split("/")
                    data = content.content_of(name, file, assets[name].files[file], recipe)
                    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                        members = tar.getnames()
                    for folder in settings.folders:
                        inside = [member for member in members if member.startswith(f"{folder}/")]
                        assert any(member.endswith((".flac", ".sph")) for member in inside), (path, archive, folder)


def hub_sources(content: Content) -> list[str]:
    """The addresses on the hub of all files of its assets."""
    files = [file for asset in content.assets.values() for file in asset["files"].values()]
    return [source for file in files for source in file["sources"] if source.startswith("hf://")]


@pytest.mark.parametrize("name", ["hubert_base_ls960.pt", "mhubert_base_25hz_cp_mls_cv_sp_fisher.pt"])
def test_hubert_as_fairseq_saves_it_is_the_one_of_the_hub(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(models.model_file(f"https://somewhere/{name}", name))
    convert_hubert.convert(tmp_path, tmp_path / "converted")
    (tmp_path / "published.safetensors").write_bytes(models.hubert(8 if "25hz" in name else 7)["model.safetensors"])
    converted = load_file(tmp_path / "converted/model.safetensors")
    published = load_file(tmp_path / "published.safetensors")
    assert converted.keys() == published.keys()
    assert all(torch.equal(converted[key], published[key]) for key in published)


def test_content_is_the_same_each_time() -> None:
    first = (models.hubert(), speech.swag(9), speech.tar("a.tar.gz", speech.librispeech("a.tar.gz", 4)))
    models.hubert.cache_clear()
    for kept in (speech.sentences, speech.joined, speech.recording):
        kept.cache_clear()
    assert first == (models.hubert(), speech.swag(9), speech.tar("a.tar.gz", speech.librispeech("a.tar.gz", 4)))


@pytest.mark.slow
def test_the_codebook_uses_its_units(tmp_path: Path) -> None:
    import torch

    from slamflow.assets.restricted_pickle import read_centroids
    from slamflow.tokenizers.networks.hubert import HubertEncoder

    (tmp_path / "km.bin").write_bytes(models.hubert_kmeans(8, 100, 11))
    centroids = read_centroids(tmp_path / "km.bin")
    assert centroids.shape == (100, models.WIDTH)
    for name, content in models.hubert(8).items():
        (tmp_path / name).write_bytes(content)
    encoder = HubertEncoder(tmp_path, 11, False, 40, torch.device("cpu"))
    assert encoder.rate_hz == 25
    with torch.inference_mode():
        states = torch.cat([encoder.states([wave])[0] for _, wave in speech.sentences(4)]).numpy()
    units = np.square(states[:, None] - centroids).sum(axis=2).argmin(axis=1)
    assert len(set(units.tolist())) > 20, "the units hardly vary"
