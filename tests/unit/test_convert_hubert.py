"""HuBERTs that fairseq's own code wrote (benchmarks/save_fairseq_hubert.py), and checkpoints that must not run."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import HubertModel

import convert_encoder
from slamflow.assets.convert_hubert import convert, convolution_stack
from slamflow.assets.torch_checkpoint import Stored, load, plain, read_checkpoint
from slamflow.errors import InputError
from slamflow.tokenizers.hubert import HubertTokenizer
from slamflow.tokenizers.tokenizer import load_frames

FIXTURES = Path(__file__).parent / "fairseq_hubert"
VARIANTS = {"base": 50.0, "base_25hz": 25.0, "large": 50.0, "namespace": 50.0}
"""Each with its frame rate in Hz. Zip and legacy formats; settings as dicts, omegaconf's nodes and a Namespace."""
LAYERS = 3


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def source_folder(folder: Path, name: str) -> Path:
    folder.mkdir()
    shutil.copy(FIXTURES / f"{name}.pt", folder)
    return folder


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("hubert")
    for name in VARIANTS:
        source = source_folder(root / f"{name}_source", name)
        convert_encoder.main(["--convert", "fairseq_hubert", "--input", str(source), "--output", str(root / name)])
    return {name: root / name for name in VARIANTS}


def as_fairseq_normalizes(folder: Path, wave: np.ndarray) -> np.ndarray:
    """fairseq adds 1e-5 to the variance, transformers (and we with it) 1e-7: in quiet speech the states show it."""
    says = json.loads((folder / "preprocessor_config.json").read_text())["do_normalize"]
    return (wave - wave.mean()) / np.sqrt(wave.var() + 1e-5) if says else wave


@pytest.mark.parametrize("name", VARIANTS)
def test_states_of_each_layer_are_fairseqs(converted: dict[str, Path], name: str) -> None:
    fixture = np.load(FIXTURES / f"{name}.npz")
    model = HubertModel.from_pretrained(converted[name]).eval()
    with torch.no_grad():
        wave = torch.from_numpy(as_fairseq_normalizes(converted[name], fixture["wave"]))[None]
        found = model(wave, output_hidden_states=True)
    states = [*found.hidden_states[1 : LAYERS + 1], found.last_hidden_state]
    assert len(states) == len(fixture["states"]) == LAYERS + 1
    for index, (ours, theirs) in enumerate(zip(states, fixture["states"], strict=True)):
        # of norms before the layers fairseq leaves out the last one for a middle layer, transformers takes it with it
        if not (name == "large" and index == LAYERS - 1):
            np.testing.assert_allclose(ours[0].numpy(), theirs, atol=1e-4, rtol=0)
    assert fixture["states"].std() > 0.5


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("layer", [1, 2, 3, None])
def test_the_encoder_gives_fairseqs_states(converted: dict[str, Path], name: str, layer: int | None) -> None:
    fixture = np.load(FIXTURES / f"{name}.npz")
    settings = HubertTokenizer(
        kind="hubert", model="somewhere", layer=layer, frame_rate_hz=VARIANTS[name], normalize=False
    )
    wave = as_fairseq_normalizes(converted[name], fixture["wave"])
    [frames] = load_frames(settings, converted[name], torch.device("cpu")).encode([wave])
    expected = fixture["states"][LAYERS if layer is None else layer - 1]
    assert frames.shape == expected.shape
    np.testing.assert_allclose(frames.numpy(), expected, atol=1e-4, rtol=0)


def test_the_configuration_is_read_off_the_checkpoint(converted: dict[str, Path]) -> None:
    config = {name: json.loads((folder / "config.json").read_text()) for name, folder in converted.items()}
    assert config["base"]["conv_stride"] == [5] + [2] * 6
    assert config["base_25hz"]["conv_stride"] == [5] + [2] * 7
    assert [config[name]["do_stable_layer_norm"] for name in ("base", "large")] == [False, True]
    assert [config[name]["feat_extract_norm"] for name in ("base", "large")] == ["group", "layer"]
    assert (config["base"]["num_attention_heads"], config["base"]["intermediate_size"]) == (4, 24)
    assert {name: bool(settings["conv_bias"]) for name, settings in config.items()} == {
        name: name == "large" for name in VARIANTS
    }
    same = HubertModel.from_pretrained(converted["namespace"]).state_dict().keys()
    assert HubertModel.from_pretrained(converted["base"]).state_dict().keys() == same


def test_the_same_checkpoint_gives_the_same_bytes(converted: dict[str, Path], tmp_path: Path) -> None:
    convert(source_folder(tmp_path / "source", "large"), tmp_path / "again")
    files = sorted(path.name for path in converted["large"].iterdir())
    assert files == ["config.json", "model.safetensors", "preprocessor_config.json"]
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (converted["large"] / file).read_bytes()


# The reader


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_all_kinds_are_read(tmp_path: Path, zipped: bool) -> None:
    whole = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    state = {
        "float": torch.randn(3, 2),
        "half": torch.randn(5).half(),
        "bfloat16": torch.randn(5).bfloat16(),
        "long": torch.tensor([1, -2]),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "transposed": whole.T,
        "part": whole[1:3, 2:],
        "parameter": torch.nn.Parameter(torch.randn(2)),
    }
    torch.save(state, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "x.pt")
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert isinstance(found[name], Stored)
        assert found[name].tensor().dtype == tensor.dtype
        assert torch.equal(found[name].tensor(), tensor.detach())
        assert torch.equal(load(found[name], tmp_path), tensor.detach().float())


def test_settings_become_plain() -> None:
    """The four fixtures tell the same settings in three ways."""
    told = {}
    for name in ("base", "base_25hz", "namespace"):
        checkpoint = read_checkpoint(FIXTURES / f"{name}.pt")
        told[name] = plain(checkpoint["cfg"] or checkpoint["args"])
    assert told["base"]["model"]["encoder_layers"] == told["base_25hz"]["model"]["encoder_layers"] == LAYERS
    assert told["namespace"]["encoder_layers"] == LAYERS
    assert told["base"]["task"]["normalize"] is told["base_25hz"]["task"]["normalize"] is False
    assert {*told["base"]["model"]} == {*told["base_25hz"]["model"]}


def tampered(data: bytes, command: str) -> bytes:
    """A pickle of protocol 2 with a call of os.system before everything else."""
    assert data[:2] == b"\x80\x02"
    return data[:2] + b"cposix\nsystem\n(V" + command.encode() + b"\ntR0" + data[2:]


def tampered_zip(path: Path, command: str) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(result, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            new.writestr(member.filename, tampered(data, command) if member.filename.endswith("data.pkl") else data)
    return result.getvalue()


@pytest.mark.parametrize("name", ["base", "namespace"])
def test_a_tampered_checkpoint_is_refused_and_does_not_run(tmp_path: Path, name: str) -> None:
    path, canary = FIXTURES / f"{name}.pt", tmp_path / "canary"
    command = f"touch {canary}"
    data = tampered_zip(path, command) if name == "base" else tampered(path.read_bytes(), command)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "x.pt").write_bytes(data)
    with pytest.raises(InputError, match=r"refused, .*it asks for posix\.system"):
        convert(tmp_path / "source", tmp_path / "output")
    assert not canary.exists()
    assert not (tmp_path / "output").exists()
    with pytest.raises(Exception):  # noqa: B017, PT011 - fairseq is not here, but the call came first
        torch.load(tmp_path / "source" / "x.pt", weights_only=False)
    assert canary.exists()


class Evil:
    def __init__(self, canary: Path, call: Any) -> None:
        self.canary, self.call = canary, call

    def __reduce__(self) -> Any:
        return self.call, (f"touch {self.canary}" if self.call is os.system else f"open({str(self.canary)!r}, 'w')",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("call", [os.system, eval, exec])
@pytest.mark.parametrize("where", ["model", "cfg", "extra_state"])
def test_calls_anywhere_are_refused(tmp_path: Path, zipped: bool, call: Any, where: str) -> None:
    state: dict[str, Any] = {"model": {"x": torch.zeros(2)}, "cfg": {}, "extra_state": {}}
    state[where]["evil"] = Evil(tmp_path / "canary", call)
    torch.save(state, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="refused"):
        read_checkpoint(tmp_path / "x.pt")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "name",
    [b"fairseq\nutils.import_user_module", b"omegaconf\nOmegaConf.load", b"pathlib\nPath", b"argparse\nFileType"],
)
def test_names_of_known_packages_are_data(tmp_path: Path, name: bytes) -> None:
    """What they would do is not done: they only hold what they were given."""
    pickle = b"\x80\x02c" + name + b"\n(V" + str(tmp_path / "canary").encode() + b"\nVw\ntR."
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/data.pkl", pickle)
    found = read_checkpoint(tmp_path / "x.pt")
    assert found.arguments == (str(tmp_path / "canary"), "w")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["base", "namespace"])
def test_damaged_checkpoints_end_in_an_input_error(tmp_path: Path, name: str) -> None:
    data = (FIXTURES / f"{name}.pt").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(4):
            broken[random.integers(min(len(broken), 20000))] = random.integers(256)
        if random.random() < 0.3:
            broken = broken[: random.integers(len(broken))]
        (tmp_path / "x.pt").write_bytes(broken)
        try:
            found = read_checkpoint(tmp_path / "x.pt")
            if isinstance(found, dict) and isinstance(found.get("model"), dict):
                for part in found["model"].values():
                    if isinstance(part, Stored):
                        load(part, tmp_path)
        except InputError:
            continue


def test_a_tensor_cannot_ask_for_more_than_the_file_has(tmp_path: Path) -> None:
    storage = torch.zeros(4)
    for tensor in (storage.expand(1000000, 4), storage.as_strided((4,), (0,))[:3].expand(5, 3)):
        torch.save({"x": tensor}, tmp_path / "x.pt")
        with pytest.raises(InputError, match="larger than its storage"):
            load(read_checkpoint(tmp_path / "x.pt")["x"], tmp_path)
    with zipfile.ZipFile(tmp_path / "y.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("y/data.pkl", b"\x80\x02}." + bytes(1000))
    with pytest.raises(InputError, match="compressed"):
        read_checkpoint(tmp_path / "y.pt")


# What is refused


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "[(512,10,5)] * 10 ** 9",
        "[(512,10,5)] * 999999999",
        "[(512, 10)]",
        "[(512, 10, -5)]",
        "[(512, 10, 0.5)]",
        "open('x')",
        "[]",
        "7",
        "(",
        "",
    ],
)
def test_other_expressions_are_not_evaluated(text: str) -> None:
    with pytest.raises(InputError, match="is no list of"):
        convolution_stack(text, Path("x.pt"))


def test_the_published_convolution_stacks_are_read() -> None:
    stack = convolution_stack("[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2", Path("x.pt"))
    assert stack == [(512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2]


def checkpoint_with(folder: Path, **changes: Any) -> Path:
    """A folder with a checkpoint of fairseq's layout and one thing wrong."""
    found = read_checkpoint(FIXTURES / "base.pt")
    model = {name: part.tensor() for name, part in found["model"].items() if isinstance(part, Stored)}
    settings = plain(found["cfg"])
    settings["model"] |= changes.pop("model", {})
    settings["task"] |= changes.pop("task", {})
    model |= changes.pop("tensors", {})
    folder.mkdir()
    torch.save({"cfg": settings, "model": model} | changes, folder / "x.pt")
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"activation_fn": "relu"}}, "activation_fn is 'relu'"),
        ({"model": {"pos_conv_depth": 5}}, "pos_conv_depth is 5"),
        ({"model": {"layer_type": "conformer"}}, "layer_type is 'conformer'"),
        ({"task": {"sample_rate": 8000}}, "sample_rate is 8000"),
        ({"tensors": {"quantizer.vars": torch.zeros(2)}}, r"a tensor quantizer\.vars"),
        ({"tensors": {"encoder.layers.0.fc1.bias": torch.zeros(3)}}, r"intermediate_dense\.bias is"),
        ({"model": {"conv_feature_layers": "[(12,10,5)]"}}, "HubertModel has"),
        ({"cfg": None}, "has no model settings"),
        ({"model": None, "cfg": {"model": {}}}, "state dict|tells no|NoneType"),
    ],
)
def test_what_hubert_cannot_be_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    if changes.get("model", 0) is None:
        (tmp_path / "source").mkdir()
        torch.save(changes, tmp_path / "source" / "x.pt")
    else:
        checkpoint_with(tmp_path / "source", **changes)
    with pytest.raises(InputError, match=message):
        convert(tmp_path / "source", tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_the_unchanged_checkpoint_is_converted(tmp_path: Path) -> None:
    convert(checkpoint_with(tmp_path / "source"), tmp_path / "output")
    with pytest.raises(InputError, match=r"expected one \.pt file, found 0"):
        convert(tmp_path / "output", tmp_path / "other")
    (tmp_path / "source" / "x.pt").write_bytes(b"")
    with pytest.raises(InputError, match="refused"):
        convert(tmp_path / "source", tmp_path / "other")
