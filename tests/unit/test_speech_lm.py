"""The library's front door: a model's folder as a Python object, here, copied elsewhere, and from a hub."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import slamflow
from slamflow import InputError, Speech, SpeechLM, Vocabulary
from slamflow.audio import SAMPLE_RATE
from slamflow.files import sha256_file, write_json
from slamflow.lm.speech import speech_record
from slamflow.tokenizers import TOKENIZERS
from slamflow.tokenizers.codebook import fit_codebook
from slamflow.tokenizers.tokenizer import load_frames
from slamflow.vocoders.synthesis import MelVocoder, new_network
from stand_in.server import COMMIT, StandIn, start
from tests.unit.test_units import speech_like

UNITS = 12
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of log-mel units, as train and package_model leave it: random weights of the real classes."""
    root = tmp_path_factory.mktemp("models") / "tiny"
    vocabulary = Vocabulary(units=UNITS)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama", **sizes, num_key_value_heads=2, vocab_size=vocabulary.size, max_position_embeddings=400
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(root)
    tokenizer = TOKENIZERS.validate({"kind": "logmel", "clusters": UNITS, "frame_rate_hz": 25.0})
    frames = load_frames(tokenizer, None, torch.device("cpu")).encode([speech_like(40_000, seed) for seed in range(4)])
    codebook = root / "codebook.safetensors"
    fit_codebook(torch.cat(frames).numpy(), UNITS, 0, True).save(codebook)
    manifest = {"frame_rate_hz": 25.0, "sha256": sha256_file(codebook), "encoder_sha256": None}
    about = speech_record(vocabulary, "tiny", "logmel", tokenizer.for_extraction().model_dump(mode="json"), manifest)
    write_json(root / "speech.json", about)
    (root / "vocoder").mkdir()
    torch.manual_seed(0)
    MelVocoder(new_network(UNITS, 16, 1, 25.0), 25.0).save_weights(root / "vocoder/vocoder.safetensors")
    shape = {"kind": "trained", "units": UNITS, "width": 16, "blocks": 1, "frame_rate_hz": 25.0}
    write_json(root / "vocoder/vocoder.json", shape)
    return root


@pytest.fixture(scope="module")
def model(folder: Path) -> SpeechLM:
    return SpeechLM.from_pretrained(folder, device="cpu")


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "prompt.wav"
    soundfile.write(path, speech_like(64_000, 7), SAMPLE_RATE)
    return path


def test_units_of_a_file_and_of_its_waveform_are_the_same(model: SpeechLM, audio: Path) -> None:
    units = model.encode(audio)
    assert np.issubdtype(units.dtype, np.integer)
    assert units.max() < UNITS
    assert (np.diff(units.astype(int)) != 0).all()
    wave, _ = soundfile.read(audio, dtype="float32")
    assert np.array_equal(model.encode(wave), units)
    assert np.array_equal(model.encode(wave.astype(np.float64)), units)


def test_log_likelihood_is_the_sum_over_units_and_eos(model: SpeechLM, audio: Path) -> None:
    """Against one forward pass with the ids written out: BOS 1, unit u is u + 2, EOS 1."""
    units = model.encode(audio)
    ids = torch.tensor([[1, *(units.astype(int) + 2), 1]])
    with torch.inference_mode():
        logits = model.model(input_ids=ids[:, :-1]).logits.double().log_softmax(-1)
    expected = logits[0].gather(1, ids[0, 1:, None]).sum()
    found = model.log_likelihood([audio, units, np.array([3, 1, 4])])
    assert found.dtype == np.float64
    assert found[0] == found[1] == pytest.approx(float(expected), abs=1e-3)
    per_token = model.log_likelihood([audio, np.array([3, 1, 4])], per_token=True)
    assert per_token == pytest.approx(found[[0, 2]] / [len(units) + 1, 4])


def test_a_continuation_is_spoken_and_saved(model: SpeechLM, audio: Path, tmp_path: Path) -> None:
    speech = model.continue_speech(audio, seconds=2, max_new_tokens=20, temperature=0.8, top_k=5)
    assert isinstance(speech, Speech)
    prompt = model.encode(soundfile.read(audio, dtype="float32")[0][: 2 * SAMPLE_RATE])
    assert np.array_equal(speech.units[: speech.prompt_units], prompt)
    assert 0 < len(speech.units) - len(prompt) <= 20
    assert len(speech.continuation) == len(speech.wave) - round(speech.prompt_seconds * SAMPLE_RATE)
    again = model.continue_speech(audio, seconds=2, max_new_tokens=20, temperature=0.8, top_k=5)
    assert np.array_equal(again.wave, speech.wave)
    other = model.continue_speech(audio, seconds=2, max_new_tokens=20, temperature=0.8, top_k=5, seed=1)
    assert not np.array_equal(other.units, speech.units)
    speech.save(tmp_path / "out.wav")
    read, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert rate == SAMPLE_RATE
    np.testing.assert_allclose(read, speech.wave, atol=1e-4)
    assert speech._repr_html_().startswith('<audio controls src="data:audio/mpeg;base64,')
    with pytest.raises(InputError, match=r"out\.xyz"):
        speech.save(tmp_path / "out.xyz")


def test_a_copy_elsewhere_gives_the_same(model: SpeechLM, folder: Path, audio: Path, tmp_path: Path) -> None:
    copied = SpeechLM.from_pretrained(shutil.copytree(folder, tmp_path / "copy"), device="cpu")
    assert np.array_equal(copied.encode(audio), model.encode(audio))
    assert copied.log_likelihood([audio]) == model.log_likelihood([audio])


def test_a_model_of_the_hub(model: SpeechLM, folder: Path, audio: Path, tmp_path: Path) -> None:
    contents = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    state = StandIn(files={f"/lab/tiny/resolve/{COMMIT}/{name}": content for name, content in contents.items()})
    server = start(state)
    code = (
        "import sys, numpy as np; from slamflow import SpeechLM, InputError\n"
        "model = SpeechLM.from_pretrained('lab/tiny', device='cpu')\n"
        "print(model.encode(sys.argv[1]).tolist(), float(model.log_likelihood([sys.argv[1]])[0]))\n"
        "try: SpeechLM.from_pretrained('lab/none')\n"
        "except InputError as error: print(error)"
    )
    # huggingface_hub reads HF_ENDPOINT when it is imported, so in a process of its own.
    environment = {"PYTHONPATH": str(ROOT / "workflow_scripts"), "HF_ENDPOINT": state.url, "NO_PROXY": "127.0.0.1"}
    environment["HF_HOME"] = str(tmp_path / "hub")
    command = [sys.executable, "-c", code, str(audio)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    first, error = done.stdout.splitlines()
    units = model.encode(audio).tolist()
    assert first == f"{units} {float(model.log_likelihood([audio])[0])}"
    assert error.startswith("lab/none: no such folder; on the hub: there is no repository lab/none")


def test_what_cannot_be_used_is_named(model: SpeechLM, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(InputError, match=r"text\.wav: unreadable"):
        model.encode(tmp_path / "text.wav")
    with pytest.raises(InputError, match=r"none\.wav: cannot be opened"):
        model.encode(tmp_path / "none.wav")
    with pytest.raises(InputError, match="the waveform: too short: 10 samples"):
        model.encode(np.zeros(10, np.float32))
    with pytest.raises(InputError, match="this one is float32"):
        model.encode(np.full(9000, np.nan, np.float32))
    with pytest.raises(InputError, match="unit 40 is outside a vocabulary of 12 units"):
        model.log_likelihood([np.array([40])])
    with pytest.raises(InputError, match=r"nothing here: no such folder, and not owner/name"):
        SpeechLM.from_pretrained("nothing here")
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "codebook.safetensors").unlink()
    shutil.rmtree(bare / "vocoder")
    without = SpeechLM.from_pretrained(bare, device="cpu")
    with pytest.raises(InputError, match="comes without its tokenizer"):
        without.encode(np.zeros(9000, np.float32))
    with pytest.raises(InputError, match="comes without a vocoder"):
        without.vocoder  # noqa: B018
    shutil.copy(folder / "model.safetensors", bare / "codebook.safetensors")
    with pytest.raises(InputError, match="is not the codebook that the model was trained with"):
        SpeechLM.from_pretrained(bare, device="cpu").encode(np.zeros(9000, np.float32))


def test_the_package_exports_what_it_says_and_loads_nothing_before() -> None:
    assert all(hasattr(slamflow, name) for name in slamflow.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Model'"):
        slamflow.Model  # noqa: B018
    code = "import sys, slamflow; print(sorted({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    environment = {"PYTHONPATH": str(ROOT / "workflow_scripts")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_speech_json_is_plain_json(folder: Path) -> None:
    about = json.loads((folder / "speech.json").read_text())
    assert about["vocabulary"]["special"] == {"pad": 0, "bos": 1, "eos": 1}
    assert about["tokenizer"]["kind"] == "logmel"
