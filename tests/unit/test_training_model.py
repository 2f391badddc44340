"""Models from scratch and from text models, rows, and attention that stays within documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from slamflow.errors import InputError
from slamflow.lm.attention import choose_attention, leakage, model_inputs, use_attention
from slamflow.lm.devices import Ranks
from slamflow.lm.initial import build_model
from slamflow.lm.model import export_model, load_language_model, parent_digest
from slamflow.lm.next_token_loss import NextToken
from slamflow.lm.speech import read_speech, speech_record
from slamflow.recipe.datasets import VocabularySettings
from slamflow.shards.rows import Batch, Order, share
from slamflow.vocabulary import Vocabulary
from tests.unit.training_rows import CONTEXT, LLAMA, UNITS, VOCABULARY, documents, rows, settings

CPU = torch.device("cpu")
QWEN2 = {**LLAMA, "model_type": "qwen2"}
OPT = {
    "model_type": "opt",
    "hidden_size": 32,
    "ffn_dim": 48,
    "word_embed_proj_dim": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}


def text_model(folder: Path, vocabulary: int, **changes: Any) -> Path:
    """A text model's folder with random weights."""
    torch.manual_seed(1)
    keys = {**LLAMA, "vocab_size": vocabulary, **changes}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(keys.pop("model_type"), **keys)).save_pretrained(folder)
    return folder


def warm(parent: Path, **changes: Any) -> PreTrainedModel:
    return build_model(settings(init="text", architecture=None, **changes), VOCABULARY, CONTEXT, parent)


def scratch(architecture: dict[str, Any] = LLAMA, **changes: Any) -> PreTrainedModel:
    return build_model(settings(architecture=architecture, **changes), VOCABULARY, CONTEXT, None)


def embeddings(model: PreTrainedModel) -> torch.Tensor:
    return model.get_input_embeddings().weight.detach()


def outputs(model: PreTrainedModel) -> torch.Tensor:
    return model.get_output_embeddings().weight.detach()


# From scratch


def test_scratch_depends_on_the_seed_alone() -> None:
    first, again, other = scratch(), scratch(), scratch(seed=1)
    assert embeddings(first).shape == (VOCABULARY.size, 32)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(embeddings(first), embeddings(other))
    config = first.config
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (0, 1, 1)
    assert {parameter.dtype for parameter in first.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hiden_size": 32}, "hiden_size.*did you mean hidden_size"),
        ({"vocab_size": 50}, "vocab_size.*set by the dataset"),
        ({"model_type": "lama"}, "no model type 'lama'"),
        ({"hidden_size": "big"}, "hidden_size.*expected int"),
        ({"max_position_embeddings": 16}, "max_position_embeddings 16, but the rows are 48"),
    ],
)
def test_an_architecture_that_does_not_work_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        scratch({**LLAMA, **changes})


def test_depth_scaled_matrices_are_drawn_smaller() -> None:
    """As Cuervo and Marxer's model is (slm_scaling/src/slm/model.py:270-273): w3 is up_proj, wo is o_proj."""
    wide = {**LLAMA, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 8}
    model = scratch(wide, depth_scaled=["up_proj", "o_proj"])
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            scaled = name.endswith(("up_proj.weight", "o_proj.weight"))
            assert float(weight.detach().std()) == pytest.approx(0.02 / 4 if scaled else 0.02, rel=0.05), name
    assert torch.equal(embeddings(model), embeddings(scratch(wide)))
    with pytest.raises(InputError, match=r"depth_scaled: llama has no matrix 'w3'; it has .*up_proj"):
        scratch(depth_scaled=["w3"])
    with pytest.raises(ValidationError, match="depth_scaled belongs to init: scratch"):
        settings(init="text", architecture=None, depth_scaled=["o_proj"])


# Rotary embedding


def theta_of(model: PreTrainedModel) -> float:
    """The base, read back from the frequencies that the model multiplies with: f[i] = base ** (-2 i / width)."""
    frequencies = model.model.rotary_emb.inv_freq.double()
    width = 2 * len(frequencies)
    return float(frequencies[1] ** (-width / 2))


@pytest.mark.parametrize("architecture", [LLAMA, QWEN2])
def test_rope_theta_reaches_the_frequencies(architecture: dict[str, Any], tmp_path: Path) -> None:
    assert theta_of(scratch(architecture, rope_theta=500.0)) == pytest.approx(500, rel=1e-4)
    assert theta_of(scratch({**architecture, "rope_theta": 700.0})) == pytest.approx(700, rel=1e-4)
    rope = {"rope_theta": 1e6, "rope_type": "default"}
    parent = text_model(tmp_path / "text", 60, **architecture, rope_parameters=rope)
    assert theta_of(warm(parent)) == pytest.approx(1e6, rel=1e-3)
    model = warm(parent, rope_theta=10_000.0)
    assert theta_of(model) == pytest.approx(1e4, rel=1e-4)
    export_model(model, tmp_path / "out")
    assert theta_of(AutoModelForCausalLM.from_pretrained(tmp_path / "out")) == pytest.approx(1e4, rel=1e-4)


def test_rope_theta_is_refused_without_a_rotary_embedding() -> None:
    with pytest.raises(InputError, match="opt model has no rotary"):
        scratch(OPT, rope_theta=100.0)


# Warm start


@pytest.mark.parametrize("tied", [False, True])
def test_first_rows_are_kept_bit_for_bit(tied: bool, tmp_path: Path) -> None:
    parent = text_model(tmp_path / "text", 200, tie_word_embeddings=tied)
    text = AutoModelForCausalLM.from_pretrained(parent)
    model = warm(parent)
    assert torch.equal(embeddings(model), embeddings(text)[: VOCABULARY.size])
    assert torch.equal(outputs(model), outputs(text)[: VOCABULARY.size])
    assert (outputs(model) is embeddings(model) or outputs(model).data_ptr() == embeddings(model).data_ptr()) == tied
    assert model.config.vocab_size == VOCABULARY.size
    assert torch.equal(model.model.layers[1].mlp.up_proj.weight, text.model.layers[1].mlp.up_proj.weight)


@pytest.mark.parametrize("tied", [False, True])
def test_a_smaller_text_vocabulary_is_extended_with_new_rows(tied: bool, tmp_path: Path) -> None:
    parent = text_model(tmp_path / "text", 20, tie_word_embeddings=tied)
    text, model = AutoModelForCausalLM.from_pretrained(parent), warm(parent)
    for new, old in ((embeddings(model), embeddings(text)), (outputs(model), outputs(text))):
        assert new.shape == (VOCABULARY.size, 32)
        assert torch.equal(new[:20], old)
        assert 0.01 < float(new[20:].std()) < 0.03
    assert torch.equal(embeddings(model), embeddings(warm(parent)))


@pytest.mark.parametrize("tied", [False, True])
def test_random_embeddings_are_new_and_the_body_is_not(tied: bool, tmp_path: Path) -> None:
    parent = text_model(tmp_path / "text", 200, tie_word_embeddings=tied)
    text, model = AutoModelForCausalLM.from_pretrained(parent), warm(parent, embeddings="random")
    assert float((embeddings(model) - embeddings(text)[: VOCABULARY.size]).abs().median()) > 0.005
    assert float((outputs(model) - outputs(text)[: VOCABULARY.size]).abs().median()) > 0.005
    assert 0.015 < float(embeddings(model).std()) < 0.025
    assert (outputs(model).data_ptr() == embeddings(model).data_ptr()) == tied
    assert torch.equal(model.model.layers[0].self_attn.q_proj.weight, text.model.layers[0].self_attn.q_proj.weight)
    other = warm(parent, embeddings="random", seed=1)
    assert not torch.equal(embeddings(model), embeddings(other))


def test_the_first_layers_are_kept(tmp_path: Path) -> None:
    parent = text_model(tmp_path / "text", 60, **{**QWEN2, "num_hidden_layers": 3})
    text, model = AutoModelForCausalLM.from_pretrained(parent), warm(parent, layers=2)
    assert len(model.model.layers) == model.config.num_hidden_layers == 2
    for kept, old in zip(model.model.layers, text.model.layers, strict=False):
        assert torch.equal(kept.mlp.down_proj.weight, old.mlp.down_proj.weight)
    export_model(model, tmp_path / "out")
    assert len(AutoModelForCausalLM.from_pretrained(tmp_path / "out").model.layers) == 2
    with pytest.raises(InputError, match=r"layers: 4, but .* has 3"):
        warm(parent, layers=4)


def test_bos_learns_although_the_text_model_padded_with_its_number(tmp_path: Path) -> None:
    model = warm(text_model(tmp_path / "text", 60, pad_token_id=1, attention_dropout=0.1))
    assert model.config.attention_dropout == 0.0
    model(input_ids=torch.tensor([[1, 5, 6]]), labels=torch.tensor([[1, 5, 6]])).loss.backward()
    assert float(model.get_input_embeddings().weight.grad[1].abs().sum()) > 0


def test_a_parent_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--parent"):
        build_model(settings(init="text", architecture=None), VOCABULARY, CONTEXT, None)
    with pytest.raises(InputError, match=r"no config\.json"):
        warm(tmp_path)
    parent = text_model(tmp_path / "text", 60)
    (parent / "model.safetensors").write_bytes(b"\x08")
    with pytest.raises(InputError, match="cannot load"):
        warm(parent)
    (parent / "model.safetensors").rename(parent / "pytorch_model.bin")
    with pytest.raises(InputError, match="no safetensors"):
        warm(parent)


# Export


def test_export_is_an_ordinary_folder_with_the_same_logits(tmp_path: Path) -> None:
    model = scratch()
    use_attention(model, "documents")
    export_model(model, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    export_model(model, tmp_path / "out")
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = torch.arange(1, 30)[None]
    use_attention(model, "sdpa")
    assert torch.equal(loaded(ids, use_cache=False).logits, model(ids, use_cache=False).logits)
    before = parent_digest(tmp_path / "out")
    config = json.loads(first["config.json"])
    (tmp_path / "out" / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-5}))
    assert parent_digest(tmp_path / "out") != before


def test_speech_json_says_how_speech_becomes_tokens(tmp_path: Path) -> None:
    codebook = {"encoder_sha256": "cd", "sha256": "ab", "clusters": UNITS, "frame_rate_hz": 25.0}
    record = speech_record(VOCABULARY, "cold", "hubert", {"kind": "hubert", "layer": 11}, codebook)
    (tmp_path / "speech.json").write_text(json.dumps(record))
    assert read_speech(tmp_path) == (record, VOCABULARY)
    assert (record["model"], record["encoder"], record["tokenizer"]["layer"]) == ("cold", "hubert", 11)
    assert (record["tick_hz"], record["codebook_sha256"], record["encoder_sha256"]) == (25.0, "ab", "cd")
    text = speech_record(Vocabulary.of(VocabularySettings(text="bytes")), "story_text")
    assert {text[key] for key in ("encoder", "tokenizer", "tick_hz", "codebook_sha256", "encoder_sha256")} == {None}
    assert set(text) == set(record)


def test_a_folder_without_a_speech_json_of_this_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no speech\.json"):
        read_speech(tmp_path)
    (tmp_path / "speech.json").write_text('{"units": 500}')
    with pytest.raises(InputError, match="of another version"):
        read_speech(tmp_path)
    (tmp_path / "speech.json").write_text(json.dumps({**speech_record(VOCABULARY), "vocabulary": {"units": 500}}))
    with pytest.raises(InputError, match="no vocabulary that this version reads"):
        read_speech(tmp_path)


# Loading


@pytest.mark.parametrize("tied", [False, True])
def test_a_model_is_loaded_as_it_is(tied: bool, tmp_path: Path) -> None:
    folder = text_model(tmp_path / "model", 40, tie_word_embeddings=tied, attention_dropout=0.1, pad_token_id=1)
    expected, model = AutoModelForCausalLM.from_pretrained(folder), load_language_model(folder)
    tokens = torch.arange(40)[None]
    assert torch.equal(model(tokens).logits, expected(tokens).logits)
    assert not model.training
    assert model.config.attention_dropout == 0.0
    assert model.get_input_embeddings().padding_idx is None


@pytest.mark.parametrize("tied", [False, True])
def test_missing_and_unexpected_weights_are_named(tied: bool, tmp_path: Path) -> None:
    folder = text_model(tmp_path / "model", 40, tie_word_embeddings=tied)
    weights = load_file(folder / "model.safetensors")
    norm = weights.pop("model.norm.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack model\.norm\.weight"):
        load_language_model(folder)
    more = {**weights, "model.norm.weight": norm, "model.layers.2.mlp.up_proj.weight": norm.clone()}
    save_file(more, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"model\.layers\.2\.mlp\.up_proj\.weight, which is no tensor of llama"):
        load_language_model(folder)
    # A text model may have more than is asked of it.
    assert len(warm(folder, layers=1).model.layers) == 1


# Rows


def oracle(batch: Batch) -> tuple[list[list[int]], list[list[int]]]:
    """Positions and targets, one token after the other."""
    positions, targets = [], []
    for ids, document in zip(batch.input_ids.tolist(), batch.document.tolist(), strict=True):
        place, row = 0, []
        for index, number in enumerate(document):
            place = place + 1 if index and document[index - 1] == number else 0
            row.append(place)
        positions.append(row)
        targets.append(
            [
                ids[index + 1] if index + 1 < len(ids) and document[index + 1] == number != -1 else -100
                for index, number in enumerate(document)
            ]
        )
    return positions, targets


def test_positions_and_targets_match_the_slow_way(tmp_path: Path) -> None:
    data = rows(tmp_path / "train")
    batch = data.read(range(len(data)))
    positions, targets = oracle(batch)
    assert batch.positions().tolist() == positions
    assert batch.targets().tolist() == targets
    # Every unit and every EOS is learned, save the first token of each piece of a long document.
    pieces = sum(len(set(row.tolist()) - {-1}) for row in batch.document)
    assert int((batch.targets() >= 0).sum()) == sum(len(units) + 2 for units in documents(60, 0)) - pieces


def test_rows_are_read_across_chunks_and_padded_rows_have_nothing_to_learn(tmp_path: Path) -> None:
    data = rows(tmp_path / "train")
    whole = data.read(range(len(data)))
    halves = [1, len(data) - 1]
    data._ends = np.cumsum(halves)
    data._chunks = {name: [chunks[0][: halves[0]], chunks[0][halves[0] :]] for name, chunks in data._chunks.items()}
    again = data.read(range(len(data)))
    assert np.array_equal(whole.input_ids, again.input_ids)
    assert np.array_equal(whole.document, again.document)
    assert not (data.read([-1]).targets() >= 0).any()


def test_a_folder_that_holds_no_rows_is_refused(tmp_path: Path) -> None:
    from slamflow.shards.rows import Rows

    with pytest.raises(InputError, match=r"no manifest\.json"):
        Rows(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read as rows"):
        Rows(tmp_path)


def test_each_epoch_is_another_permutation_and_needs_no_history() -> None:
    order = Order(10, 4, seed=3)
    taken = np.concatenate([order.step(step) for step in range(5)])
    assert sorted(taken[:10]) == sorted(taken[10:]) == list(range(10))
    assert taken[:10].tolist() != taken[10:].tolist()
    assert Order(10, 4, seed=3).step(3).tolist() == order.step(3).tolist()
    assert Order(10, 4, seed=4).step(3).tolist() != order.step(3).tolist()
    assert sorted(Order(3, 6, seed=0).step(0)) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(("size", "count", "at_once"), [(8, 1, 3), (7, 2, 2), (3, 4, 1), (5, 3, 8)])
def test_ranks_share_a_batch_evenly(size: int, count: int, at_once: int) -> None:
    parts = [[part.tolist() for part in share(np.arange(size), rank, count, at_once)] for rank in range(count)]
    assert len({tuple(len(part) for part in rank) for rank in parts}) == 1
    assert all(len(part) <= at_once for rank in parts for part in rank)
    everything = [index for rank in parts for part in rank for index in part]
    assert sorted(index for index in everything if index >= 0) == list(range(size))


# Attention


XGLM = {"model_type": "xglm", "d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4}
GPT_NEO = {
    "model_type": "gpt_neo",
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 4,
    "attention_types": [[["global"], 2]],
    "max_position_embeddings": 256,
}


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        *((architecture, kind) for architecture in (LLAMA, QWEN2, OPT) for kind in ("documents", "sdpa", "eager")),
        (XGLM, "eager"),
        (GPT_NEO, "eager"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["model_type"],
)
def test_a_packed_row_gives_the_logits_of_each_document_alone(
    architecture: dict[str, Any], kind: Any, tmp_path: Path
) -> None:
    model = scratch(architecture).eval()
    with torch.no_grad():  # the small random weights attend to everything alike; make them choosy
        for name, parameter in model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                parameter.mul_(20)
    batch = rows(tmp_path / "train", context=128).read([0, 1, 2])
    with torch.no_grad():
        use_attention(model, kind)
        packed = model(**model_inputs(batch, kind, CPU)).logits
        # Without a mask the documents of a row see each other.
        if kind == "documents":
            use_attention(model, "sdpa")
        mixed = model(input_ids=torch.from_numpy(batch.input_ids), use_cache=False).logits
        pieces = 0
        for row in range(3):
            for number in range(int(batch.document[row].max()) + 1):
                place = batch.document[row] == number
                alone = model(input_ids=torch.from_numpy(batch.input_ids[row, place])[None], use_cache=False).logits[0]
                assert float((packed[row, place] - alone).abs().max()) < 1e-4
                if number:
                    assert float((mixed[row, place] - alone).abs().max()) > 1e-3
                pieces += 1
    assert pieces > 6


@pytest.mark.parametrize("kind", ["documents", "sdpa", "flex_attention"])
@pytest.mark.parametrize("model_type", ["gpt_neo", "bloom", "xglm"])
def test_a_model_that_would_mix_documents_is_refused(model_type: str, kind: Any) -> None:
    """These classes have attention of their own: transformers keeps it, with a warning."""
    shapes = {
        "gpt_neo": {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global"], 2]]},
        "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
        "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 48},
    }
    model = scratch({"model_type": model_type, **shapes[model_type]})
    with pytest.raises(InputError, match=f"{model_type} model cannot attend by .*see each other"):
        use_attention(model, kind)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [(LLAMA, "documents"), (XGLM, "eager"), (GPT_NEO, "eager")],
    ids=lambda value: value if isinstance(value, str) else value["model_type"],
)
def test_a_model_attends_in_the_fastest_way_that_its_class_takes(architecture: dict[str, Any], kind: str) -> None:
    model = scratch(architecture)
    assert choose_attention(model, None, CPU) == kind == model.config._attn_implementation
    assert leakage(model, kind) == 0  # type: ignore[arg-type]


def test_a_class_that_takes_no_mask_of_documents_is_refused() -> None:
    bloom = scratch({"model_type": "bloom", "hidden_size": 32, "n_layer": 2, "n_head": 4})
    with pytest.raises(InputError, match=r"bloom model cannot attend within documents.*llama"):
        choose_attention(bloom, None, CPU)


def test_with_dropout_a_gpu_attends_by_sdpa(monkeypatch: pytest.MonkeyPatch) -> None:
    """flex_attention has no dropout."""
    monkeypatch.setattr("slamflow.lm.attention.use_attention", lambda *_: None)
    asked = [{"attention_dropout": 0.1}, {"attention_dropout": 0.0}]
    cuda = torch.device("cuda")
    assert [choose_attention(scratch({**LLAMA, **keys}), None, cuda) for keys in asked] == ["sdpa", "flex_attention"]


@pytest.mark.parametrize("kind", ["documents", "sdpa", "eager"])
def test_attention_drops_in_training_what_the_architecture_says(kind: Any, tmp_path: Path) -> None:
    batch = rows(tmp_path / "train", context=128).read([0])
    inputs = model_inputs(batch, kind, CPU)
    for dropped in (0.0, 0.5):
        model = scratch({**LLAMA, "attention_dropout": dropped})
        use_attention(model, kind)
        with torch.no_grad():
            evaluated = [model.eval()(**inputs).logits for _ in range(2)]
            trained = [model.train()(**inputs).logits for _ in range(2)]
        assert torch.equal(*evaluated)
        assert torch.equal(*trained) == (dropped == 0)


def test_dropout_is_none_but_where_the_architecture_says_so() -> None:
    """GSLM's has 0.1 (fairseq: --dropout 0.1 --attention-dropout 0.1), and none within the feed-forward part."""
    config = scratch({**XGLM, "dropout": 0.1}).config
    assert (config.dropout, config.attention_dropout, config.activation_dropout) == (0.1, 0.0, 0.0)


@pytest.mark.parametrize("kind", ["documents", "flex_attention"])
@pytest.mark.parametrize("model_type", ["mamba", "recurrent_gemma", "qwen3_next", "lfm2"])
def test_a_recurrent_model_is_refused(model_type: str, kind: Any) -> None:
    """It takes the attention, and carries one document into the next all the same."""
    transformer = {key: LLAMA[key] for key in ("num_attention_heads", "num_key_value_heads", "intermediate_size")}
    shapes = {
        "mamba": {},
        "recurrent_gemma": transformer,
        "qwen3_next": {**transformer, "head_dim": 8},
        "lfm2": {**transformer, "full_attn_idxs": [1]},
    }
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, **shapes[model_type]}
    model = scratch({"model_type": model_type, **sizes})
    with pytest.raises(InputError, match=f"in a {model_type} model documents of a row see each other"):
        use_attention(model, kind)


@pytest.mark.parametrize("architecture", [LLAMA, OPT], ids=lambda architecture: architecture["model_type"])
def test_the_ways_to_attend_have_the_same_gradients(architecture: dict[str, Any], tmp_path: Path) -> None:
    model = scratch(architecture)
    data = rows(tmp_path / "train", context=128)
    gradients = []
    for kind in ("documents", "sdpa"):
        model.zero_grad()
        use_attention(model, kind)  # type: ignore[arg-type]
        objective = NextToken(data, {}, settings(), kind, 8192, Ranks(0, 1, CPU))  # type: ignore[arg-type]
        objective.loss(model, data.read([0, 1]))[0].backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-4, msg=name)


def test_the_loss_is_that_of_transformers_on_single_documents(tmp_path: Path) -> None:
    model = scratch()
    data = rows(tmp_path / "train", context=80)  # longer than any document: nothing is cut
    batch = data.read(range(len(data)))
    total, count = 0.0, 0
    with torch.no_grad():
        for units in documents(60, 0):
            ids = torch.tensor([[1, *(unit + 2 for unit in units), 1]])
            total += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
            count += ids.shape[1] - 1
    for kind in ("documents", "sdpa"):
        use_attention(model, kind)  # type: ignore[arg-type]
        objective = NextToken(data, {"same": data}, settings(), kind, 200, Ranks(0, 1, CPU))  # type: ignore[arg-type]
        assert objective.count(batch) == count
        with torch.no_grad():
            assert float(objective.loss(model, batch)[0]) == pytest.approx(total, rel=1e-5)
            assert objective.validate(model)["same"] == pytest.approx(total / count, rel=1e-5)
