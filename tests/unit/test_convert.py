"""Converted models hold the same numbers as their source, and load as ordinary transformers folders."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperForConditionalGeneration,
    WhisperModel,
)

import convert_asset
from slamflow.assets import convert_gguf, convert_whisper
from slamflow.assets.ctranslate2_model import read_model, read_shapes
from slamflow.errors import InputError

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
OUTPUTS = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
TEXT = "Lily has 2 dogs."


@pytest.fixture(autouse=True)
def _offline_and_deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def byte_tokenizer(specials: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE with one merge, so that merges are seen to work."""
    vocabulary = {token: index for index, token in enumerate([*ALPHABET, "do"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("d", "o")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=specials[0], eos_token=specials[0], pad_token=specials[0]
    )


# Whisper


@pytest.fixture(scope="module", params=["float16", "float32", "bfloat16"])
def whisper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny random Whisper of transformers, and what CTranslate2's own converter makes of it.

    All sizes differ, so that nothing fits where it does not belong.
    """
    converters = pytest.importorskip("ctranslate2.converters")
    folder = tmp_path_factory.mktemp("whisper")
    tokenizer = byte_tokenizer(["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"])
    config = WhisperConfig(
        vocab_size=len(tokenizer) + 5,
        num_mel_bins=10,
        d_model=24,
        encoder_layers=3,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=6,
        encoder_ffn_dim=32,
        decoder_ffn_dim=40,
        max_source_positions=50,
        max_target_positions=20,
        pad_token_id=257,
        bos_token_id=257,
        eos_token_id=257,
        decoder_start_token_id=258,
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # A few equal tensors stay (norms of one, biases of zero): the converter stores those as aliases.
            if parameter.dim() > 1 or torch.rand(()) < 0.5:
                parameter.normal_()
            parameter.copy_(parameter.to(getattr(torch, request.param)).float())
    model.save_pretrained(folder / "original")
    tokenizer.save_pretrained(folder / "original")
    converter = converters.TransformersConverter(str(folder / "original"), copy_files=["tokenizer.json"])
    converter.convert(str(folder / "ctranslate2"), quantization=request.param)
    return folder / "original", folder / "ctranslate2"


def test_whisper_comes_back_from_ctranslate2_without_loss(whisper: tuple[Path, Path], tmp_path: Path) -> None:
    original, converted = whisper
    stored = read_model(converted / "model.bin")
    assert len({id(tensor) for tensor in stored.variables.values()}) < len(stored.variables) - 1, "no alias to resolve"
    convert_whisper.convert(converted, tmp_path)
    want = WhisperForConditionalGeneration.from_pretrained(original, dtype=torch.float32)
    got, report = WhisperForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert got.dtype == torch.float32
    for name, tensor in want.state_dict().items():
        assert torch.equal(got.state_dict()[name], tensor), name
    for key in ("d_model", "encoder_attention_heads", "decoder_attention_heads", "max_source_positions", "vocab_size"):
        assert getattr(got.config, key) == getattr(want.config, key)
    assert got.config.decoder_start_token_id == 258
    assert got.config.eos_token_id == 257


def test_whisper_encodes_as_ctranslate2_does(whisper: tuple[Path, Path], tmp_path: Path) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    _, converted = whisper
    convert_whisper.convert(converted, tmp_path)
    model = WhisperModel.from_pretrained(tmp_path).eval()
    features = torch.randn(2, 10, 100, generator=torch.Generator().manual_seed(1))
    oracle = ctranslate2.models.Whisper(str(converted), device="cpu", compute_type="float32", intra_threads=1)
    want = np.array(oracle.encode(ctranslate2.StorageView.from_array(features.numpy()), to_cpu=True))
    with torch.no_grad():
        got = model.encoder(features).last_hidden_state.numpy()
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_whisper_folder_is_complete_and_reproducible(whisper: tuple[Path, Path], tmp_path: Path) -> None:
    _, converted = whisper
    for name in ("one", "two"):
        arguments = ["--convert", "ctranslate2_whisper", "--input", str(converted), "--output", str(tmp_path / name)]
        convert_asset.main(arguments)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == OUTPUTS
    same_bytes_and_readable(tmp_path / "one", tmp_path / "two")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "one")
    want = Tokenizer.from_file(str(converted / "tokenizer.json"))
    assert tokenizer(TEXT, add_special_tokens=False).input_ids == want.encode(TEXT, add_special_tokens=False).ids
    assert tokenizer.eos_token_id == 257
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path / "one").decode(tokenizer(TEXT).input_ids) == TEXT


def same_bytes_and_readable(one: Path, two: Path) -> None:
    for name in OUTPUTS:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
        assert (one / name).stat().st_mode & 0o777 == (one / "config.json").stat().st_mode & 0o777, name
        if name.endswith(".json"):
            assert str(one) not in (one / name).read_text()


def binary(
    variables: list[tuple[str, tuple[int, ...], int, bytes]],
    aliases: list[tuple[str, str]] | None = None,
    version: int = 6,
    specification: str = "WhisperSpec",
) -> bytes:
    """A model.bin written by hand."""

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    content = struct.pack("<I", version) + string(specification) + struct.pack("<II", 3, len(variables))
    for name, shape, kind, data in variables:
        content += string(name) + struct.pack(f"<B{len(shape)}I", len(shape), *shape)
        content += struct.pack("<BI", kind, len(data)) + data
    content += struct.pack("<I", len(aliases or []))
    return content + b"".join(string(alias) + string(name) for alias, name in aliases or [])


def test_the_reader_on_a_file_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    numbers = np.array([[1, -2, 0.5], [65504, 6e-8, 0]], np.float16)
    path.write_bytes(
        binary(
            [
                ("half", (2, 3), 4, numbers.tobytes()),
                ("heads", (), 2, struct.pack("<h", 6)),
                ("brain", (2,), 5, b"\x80\x3f\x00\xc0"),
            ],
            aliases=[("again", "half")],
        )
    )
    model = read_model(path)
    assert (model.specification, model.revision) == ("WhisperSpec", 3)
    assert list(model.variables) == ["half", "heads", "brain", "again"]
    assert torch.equal(model.variables["half"], torch.from_numpy(numbers))
    assert model.variables["again"] is model.variables["half"]
    assert model.variables["heads"].item() == 6
    assert model.variables["brain"].tolist() == [1.0, -2.0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (binary([], version=5), "format 5, and only"),
        (binary([("a", (2, 2), 4, b"1234567")]), r"a has 7 bytes, which is not \[2, 2\]"),
        (binary([("a", (1,), 9, b"1")]), "a has the unknown element type 9"),
        (binary([], aliases=[("a", "b")]), "a stands for b, which is not there"),
        (binary([]) + b"x", "bytes after the end"),
        (b"", "cut off"),
    ],
)
def test_a_damaged_model_file_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_model(path)
    assert str(path) in str(caught.value)


def test_a_model_file_cut_anywhere_is_an_input_error(tmp_path: Path) -> None:
    whole = binary([("a/b", (3,), 4, b"123456"), ("c", (), 1, b"1")], aliases=[("d", "c")])
    path = tmp_path / "model.bin"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        for read in (read_model, read_shapes):
            with pytest.raises(InputError, match="cut off"):
                read(path)


def rewrite(source: Path, target: Path, change: object) -> None:
    """A copy of a converted folder with its variables changed by `change(dict)`."""
    model = read_model(source / "model.bin")
    kinds = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.float16: 4, torch.bfloat16: 5}
    variables = dict(model.variables)
    change(variables)  # type: ignore[operator]
    entries = [
        (name, tuple(tensor.shape), kinds[tensor.dtype], tensor.contiguous().view(torch.uint8).numpy().tobytes())
        if tensor.dim()
        else (name, (), kinds[tensor.dtype], tensor.numpy().tobytes())
        for name, tensor in variables.items()
    ]
    target.mkdir()
    (target / "model.bin").write_bytes(binary(entries, specification=model.specification))
    (target / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda v: v.pop("encoder/layer_1/ffn/linear_0/bias"), "has no encoder/layer_1/ffn/linear_0/bias"),
        (lambda v: v.update({"decoder/extra": torch.zeros(2)}), "unknown variables decoder/extra"),
        (lambda v: v.update({"encoder/conv1/bias": torch.zeros(24, dtype=torch.int8)}), "is quantized"),
        (lambda v: v.update({"decoder/projection/weight": v["decoder/projection/weight"] + 1}), "embeddings differ"),
        (lambda v: v.update({"encoder/layer_norm/beta": torch.zeros(23)}), "encoder.layer_norm.bias"),
        (lambda v: v.update({"decoder/activation": torch.tensor(0, dtype=torch.int8)}), "not the GELU"),
        (lambda v: v.update({"encoder/layer_0/self_attention/linear_0/bias": torch.ones(72)}), "bias for the keys"),
    ],
)
@pytest.mark.parametrize("whisper", ["float32"], indirect=True)
def test_what_is_not_whisper_is_refused(
    whisper: tuple[Path, Path], tmp_path: Path, change: object, expected: str
) -> None:
    rewrite(whisper[1], tmp_path / "changed", change)
    with pytest.raises(InputError, match=expected):
        convert_whisper.convert(tmp_path / "changed", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# GGUF


def write_gguf(folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    """Write a Llama model as GGUF, the big matrices in 4 bits; return the tensors that a reader must find."""
    gguf = pytest.importorskip("gguf")
    config = model.config
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(5000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges(["d o"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(258)
    writer.add_chat_template("{{ messages }}")
    names = {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    expected = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name)
        if layer:
            target = f"blk.{layer[1]}.{names[layer[2]]}.weight"
        else:
            target = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
        values = tensor.numpy()
        heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(target.split(".")[-2])
        if heads:
            # llama.cpp pairs neighboring rows for the rotation, transformers the two halves of a head.
            values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        if values.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q4_1
            packed = gguf.quants.quantize(values, kind)
            writer.add_tensor(target, packed, raw_dtype=kind)
            values = gguf.quants.dequantize(packed, kind)
        else:
            writer.add_tensor(target, values)
        if heads:
            values = values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        expected[name] = torch.from_numpy(np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor], PreTrainedTokenizerFast]:
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = byte_tokenizer(["<|start|>", "<|end|>"])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    return folder, write_gguf(folder, LlamaForCausalLM(config), tokenizer), tokenizer


def test_gguf_becomes_a_plain_folder(llama: tuple[Path, dict, PreTrainedTokenizerFast], tmp_path: Path) -> None:
    folder, expected, tokenizer = llama
    for name in ("one", "two"):
        convert_asset.main(["--convert", "gguf", "--input", str(folder), "--output", str(tmp_path / name)])
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == OUTPUTS
    same_bytes_and_readable(tmp_path / "one", tmp_path / "two")
    assert "quantization_config" not in json.loads((tmp_path / "one" / "config.json").read_text())

    model, report = AutoModelForCausalLM.from_pretrained(tmp_path / "one", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert model.dtype == torch.float32
    state = model.state_dict()
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name
    assert torch.equal(state["lm_head.weight"], expected["model.embed_tokens.weight"])
    half = model.model.rotary_emb.inv_freq.shape[0]
    theta = model.model.rotary_emb.inv_freq[-1].item() ** (-half / (half - 1))
    assert theta == pytest.approx(5000.0, rel=1e-4)

    loaded = AutoTokenizer.from_pretrained(tmp_path / "one")
    assert loaded(TEXT).input_ids == tokenizer(TEXT).input_ids
    assert loaded.decode(loaded(TEXT).input_ids) == TEXT
    assert (loaded.bos_token_id, loaded.eos_token_id) == (257, 258)
    assert loaded.chat_template == "{{ messages }}"


def test_what_is_not_gguf_is_refused(
    llama: tuple[Path, dict[str, torch.Tensor], PreTrainedTokenizerFast], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"expected one \.gguf file, found 0"):
        convert_gguf.convert(tmp_path, tmp_path / "out")
    path = tmp_path / "model.gguf"
    whole = (llama[0] / "model.gguf").read_bytes()
    for content in (b"", b"not a model", whole[:100], whole[: len(whole) // 2], whole[:-1000]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(str(path))):
            convert_gguf.convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# A pytorch_model.bin, as the hub has OPT-1.3B


@pytest.fixture
def opt(tmp_path: Path) -> tuple[Path, OPTForCausalLM]:
    """A tiny random OPT with its tokenizer, as published: half precision, keys without the leading `model.`."""
    folder = tmp_path / "opt"
    folder.mkdir()
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=len(ALPHABET) + 3,
        hidden_size=16,
        ffn_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        word_embed_proj_dim=16,
        max_position_embeddings=32,
        architectures=["OPTForCausalLM"],
    )
    model = OPTForCausalLM(config).half().eval()
    config.save_pretrained(folder)
    state = {
        name.removeprefix("model."): value for name, value in model.state_dict().items() if name != "lm_head.weight"
    }
    torch.save(state, folder / "pytorch_model.bin")
    words = ["<s>", "<pad>", "</s>", *ALPHABET]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder, model


def test_torch_weights_become_a_plain_folder(opt: tuple[Path, OPTForCausalLM], tmp_path: Path) -> None:
    folder, model = opt
    output = tmp_path / "converted"
    convert_asset.main(["--convert", "torch_weights", "--input", str(folder), "--output", str(output)])
    assert sorted(path.name for path in output.iterdir()) == OUTPUTS
    loaded, report = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float16, output_loading_info=True)
    assert not report["missing_keys"]
    ids = torch.tensor([[3, 7, 9, 20]])
    with torch.no_grad():
        assert torch.equal(loaded.float()(ids).logits, model.float()(ids).logits)
    assert AutoTokenizer.from_pretrained(output).decode(AutoTokenizer.from_pretrained(output)(TEXT).input_ids) == TEXT


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("executed"),)  # type: ignore[return-value]


def test_a_pickle_with_more_than_tensors_is_refused_and_not_executed(
    opt: tuple[Path, OPTForCausalLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = opt
    monkeypatch.chdir(tmp_path)
    torch.save({"a": _Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="not a file of tensors alone"):
        convert_asset.main(["--convert", "torch_weights", "--input", str(folder), "--output", str(tmp_path / "out")])
    assert not (tmp_path / "executed").exists()
