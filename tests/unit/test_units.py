"""Encoders against transformers' own classes, batches against single files, and sequences of units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import HubertConfig, HubertModel, WhisperConfig, WhisperFeatureExtractor, WhisperModel
from transformers.audio_utils import mel_filter_bank
from transformers.models.whisper.modeling_whisper import WhisperEncoder as ReferenceWhisper

from slamflow.audio import SAMPLE_RATE, AudioError
from slamflow.errors import InputError
from slamflow.tokenizers import TOKENIZERS, FrameTokenizerSettings
from slamflow.tokenizers.codebook import NEAR_TIE, Codebook, Quantizer
from slamflow.tokenizers.frames import FrameEncoder, average, batches
from slamflow.tokenizers.mel import log_mel, mel_filters
from slamflow.tokenizers.networks.layers import Linear
from slamflow.tokenizers.sequences import deduplicate, join
from slamflow.tokenizers.tokenizer import encoder_digest, load_frames

CPU = torch.device("cpu")
LENGTHS = [16000, 8000, 24320, 16000, 5121, 12345, 801, 31999, 4000, 9999]
"""Samples: equal ones, odd ones, one that gives a single frame."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def speech_like(samples: int, seed: int) -> np.ndarray:
    """Noise whose color and loudness change, so that neighboring frames differ."""
    random = np.random.default_rng(seed)
    wave = np.zeros(samples)
    time = np.arange(samples) / SAMPLE_RATE
    for _ in range(5):
        start, hertz = random.uniform(0, samples / SAMPLE_RATE), random.uniform(80, 5000)
        wave += np.exp(-(((time - start) / 0.08) ** 2)) * np.sin(2 * np.pi * hertz * time)
    return (0.2 * wave + random.normal(0, 0.02, samples)).astype(np.float32)


WAVES = [speech_like(length, seed) for seed, length in enumerate(LENGTHS)]


def whisper_folder(folder: Path, **changes: Any) -> Path:
    torch.manual_seed(0)
    sizes = {"d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8, "vocab_size": 60}
    tokens = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0, "decoder_start_token_id": 1}
    model = WhisperModel(WhisperConfig(**(sizes | decoder | tokens | changes), init_std=0.3))
    model.save_pretrained(folder)
    return folder


def hubert_folder(folder: Path, kind: str, **changes: Any) -> Path:
    torch.manual_seed(1)
    kinds: dict[str, dict[str, Any]] = {
        "base": {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False},
        "large": {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
        # mHuBERT at 25 Hz: one more halving
        "slow": {"conv_dim": [16] * 8, "conv_kernel": [10, 3, 3, 3, 3, 2, 2, 2], "conv_stride": [5] + [2] * 7},
    }
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "conv_dim": [16] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
        "initializer_range": 0.3,
    }
    HubertModel(HubertConfig(**(sizes | kinds[kind] | changes))).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    result = {"whisper": whisper_folder(root / "whisper")}
    for kind in ("base", "large", "slow"):
        result[kind] = hubert_folder(root / kind, kind)
    return result


def settings_for(name: str, **more: Any) -> FrameTokenizerSettings:
    kind = {"whisper": "whisper", "logmel": "logmel"}.get(name, "hubert")
    model = {} if kind == "logmel" else {"model": "somewhere"}
    rate = {"whisper": 25.0, "slow": 25.0, "base": 25.0, "large": 50.0, "logmel": 25.0}[name]
    return TOKENIZERS.validate({"kind": kind, "frame_rate_hz": rate} | model | more)


def encoder_for(folders: dict[str, Path], name: str, batch_seconds: float = 0.0, **more: Any) -> FrameEncoder:
    return load_frames(settings_for(name, **more), folders.get(name), CPU, batch_seconds)


def whisper_reference(folder: Path, wave: np.ndarray) -> list[torch.Tensor]:
    """transformers' encoder with as many positions as the file has: states after each layer and the final norm."""
    whole = WhisperModel.from_pretrained(folder)
    mel = WhisperFeatureExtractor()(wave, sampling_rate=SAMPLE_RATE, padding="do_not_pad", return_tensors="pt")
    features = mel.input_features
    config = WhisperConfig.from_pretrained(folder)
    config.max_source_positions = features.shape[2] // 2
    encoder = ReferenceWhisper(config).eval()
    weights = whole.encoder.state_dict()
    weights["embed_positions.weight"] = weights["embed_positions.weight"][: config.max_source_positions]
    encoder.load_state_dict(weights)
    with torch.inference_mode():
        result = encoder(features, output_hidden_states=True)
    return [*(states[0] for states in result.hidden_states[:-1]), result.last_hidden_state[0]]


@pytest.mark.parametrize("layer", [0, 1, 2, None])
def test_whisper_is_transformers_encoder_on_the_files_own_length(folders: dict[str, Path], layer: int | None) -> None:
    encoder = encoder_for(folders, "whisper", layer=layer, frame_rate_hz=50.0)
    for wave in WAVES[:3]:
        wave = wave[: len(wave) // 320 * 320]  # the class wants an even number of mel frames
        expected = whisper_reference(folders["whisper"], wave)[-1 if layer is None else layer]
        [states] = encoder.encode([wave])
        assert states.shape == expected.shape
        torch.testing.assert_close(states, expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", ["base", "large", "slow"])
@pytest.mark.parametrize("layer", [0, 1, 2, None])
def test_hubert_is_transformers_model_one_file_at_a_time(
    folders: dict[str, Path], kind: str, layer: int | None
) -> None:
    model = HubertModel.from_pretrained(folders[kind]).eval()
    encoder = encoder_for(folders, kind, layer=layer, frame_rate_hz=25.0 if kind == "slow" else 50.0)
    for wave in WAVES:
        if encoder.frame_count(len(wave)) == 0:
            continue
        with torch.inference_mode():
            result = model(torch.from_numpy(wave)[None], output_hidden_states=True)
        expected = result.last_hidden_state[0] if layer is None else result.hidden_states[layer][0]
        [states] = encoder.encode([wave])
        assert states.shape == expected.shape
        torch.testing.assert_close(states, expected, atol=2e-4, rtol=1e-3)


def test_hubert_normalizes_and_pads_as_told(folders: dict[str, Path], tmp_path: Path) -> None:
    model = HubertModel.from_pretrained(folders["base"]).eval()
    wave = WAVES[0] * 0.1 + 0.05
    normalized = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)

    def reference(x: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            return model(torch.from_numpy(x)[None]).last_hidden_state[0]

    says = tmp_path / "says"
    says.mkdir()
    for file in folders["base"].iterdir():
        (says / file.name).write_bytes(file.read_bytes())
    (says / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    for folder, changes, expected in (
        (folders["base"], {}, wave),
        (folders["base"], {"normalize": True}, normalized),
        (says, {}, normalized),
        (says, {"normalize": False}, wave),
        (folders["base"], {"padding_samples": 40}, np.pad(wave, 40)),
    ):
        settings = settings_for("base", frame_rate_hz=50.0, **changes)
        [states] = load_frames(settings, folder, CPU).encode([wave])
        torch.testing.assert_close(states, reference(expected), atol=2e-4, rtol=1e-3)
    assert encoder_digest(settings, says) != encoder_digest(settings, folders["base"])


def units_of(encoder: FrameEncoder, quantizer: Quantizer, waves: list[np.ndarray]) -> list[tuple[np.ndarray, ...]]:
    return [quantizer.assign(frames) for frames in encoder.encode(waves)]


def codebook_of(frames: list[torch.Tensor], clusters: int = 60) -> Codebook:
    """Centroids among real frames, so that frames lie between them as they do in earnest."""
    every = torch.cat(frames).numpy()
    chosen = np.random.default_rng(0).choice(len(every), clusters, replace=False)
    return Codebook(every[chosen].copy(), every.mean(axis=0), every.std(axis=0) + 1e-6)


@pytest.mark.parametrize("name", ["whisper", "base", "large", "slow", "logmel"])
@pytest.mark.parametrize("batch_seconds", [0.5, 3.0, 100.0])
def test_units_do_not_depend_on_the_batch(folders: dict[str, Path], name: str, batch_seconds: float) -> None:
    """Decision: they may differ only where the two nearest centroids are nearly tied, and such frames are few."""
    alone = encoder_for(folders, name)
    waves = [wave for wave in WAVES if alone.frame_count(len(wave))]
    assert len(waves) >= 9
    frames = [alone.encode([wave])[0] for wave in waves]
    quantizer = Quantizer(codebook_of(frames), CPU)
    expected = [quantizer.assign(part) for part in frames]
    batched = encoder_for(folders, name, batch_seconds)
    for order in (range(len(waves)), reversed(range(len(waves))), np.random.default_rng(3).permutation(len(waves))):
        order = list(order)
        for index, (units, ties) in zip(order, units_of(batched, quantizer, [waves[i] for i in order]), strict=True):
            single, single_ties = expected[index]
            assert len(units) == len(single)
            assert not ((units != single) & ~(ties | single_ties)).any()
    every_tie = np.concatenate([ties for _, ties in expected])
    assert every_tie.mean() < 0.02  # else the rule would allow anything


def plain_units(model: HubertModel, wave: np.ndarray, padding: int, layer: int, codebook: Codebook) -> np.ndarray:
    """The plain reference: transformers' class on one file, distances in float64; columns unit and near tie."""
    with torch.inference_mode():
        padded = torch.from_numpy(np.pad(wave, padding))[None]
        states = model(padded, output_hidden_states=True).hidden_states[layer][0].double().numpy()
    distances = np.sqrt(((states[:, None] - codebook.centroids[None].astype(np.float64)) ** 2).sum(axis=2))
    two = np.sort(distances, axis=1)[:, :2]
    return np.stack([distances.argmin(axis=1), two[:, 1] - two[:, 0] <= NEAR_TIE * two[:, 1]], axis=1)


@pytest.mark.parametrize("padding", [0, 40])  # 40: SlamKit's
@pytest.mark.parametrize("kind", ["slow", "base", "large"])  # slow: mHuBERT at 25 Hz; base, slow: group norm over time
def test_units_are_those_of_the_plain_reference_for_any_batches_and_shards(
    folders: dict[str, Path], kind: str, padding: int
) -> None:
    model = HubertModel.from_pretrained(folders[kind]).eval()
    rate = 25.0 if kind == "slow" else 50.0
    settings: dict[str, Any] = {"layer": 2, "frame_rate_hz": rate, "padding_samples": padding}
    counts = encoder_for(folders, kind, **settings)
    waves = [wave for wave in WAVES if counts.frame_count(len(wave))]
    frames = [counts.encode([wave])[0] for wave in waves]
    every = torch.cat(frames).numpy()
    codebook = Codebook(every[np.random.default_rng(0).choice(len(every), 60, replace=False)].copy())
    quantizer = Quantizer(codebook, CPU)
    expected = [plain_units(model, wave, padding, 2, codebook) for wave in waves]
    assert np.concatenate(expected)[:, 1].mean() < 0.02
    assert len(set(np.concatenate(expected)[:, 0])) > 30
    random = np.random.default_rng(5)
    for shards, batch_seconds in ((1, 0.0), (1, 100.0), (2, 3.0), (3, 1.3), (5, 100.0)):
        encoder = encoder_for(folders, kind, batch_seconds, **settings)
        order = random.permutation(len(waves))
        for shard in np.array_split(order, shards):
            for index, (units, _) in zip(shard, units_of(encoder, quantizer, [waves[i] for i in shard]), strict=True):
                plain, tied = expected[index].T
                assert len(units) == len(plain)
                assert not ((units != plain) & ~tied.astype(bool)).any()


def test_padding_adds_what_slamkits_padding_adds(folders: dict[str, Path]) -> None:
    """40 samples on each side, at 25 Hz: as many frames as the file has whole 40 ms, but for the field of view."""
    encoder = encoder_for(folders, "slow", padding_samples=40)
    plain = encoder_for(folders, "slow")
    assert [encoder.frame_count(samples) for samples in (639, 640, 16000, 16640)] == [0, 1, 25, 26]
    assert plain.frame_count(16000) == 24


@pytest.mark.parametrize("name", ["whisper", "base", "large", "slow", "logmel"])
def test_states_of_a_batch_equal_those_of_each_file(folders: dict[str, Path], name: str) -> None:
    alone, batched = encoder_for(folders, name), encoder_for(folders, name, 100.0)
    waves = [wave for wave in WAVES if alone.frame_count(len(wave))]
    for wave, together in zip(waves, batched.encode(waves), strict=True):
        [single] = alone.encode([wave])
        torch.testing.assert_close(together, single, atol=1e-4, rtol=1e-4)


def test_one_file_at_a_time_gives_the_same_bits_in_any_company(folders: dict[str, Path]) -> None:
    encoder = encoder_for(folders, "whisper")
    together = encoder.encode(WAVES[:6])
    for wave, frames in zip(WAVES[:6], together, strict=True):
        assert torch.equal(encoder.encode([wave])[0], frames)


@pytest.mark.parametrize("name", ["whisper", "base"])
def test_threads_change_near_ties_at_most(folders: dict[str, Path], name: str) -> None:
    encoder = encoder_for(folders, name)
    waves = [speech_like(160000, 50)]
    frames = encoder.encode(waves)
    quantizer = Quantizer(codebook_of(frames), CPU)
    [(units, ties)] = units_of(encoder, quantizer, waves)
    torch.set_num_threads(2)
    [(other, _)] = units_of(encoder, quantizer, waves)
    torch.set_num_threads(1)
    assert not ((units != other) & ~ties).any()


def test_long_audio_is_cut_in_windows_encoded_alone(folders: dict[str, Path]) -> None:
    encoder = encoder_for(folders, "whisper", window_seconds=1.0)
    wave = speech_like(40000, 60)
    [frames] = encoder.encode([wave])
    whole = encoder_for(folders, "whisper")
    expected = torch.cat([whole.encode([wave[start : start + 16000]])[0] for start in (0, 16000, 32000)])
    assert torch.equal(frames, expected)
    assert len(frames) == encoder.frame_count(len(wave))
    # a rest too short for a frame adds nothing
    [shorter] = encoder.encode([wave[:32100]])
    assert torch.equal(shorter, expected[: len(shorter)])
    assert len(shorter) == 50


@pytest.mark.parametrize("name", ["whisper", "base", "large", "slow", "logmel"])
def test_frame_count_is_what_comes(folders: dict[str, Path], name: str) -> None:
    encoder = encoder_for(folders, name, window_seconds=0.5)
    for samples in [100, 200, 201, 399, 400, 401, 480, 640, 719, 720, 721, 1040, 1300, 8000, 8001, 8480, 16639, 20000]:
        wave = speech_like(samples, 1)
        count = encoder.frame_count(samples)
        if count:
            assert len(encoder.encode([wave])[0]) == count
        else:
            with pytest.raises(AudioError, match="too short"):
                encoder.encode([wave])


def test_states_are_averaged_in_groups() -> None:
    states = torch.arange(14, dtype=torch.float32).view(7, 2)
    assert average(states, 3).tolist() == [[2.0, 3.0], [8.0, 9.0]]
    assert average(states, 1) is states


def test_averaged_frames_are_means_of_states(folders: dict[str, Path]) -> None:
    fast, slow = encoder_for(folders, "whisper", frame_rate_hz=50.0), encoder_for(folders, "whisper")
    [states], [frames] = fast.encode(WAVES[:1]), slow.encode(WAVES[:1])
    torch.testing.assert_close(frames[3], states[6:8].mean(dim=0))
    assert slow.frame_rate_hz == 25.0
    assert len(frames) == 25


def test_batches_hold_everything_once_and_keep_their_limit() -> None:
    lengths = [5, 9, 1, 1, 7, 30, 2]
    groups = batches(lengths, 14)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or max(lengths[i] for i in group) * len(group) <= 14
    assert len(batches(lengths, 0)) == len(lengths)
    assert batches([4, 4, 4], 12) == [[0, 1, 2]]
    assert batches([], 10) == []


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("gelu", [False, True])
def test_packed_and_plain_linear_maps_agree(monkeypatch: pytest.MonkeyPatch, biased: bool, gelu: bool) -> None:
    torch.manual_seed(0)
    weight, bias, x = torch.randn(24, 32), torch.randn(24) if biased else None, torch.randn(2, 600, 32)
    packed = Linear(weight, bias)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = Linear(weight, bias)
    assert plain.packed is None
    expected = torch.nn.functional.linear(x.double(), weight.double(), None if bias is None else bias.double())
    expected = torch.nn.functional.gelu(expected) if gelu else expected
    for linear in (packed, plain):
        torch.testing.assert_close(linear(x, gelu).double(), expected, atol=1e-4, rtol=1e-4)


# Log-mel


@pytest.mark.parametrize("bands", [80, 128])
def test_mel_filters_are_whispers(bands: int) -> None:
    expected = mel_filter_bank(201, bands, 0.0, 8000.0, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(bands).numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("samples", [201, 480, 16000, 16001, 47999])
def test_log_mel_is_whispers(samples: int) -> None:
    wave = speech_like(samples, samples)
    extractor = WhisperFeatureExtractor()
    expected = extractor(wave, sampling_rate=SAMPLE_RATE, padding="do_not_pad", return_tensors="np").input_features[0]
    np.testing.assert_allclose(log_mel(torch.from_numpy(wave), mel_filters(80)).numpy(), expected, atol=1e-4)


def test_log_mel_of_silence_is_finite() -> None:
    assert torch.isfinite(log_mel(torch.zeros(1600), mel_filters(80))).all()


# Folders


def test_only_the_needed_layers_are_read(folders: dict[str, Path], tmp_path: Path) -> None:
    """A file without the later layers is enough."""
    for name, later in (("whisper", "encoder.layers.2."), ("base", "encoder.layers.2.")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_bytes((folders[name] / "config.json").read_bytes())
        tensors = load_file(folders[name] / "model.safetensors")
        kept = {key: tensor for key, tensor in tensors.items() if later not in key}
        assert len(kept) < len(tensors)
        save_file(kept, folder / "model.safetensors")
        [expected] = encoder_for(folders, name, layer=2).encode(WAVES[:1])
        [frames] = load_frames(settings_for(name, layer=2), folder, CPU).encode(WAVES[:1])
        assert torch.equal(frames, expected)
        with pytest.raises(InputError, match=r"lack .*layers\.2"):
            load_frames(settings_for(name, layer=3), folder, CPU)


@pytest.mark.parametrize("prefix", ["", "hubert."])
@pytest.mark.parametrize("old_names", [False, True])
def test_other_ways_to_store_hubert(folders: dict[str, Path], tmp_path: Path, prefix: str, old_names: bool) -> None:
    """pytorch_model.bin, fp16, a prefix, and the old names of the weight norm."""
    tensors = load_file(folders["base"] / "model.safetensors")
    renamed = {}
    for name, tensor in tensors.items():
        if old_names:
            name = name.replace("parametrizations.weight.original0", "weight_g")
            name = name.replace("parametrizations.weight.original1", "weight_v")
        renamed[prefix + name] = tensor
    torch.save(renamed, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_bytes((folders["base"] / "config.json").read_bytes())
    [expected] = encoder_for(folders, "base").encode(WAVES[:1])
    [frames] = load_frames(settings_for("base"), tmp_path, CPU).encode(WAVES[:1])
    assert torch.equal(frames, expected)


def test_a_bin_file_with_code_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "canary",)

    torch.save({"feature_extractor.conv_layers.0.conv.weight": Evil()}, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_bytes((folders["base"] / "config.json").read_bytes())
    with pytest.raises(InputError, match=r"pytorch_model\.bin: refused"):
        load_frames(settings_for("base"), tmp_path, CPU)
    assert not (tmp_path / "canary").exists()


def test_wrong_folders_and_settings_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model_type is 'whisper', this encoder needs 'hubert'"):
        load_frames(settings_for("base"), folders["whisper"], CPU)
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        load_frames(settings_for("base"), tmp_path, CPU)
    with pytest.raises(InputError, match="layer: 4 asked"):
        encoder_for(folders, "whisper", layer=4)
    with pytest.raises(InputError, match="layer: 4 asked"):
        encoder_for(folders, "base", layer=4)
    with pytest.raises(InputError, match=r"30 does not divide the encoder's 50 Hz; possible are 50, 25"):
        encoder_for(folders, "whisper", frame_rate_hz=30.0)
    with pytest.raises(InputError, match="frame_rate_hz"):
        encoder_for(folders, "slow", frame_rate_hz=50.0)
    with pytest.raises(InputError, match="this encoder takes at most 30 s"):
        encoder_for(folders, "whisper", window_seconds=31.0)
    with pytest.raises(InputError, match="--model"):
        load_frames(settings_for("whisper"), None, CPU)
    with pytest.raises(InputError, match="--model"):
        load_frames(settings_for("logmel"), folders["base"], CPU)
    relu = hubert_folder(tmp_path / "relu", "base", hidden_act="relu")
    with pytest.raises(InputError, match="hidden_act 'relu' is not supported"):
        load_frames(settings_for("base"), relu, CPU)
    (tmp_path / "relu" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"model\.safetensors: cannot be read"):
        load_frames(settings_for("base"), whole_config(folders["base"], tmp_path / "relu"), CPU)


def whole_config(source: Path, target: Path) -> Path:
    (target / "config.json").write_bytes((source / "config.json").read_bytes())
    return target


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "logmel", "model": "x"},
        {"kind": "whisper"},
        {"kind": "logmel", "layer": 3},
        {"kind": "whisper", "model": "x", "normalize": True},
        {"kind": "logmel", "padding_samples": 40},
    ],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"model|layer|normalize|padding_samples"):
        TOKENIZERS.validate(values)


# Sequences


def test_deduplicate_by_hand() -> None:
    units, durations = deduplicate(np.array([5, 5, 5, 2, 5, 5, 7]))
    assert units.tolist() == [5, 2, 5, 7]
    assert durations.tolist() == [3, 1, 2, 1]
    assert units.dtype == durations.dtype == np.uint16
    assert [part.tolist() for part in deduplicate(np.zeros(0, np.int64))] == [[], []]


def test_deduplicate_can_be_undone() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        frames = random.integers(0, random.integers(1, 6), random.integers(0, 60))
        units, durations = deduplicate(frames)
        np.testing.assert_array_equal(np.repeat(units, durations), frames)
        assert not (units[1:] == units[:-1]).any()
        assert (durations > 0).all()


def test_deduplicate_refuses_what_does_not_fit() -> None:
    assert deduplicate(np.full(65535, 3))[1].tolist() == [65535]
    with pytest.raises(ValueError, match="65536 frames"):
        deduplicate(np.full(65536, 3))
    for bad in (70000, -1):
        with pytest.raises(ValueError, match="16 bits"):
            deduplicate(np.array([bad]))


def test_join_drops_one_unit_where_the_seam_repeats() -> None:
    assert join(np.array([1, 2]), np.array([2, 3])).tolist() == [1, 2, 3]
    assert join(np.array([1, 2]), np.array([3, 2])).tolist() == [1, 2, 3, 2]
    assert join(np.array([1]), np.array([1])).tolist() == [1]
    assert join(np.array([]), np.array([1])).tolist() == [1]
    assert join(np.array([1]), np.array([])).tolist() == [1]
    assert join(np.array([1]), np.array([2])).dtype == np.uint16


def test_join_of_deduplicated_is_deduplicated_and_as_long_as_it_should_be() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        prompt, ending = (deduplicate(random.integers(0, 3, random.integers(0, 12)))[0] for _ in range(2))
        joined = join(prompt, ending)
        np.testing.assert_array_equal(joined, deduplicate(np.concatenate([prompt, ending]))[0])
