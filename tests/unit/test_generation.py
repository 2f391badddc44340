"""Prompts, sampling and the figures of continuations, each against a slow and obvious way."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
)

import collect_pairs
import continue_speech
import score_continuations
from slamflow import files
from slamflow.audio import SAMPLE_RATE
from slamflow.errors import InputError
from slamflow.evaluation.bootstrap import interval
from slamflow.generation import gen_ppl
from slamflow.generation.auto_bleu import auto_bleu
from slamflow.generation.gen_ppl import TextScorer
from slamflow.generation.prompts import Utterance, by_name, choose_utterances, encode_prompts, prompt_list, shuffled
from slamflow.generation.sampling import continue_units, draw, penalize
from slamflow.generation.scores import is_loop, summarize
from slamflow.lm.speech import speech_record
from slamflow.recipe.generation import Bootstrap, ContinueSpeech, Sampling, ScoreContinuations
from slamflow.scorers import mean_nll
from slamflow.sharding import shard_names, stable_hash
from slamflow.shards.continuations import read_continuations
from slamflow.shards.speech import SCHEMA as SPEECH_SCHEMA
from slamflow.text.grammar import write_stories
from slamflow.tokenizers.codebook import Codebook, Quantizer
from slamflow.tokenizers.logmel import LogMelTokenizer
from slamflow.tokenizers.sequences import deduplicate
from slamflow.tokenizers.tokenizer import FrameTokenizer, load_frames
from slamflow.vocabulary import Layout, Vocabulary
from slamflow.vocoders.synthesis import MelVocoder, new_network
from slamflow.vocoders.vocoder import load_vocoder

UNITS = 12
CPU = torch.device("cpu")
VOCABULARY = Vocabulary(UNITS)
LOGMEL = LogMelTokenizer(kind="logmel", frame_rate_hz=25.0, clusters=UNITS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def llama(context: int = 256, vocabulary: int = UNITS + 2) -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        initializer_range=0.4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).eval()


def opt() -> PreTrainedModel:
    """Learned positions, as TWIST's models have."""
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=UNITS + 2,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        word_embed_proj_dim=32,
        init_std=0.4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return OPTForCausalLM(config).eval()


# Sampling


@torch.inference_mode()
def slow_continuation(model: PreTrainedModel, item: str, prompt: np.ndarray, settings: Sampling) -> list[int]:
    """One prompt, without a cache: every step reads all tokens again."""
    chances = np.random.default_rng([settings.seed, stable_hash(item)]).random(settings.max_new_tokens)
    tokens = [1, *(int(unit) + 2 for unit in prompt)]
    drawn: list[int] = []
    for chance in chances:
        logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].double()
        for token in set(tokens):
            factor = settings.repetition_penalty if logits[token] < 0 else 1 / settings.repetition_penalty
            logits[token] *= factor
        logits[0] = -math.inf
        order = sorted(range(len(logits)), key=lambda token: -float(logits[token]))[: settings.top_k]
        weights = [math.exp(float(logits[token] - logits[order[0]]) / settings.temperature) for token in order]
        below = 0.0
        for candidate, weight in zip(order, weights, strict=True):
            token, below = candidate, below + weight / sum(weights)
            if chance < below:
                break
        if token == 1:
            break
        tokens.append(token)
        drawn.append(token - 2)
    return drawn


def some_prompts(count: int = 7) -> tuple[list[str], list[np.ndarray]]:
    """Prompts of many lengths, an empty one among them."""
    rng = np.random.default_rng(0)
    lengths = [0, 5, 5, 1, 17, 9, 30][:count]
    return [f"item-{index}" for index in range(count)], [
        rng.integers(UNITS, size=length).astype(np.uint16) for length in lengths
    ]


@pytest.mark.parametrize("penalty", [1.0, 1.1, 3.0])
@pytest.mark.parametrize("make", [llama, opt])
def test_a_batch_continues_as_each_prompt_alone(make: Any, penalty: float) -> None:
    model = make()
    settings = Sampling(max_new_tokens=40, top_k=6, temperature=1.5, seed=3, repetition_penalty=penalty)
    ids, prompts = some_prompts()
    found = continue_units(model, VOCABULARY, ids, prompts, settings)
    expected = [slow_continuation(model, item, prompt, settings) for item, prompt in zip(ids, prompts, strict=True)]
    assert [continuation.units.tolist() for continuation in found] == expected
    assert [continuation.ended for continuation in found] == [len(units) < 40 for units in expected]
    # The case has to have both; a penalty is on EOS as well, which is BOS.
    assert penalty > 1 or {continuation.ended for continuation in found} == {True, False}


def test_the_order_of_the_items_changes_nothing_and_the_seed_does() -> None:
    model, settings = llama(), Sampling(max_new_tokens=20, temperature=1.5)
    ids, prompts = some_prompts()
    found = [continuation.units.tolist() for continuation in continue_units(model, VOCABULARY, ids, prompts, settings)]
    backwards = continue_units(model, VOCABULARY, ids[::-1], prompts[::-1], settings)
    assert [continuation.units.tolist() for continuation in backwards[::-1]] == found
    other = continue_units(model, VOCABULARY, ids, prompts, settings.model_copy(update={"seed": 1}))
    assert [continuation.units.tolist() for continuation in other] != found
    # Two items with the same prompt are drawn apart.
    twins = continue_units(model, VOCABULARY, ["a", "b"], [prompts[1], prompts[1]], settings)
    assert twins[0].units.tolist() != twins[1].units.tolist()


def test_the_penalty_is_on_what_was_said_and_bos() -> None:
    """By hand: positive logits by 2, negative times 2; token 2 was not said."""
    logits = torch.tensor([[4.0, 2.0, 3.0, -1.0, 0.0]])
    seen = torch.tensor([[True, True, False, True, True]])
    assert penalize(logits, seen, 2.0).tolist() == [[2.0, 1.0, 3.0, -2.0, 0.0]]
    assert penalize(logits, seen, 1.0) is logits


@pytest.mark.parametrize("penalty", [0.7, 1.1, 2.0])
def test_the_penalty_is_that_of_transformers(penalty: float) -> None:
    rng = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 20, (5, 9), generator=rng)
    logits = torch.randn(5, 24, generator=rng)
    seen = torch.zeros(5, 24, dtype=torch.bool).scatter(1, tokens, True)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(tokens, logits)
    assert torch.equal(penalize(logits, seen, penalty), expected)
    assert not torch.equal(expected, logits)


@pytest.mark.parametrize("make", [llama, opt])
def test_the_likeliest_continuation_is_that_of_generate(make: Any) -> None:
    """transformers' own loop, with its penalty over BOS, the prompt and what was generated."""
    model, settings = make(), Sampling(max_new_tokens=40, top_k=1, repetition_penalty=1.1)
    ids, prompts = some_prompts()
    found = continue_units(model, VOCABULARY, ids, prompts, settings)
    plain = continue_units(model, VOCABULARY, ids, prompts, settings.model_copy(update={"repetition_penalty": 1.0}))
    for prompt, continuation in zip(prompts, found, strict=True):
        tokens = torch.tensor([[1, *(prompt.astype(int) + 2)]])
        said = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=40,
            repetition_penalty=1.1,
            suppress_tokens=[0],
        )[0, tokens.shape[1] :].tolist()
        assert continuation.units.tolist() == [token - 2 for token in said if token != 1]
    assert [one.units.tolist() for one in plain] != [one.units.tolist() for one in found]


def test_chances_of_a_token_are_those_of_transformers_processors() -> None:
    """Penalty, temperature, top-k, in the order of generate."""
    logits, tokens = torch.tensor([[2.0, -1.0, 1.9, 0.5, -3.0]]), torch.tensor([[0, 3, 1]])
    scores = RepetitionPenaltyLogitsProcessor(1.3)(tokens, logits)
    scores = TopKLogitsWarper(3)(tokens, TemperatureLogitsWarper(0.8)(tokens, scores))
    seen = torch.zeros(1, 5, dtype=torch.bool).scatter(1, tokens, True)
    chances = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    drawn = draw(penalize(logits, seen, 1.3).expand(20_000, -1), chances, temperature=0.8, top_k=3)
    shares = np.bincount(drawn.numpy(), minlength=5) / 20_000
    np.testing.assert_allclose(shares, scores.softmax(1)[0].numpy(), atol=1e-3)


def test_draws_follow_the_probabilities_of_the_likeliest() -> None:
    logits = torch.tensor([[2.0, -1.0, 1.0, 0.5, -3.0]])
    chances = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    drawn = draw(logits.expand(10_000, -1), chances, temperature=0.8, top_k=3)
    shares = np.bincount(drawn.numpy(), minlength=5) / 10_000
    weights = np.exp(np.array([2.0, 1.0, 0.5]) / 0.8)
    np.testing.assert_allclose(shares[[0, 2, 3]], weights / weights.sum(), atol=1e-3)
    assert shares[[1, 4]].sum() == 0


def test_the_last_draw_and_a_small_vocabulary_are_safe() -> None:
    almost_one = torch.tensor([1 - 2.0**-53], dtype=torch.float64)
    assert int(draw(torch.tensor([[0.1, 0.2, 0.3]]), almost_one, 0.7, 25)) == 0
    assert int(draw(torch.tensor([[0.1, 0.2, 0.3]]), torch.zeros(1, dtype=torch.float64), 0.7, 1)) == 2


def test_a_published_model_continues_in_its_own_tokens() -> None:
    """The same model with its tokens in another order says the same."""
    model, settings = llama(), Sampling(max_new_tokens=40, top_k=6, temperature=1.5, seed=3)
    ids, prompts = some_prompts()
    found = continue_units(model, VOCABULARY, ids, prompts, settings)
    other = llama()
    moved = [*range(2, UNITS + 2), 1, 0]  # the units first, EOS and PAD behind them
    for embeddings in (other.get_input_embeddings(), other.get_output_embeddings()):
        embeddings.weight.data = embeddings.weight.data[moved]
    layout = Layout(pad=UNITS + 1, bos=(UNITS,), eos=UNITS, ends=False, first_unit=0)
    again = continue_units(other, Vocabulary(UNITS, layout=layout), ids, prompts, settings)
    assert [(one.units.tolist(), one.ended) for one in again] == [(one.units.tolist(), one.ended) for one in found]


def test_a_model_without_bos_or_eos_speaks_to_the_end() -> None:
    model, settings = llama(), Sampling(max_new_tokens=20, temperature=1.5)
    vocabulary = Vocabulary(UNITS, layout=Layout(pad=0, bos=(), eos=None, first_unit=1))
    prompts = [np.array([1, 2], np.uint16), np.array([3], np.uint16)]
    found = continue_units(model, vocabulary, ["a", "b"], prompts, settings)
    assert [(continuation.units.size, continuation.ended) for continuation in found] == [(20, False)] * 2
    with pytest.raises(InputError, match="b: the prompt has no units, and the model has no BOS"):
        continue_units(model, vocabulary, ["a", "b"], [prompts[0], np.zeros(0, np.uint16)], settings)


@pytest.mark.parametrize("more", [0, 7])
def test_only_units_are_drawn(more: int) -> None:
    """Not PAD, and no token of a model that has more of them than its vocabulary."""
    model = llama(vocabulary=UNITS + 2 + more)
    model.lm_head.weight.data.zero_()  # all tokens alike
    found = continue_units(
        model, VOCABULARY, ["a", "b"], [np.array([1], np.uint16)] * 2, Sampling(max_new_tokens=200, top_k=99)
    )
    drawn = np.concatenate([continuation.units for continuation in found])
    assert drawn.max() < UNITS


@pytest.mark.parametrize(
    ("units", "context", "message"),
    [([UNITS], 256, "unit 12 is outside a vocabulary of 12 units"), ([1] * 30, 64, "context of 64")],
)
def test_what_does_not_fit_the_model_is_refused(units: list[int], context: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        continue_units(llama(context), VOCABULARY, ["a"], [np.array(units, np.uint16)], Sampling(max_new_tokens=40))


# Prompts


def noise(seed: int, seconds: float) -> np.ndarray:
    """Bursts of noise in changing bands: many units."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    pitch = np.repeat(rng.uniform(200, 4000, size=count // 1600 + 1), 1600)[:count]
    return (0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)).astype(np.float32)


def write_speech(path: Path, waves: dict[str, np.ndarray]) -> Path:
    rows = []
    for name, wave in waves.items():
        data = io.BytesIO()
        soundfile.write(data, wave, SAMPLE_RATE, format="WAV", subtype="FLOAT")
        rows.append({"id": name, "speaker": "s", "text": f"Text of {name}.", "audio": data.getvalue()})
        rows[-1].update(source=name, seconds=None, start=0.0)
    pq.write_table(pa.Table.from_pylist(rows, SPEECH_SCHEMA), path)
    return path


def codebook() -> Codebook:
    """Log-mel frames of noise as centroids."""
    frames = load_frames(LOGMEL, None, CPU).encode([noise(99, 3.0)])[0].numpy()
    return Codebook(np.ascontiguousarray(frames[:: len(frames) // UNITS][:UNITS]))


def test_a_story_told_in_parts_is_put_together(tmp_path: Path) -> None:
    waves = {
        "a.ending": noise(1, 1.0),
        "a.wrong_detail": noise(2, 1.0),
        "a.prompt": noise(3, 4.0),
        "whole": noise(4, 6.0),
        "file.v2": noise(5, 6.0),
        "short.prompt": noise(6, 2.0),
        "short.ending": noise(7, 1.5),
    }
    chosen, left_out = choose_utterances([write_speech(tmp_path / "x", waves)], Sampling(prompts=9), "stories")
    found = {one.id: (one.text, one.wave) for one in chosen}
    assert left_out == {"too_short": 1, "unreadable": 0}
    assert set(found) == {"a", "whole", "file.v2"}
    assert found["a"][0] == "Text of a.prompt. Text of a.ending."
    assert np.array_equal(found["a"][1], np.concatenate([waves["a.prompt"], waves["a.ending"]]))
    assert np.array_equal(found["whole"][1], waves["whole"])


def test_prompts_are_chosen_by_their_ids_alone(tmp_path: Path) -> None:
    waves = {f"u{index}": noise(index, 5.0) for index in range(8)}
    shards = [
        write_speech(tmp_path / "0", {name: waves[name] for name in list(waves)[:3]}),
        write_speech(tmp_path / "1", {name: waves[name] for name in list(waves)[3:]}),
    ]
    chosen = [one.id for one in choose_utterances(shards, Sampling(prompts=4), "recordings")[0]]
    assert chosen == sorted(waves, key=stable_hash)[:4]
    assert chosen == [one.id for one in choose_utterances(shards[::-1], Sampling(prompts=4), "recordings")[0]]


def test_names_are_sorted_as_slamkit_sorts_them() -> None:
    names = ["story", "10_b", "9", "10_a", "2+x", "100.voice", "3d", "a/7", "a/11", "0"]
    assert sorted(names, key=by_name) == ["0", "2+x", "9", "10_a", "10_b", "100.voice", "3d", "story", "a/7", "a/11"]


def write_pairs(folder: Path, names: list[str]) -> Path:
    """A benchmark as it is published: NAME_correct.wav and NAME_incorrect.wav, written in this order."""
    folder.mkdir()
    for name in names:
        for index, side in enumerate(("correct", "incorrect")):
            soundfile.write(folder / f"{name}_{side}.wav", noise(int(name) + 50 * index, 4.5), SAMPLE_RATE)
    return folder


def frozen(folder: Path, shards: int, work: Path) -> dict[str, Any]:
    """The list of the first five prompts of a folder of pairs, by way of the command that collects these."""
    paths = []
    for shard in shard_names(shards):
        pairs = {"kind": "spoken_pairs", "task": "sstorycloze", "path": "", "splits": {"test": {"shards": shards}}}
        place = work / shard
        collect_pairs.main(
            [
                *("--settings", json.dumps({"corpus": "ssc", "split": "test", "shard": shard, "pairs": pairs})),
                *("--source", str(folder), "--output", f"{place}.parquet", "--text", f"{place}.jsonl"),
                *("--manifest", f"{place}.json", "--quarantine", f"{place}.aside.jsonl"),
            ]
        )
        paths.insert(0, work / f"{shard}.parquet")
    sampling = Sampling(prompts=5, order="name")
    settings = ContinueSpeech(model="truth", corpus="ssc/test", holds="pairs", encoder=LOGMEL, sampling=sampling)
    utterances, left_out = choose_utterances(paths, sampling, "pairs")
    tokenizer = FrameTokenizer(load_frames(LOGMEL, None, CPU), Quantizer(codebook(), CPU))
    prompts = encode_prompts(utterances, 3.0, tokenizer, with_rest=False)
    return prompt_list(settings, utterances, prompts, left_out)


def test_the_published_prompts_are_the_first_right_recordings(tmp_path: Path) -> None:
    """The same list whatever the order in which a file system gives the files, and however many shards there are."""
    names = [str(number) for number in (3, 20, 11, 1, 2, 100, 7)]
    folder = write_pairs(tmp_path / "pairs", names)
    found = frozen(folder, 1, tmp_path)
    assert [one["id"] for one in found["prompts"]] == ["1", "2", "3", "7", "11"]
    recordings = [folder / f"{one['id']}_correct.wav" for one in found["prompts"]]
    assert [one["sha256"] for one in found["prompts"]] == [files.sha256_file(path) for path in recordings]
    assert (found["n"], found["asked"], found["order"], found["corpus"]) == (5, 5, "name", "ssc/test")
    assert found["left_out"] == {"too_short": 0, "unreadable": 0, "no_units": 0}
    assert frozen(write_pairs(tmp_path / "other", sorted(names, reverse=True)), 3, tmp_path) == found
    # Another recording under the same name is another list.
    soundfile.write(recordings[0], noise(77, 4.5), SAMPLE_RATE)
    changed = frozen(folder, 1, tmp_path)
    assert [one["id"] for one in changed["prompts"]] == [one["id"] for one in found["prompts"]]
    assert changed["sha256"] != found["sha256"]


def test_a_wrong_recording_is_never_a_prompt(tmp_path: Path) -> None:
    waves = {f"p{index}.{side}": noise(index, 5.0) for index in range(6) for side in ("good", "bad")}
    path = write_speech(tmp_path / "x", waves)
    for order in ("hash", "name"):
        chosen, _ = choose_utterances([path], Sampling(prompts=9, order=order), "pairs")
        assert sorted(one.id for one in chosen) == [f"p{index}" for index in range(6)]
        assert all(one.text == f"Text of {one.id}.good." for one in chosen)


def test_what_cannot_be_a_prompt_is_counted_and_replaced(tmp_path: Path) -> None:
    waves = {f"{index}.good": noise(index, 3.5 if index == 1 else 5.0) for index in range(6)}
    rows = pq.read_table(write_speech(tmp_path / "x", waves)).to_pylist()
    rows[2]["audio"] = b"nonsense"
    pq.write_table(pa.Table.from_pylist(rows, SPEECH_SCHEMA), tmp_path / "x")
    chosen, left_out = choose_utterances([tmp_path / "x"], Sampling(prompts=3, order="name"), "pairs")
    assert [one.id for one in chosen] == ["0", "3", "4"]
    assert left_out == {"too_short": 1, "unreadable": 1}


def test_bad_audio_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_speech(tmp_path / "x", {f"u{index}": noise(index, 5.0) for index in range(4)})
    rows = pq.read_table(path).to_pylist()
    rows[1]["audio"] = b"nonsense"
    pq.write_table(pa.Table.from_pylist(rows, SPEECH_SCHEMA), path)
    chosen, left_out = choose_utterances([path], Sampling(prompts=9), "recordings")
    assert {one.id for one in chosen} == {"u0", "u2", "u3"}
    assert left_out == {"too_short": 0, "unreadable": 1}
    assert "u1 is left out" in caplog.text
    with pytest.raises(InputError, match="0 utterances last 10 s or longer"):
        choose_utterances([path], Sampling(prompts=9, prompt_seconds=9.0), "recordings")


def uncut(wave: np.ndarray) -> Utterance:
    return Utterance("x", "t", wave, "0" * 64)


def test_a_prompt_knows_nothing_of_what_follows() -> None:
    """The units of a prompt are those of the cut waveform, whatever came after the cut."""
    encoder, quantizer = load_frames(LOGMEL, None, CPU), Quantizer(codebook(), CPU)
    tokenizer = FrameTokenizer(encoder, quantizer)
    start = noise(1, 2.0)
    whole = [np.concatenate([start, ending]) for ending in (noise(2, 2.0), noise(3, 3.0), 3 * noise(4, 2.0))]
    found = encode_prompts([uncut(wave) for wave in whole], 2.0, tokenizer, with_rest=True)
    alone = deduplicate(quantizer.assign(encoder.encode([start])[0])[0])[0]
    assert len(set(alone.tolist())) > 3
    for prompt in found:
        assert prompt.units.tolist() == alone.tolist()
    # Taken from an encoding of the whole they would differ: the loudest frame sets the scale of a log-mel.
    cut = deduplicate(quantizer.assign(encoder.encode([whole[2]])[0][:50])[0])[0]
    assert cut.tolist() != alone.tolist()


def test_the_rest_is_encoded_apart_and_goes_on_from_the_prompt() -> None:
    encoder, quantizer = load_frames(LOGMEL, None, CPU), Quantizer(codebook(), CPU)
    tokenizer = FrameTokenizer(encoder, quantizer)
    steady = np.tile(noise(1, 0.1), 40)
    for wave in (np.concatenate([noise(2, 2.0), noise(3, 2.0)]), steady):
        prompt = encode_prompts([uncut(wave)], 2.0, tokenizer, with_rest=True)[0]
        rest = deduplicate(quantizer.assign(encoder.encode([wave[32000:]])[0])[0])[0].tolist()
        assert prompt.rest.tolist() == (rest[1:] if rest[0] == prompt.units[-1] else rest)
    assert len(encode_prompts([uncut(steady)], 2.0, tokenizer, with_rest=False)[0].rest) == 0
    with pytest.raises(InputError, match="too short for one unit"):
        encode_prompts([uncut(steady)], 0.01, tokenizer, with_rest=False)


def test_shuffling_changes_the_order_only() -> None:
    units = np.arange(50, dtype=np.uint16)
    mixed = shuffled(units, 0, "a")
    assert sorted(mixed.tolist()) == units.tolist()
    assert mixed.tolist() != units.tolist()
    assert mixed.tolist() == shuffled(units, 0, "a").tolist() != shuffled(units, 0, "b").tolist()
    assert mixed.tolist() != shuffled(units, 1, "a").tolist()
    twice = shuffled(np.array([1, 2] * 20, np.uint16), 0, "a")
    assert (twice[1:] != twice[:-1]).all()


# Figures


def slow_auto_bleu(tokens: list[str]) -> float:
    grams = [tokens[start : start + 2] for start in range(len(tokens) - 1)]
    again = [gram for place, gram in enumerate(grams) if gram in grams[:place] + grams[place + 1 :]]
    return len(again) / len(grams) if grams else 0.0


@pytest.mark.parametrize("seed", range(20))
def test_auto_bleu_is_the_share_of_repeated_bigrams(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = list(rng.choice(["one", "two", "three", "four"], size=rng.integers(0, 30)))
    assert auto_bleu(" ".join(tokens)) == pytest.approx(slow_auto_bleu(tokens))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0.0),
        ("word", 0.0),
        ("the cat saw the cat", 2 / 4),
        ("no no no no", 1.0),
        ("The dog ran, the dog ran", 2 / 6),  # the comma is a token, and case counts
    ],
)
def test_auto_bleu_by_hand(text: str, expected: float) -> None:
    assert auto_bleu(text) == pytest.approx(expected)


def write_text_model(folder: Path, *special: str, **names: str) -> Path:
    """A tiny causal language model of words, with its tokenizer."""
    vocabulary = {
        token: index for index, token in enumerate([*special, "<unk>", "the", "a", "dog", "cat", "ran", "sat", "and"])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", **names).save_pretrained(folder)
    llama(64, len(vocabulary)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("bf16", "tolerance"), [(False, 1e-5), (True, 0.02)])
def test_likelihoods_are_those_of_one_text_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bf16: bool, tolerance: float
) -> None:
    monkeypatch.setattr(gen_ppl, "multiplies_bf16", lambda: bf16)
    scorer = TextScorer(write_text_model(tmp_path, "<|endoftext|>"))
    texts = ["the dog ran", "the", "a cat and a dog and the cat sat", "zebra ran"]
    nll, (_, counts) = mean_nll(scorer, texts), scorer.nll(texts)
    assert counts.tolist() == [3, 1, 9, 2]
    for text, value in zip(texts, nll, strict=True):
        ids = [0, *scorer.tokenizer(text)["input_ids"]]
        with torch.inference_mode():
            shares = scorer.model(torch.tensor([ids]), use_cache=False).logits[0].double().log_softmax(-1)
        slow = [-float(shares[place, ids[place + 1]]) for place in range(len(ids) - 1)]
        assert value == pytest.approx(sum(slow) / len(slow), abs=tolerance)
    with pytest.raises(ValueError, match="without tokens"):
        scorer.nll(["the", ""])


def test_a_text_begins_behind_the_document_separator_or_bos(tmp_path: Path) -> None:
    chat = TextScorer(write_text_model(tmp_path / "a", "<|im_start|>", "<|endoftext|>", bos_token="<|im_start|>"))
    plain = TextScorer(write_text_model(tmp_path / "b", "<s>", bos_token="<s>"))
    assert (chat.begin, plain.begin) == (1, 0)
    with pytest.raises(InputError, match="neither"):
        TextScorer(write_text_model(tmp_path / "c"))


def item(nll: float | None, repeated: float = 0.0, loop: bool = False, words: int = 3) -> dict[str, Any]:
    return {
        "nll": nll,
        "auto_bleu": repeated,
        "tokens": None if nll is None else 5,
        "loop": loop,
        "words": 0 if nll is None else words,
    }


def test_empty_transcripts_count_0_in_auto_bleu_and_are_left_out_of_gen_ppl() -> None:
    """By hand: exp((1 + 3) / 2), and (0.2 + 0 + 0.4) / 3."""
    score = summarize([item(1.0, 0.2), item(None), item(3.0, 0.4)], Bootstrap())
    assert (score["n"], score["empty_transcripts"], score["tokens"]) == (3, 1, 10)
    assert score["gen_ppl"] == score["gen_ppl_without_loops"] == pytest.approx(math.exp(2.0))
    assert score["auto_bleu"] == pytest.approx(0.2)
    low, high = score["gen_ppl_ci95"]
    assert math.exp(1.0) - 1e-9 <= low < score["gen_ppl"] < high <= math.exp(3.0) + 1e-9


def test_the_settings_of_the_bootstrap_reach_the_intervals() -> None:
    items = [item(float(value), 0.1) for value in np.random.default_rng(0).normal(size=30)]
    found = [summarize(items, Bootstrap(**chosen))["gen_ppl_ci95"] for chosen in ({}, {"seed": 1}, {"resamples": 300})]
    assert len(set(found)) == 3
    assert ScoreContinuations().bootstrap == Bootstrap(resamples=2000, seed=0)


def test_the_published_gen_ppl_has_loops_and_marks_and_ours_has_not() -> None:
    """By hand: (4 + 1 + 5 + 8) / 4 with the loop and the lone full stop, (4 + 5) / 2 without."""
    items = [item(4.0, 0.1), item(1.0, 0.9, loop=True), item(5.0, 0.2), item(8.0, 0.0, words=0)]
    score = summarize(items, Bootstrap())
    counts = ("n", "empty_transcripts", "wordless_transcripts", "looped_transcripts", "tokens")
    assert [score[key] for key in counts] == [4, 0, 1, 1, 20]
    assert score["gen_ppl"] == pytest.approx(math.exp(4.5))
    assert score["gen_ppl_without_loops"] == pytest.approx(math.exp(4.5))
    assert score["auto_bleu"] == pytest.approx(0.3)
    other = summarize([*items[:2], item(6.0, 0.2), items[3]], Bootstrap())
    assert math.log(other["gen_ppl"]) == pytest.approx(19 / 4)
    assert math.log(other["gen_ppl_without_loops"]) == pytest.approx(5.0)
    alone = summarize(items[:2], Bootstrap())
    assert alone["gen_ppl_without_loops"] is None
    assert (math.log(alone["gen_ppl"]), alone["auto_bleu"]) == (pytest.approx(2.5), pytest.approx(0.5))
    json.dumps(alone, allow_nan=False)


def test_what_is_a_loop() -> None:
    for story in write_stories(0, "test", 100):
        assert not is_loop(str(story["text"]))
        assert not is_loop(f"{story['text']} {story['ending']}")  # said twice is repeated, and auto-BLEU's matter
    assert not is_loop("")
    assert is_loop("The cat sat. " + "And then I had one. " * 20)


@pytest.mark.parametrize("items", [[item(None)] * 3, [item(1.0), item(None)]])
def test_too_few_transcripts_have_no_figure(items: list[dict[str, Any]]) -> None:
    score = summarize(items, Bootstrap())
    assert score["gen_ppl"] is score["gen_ppl_ci95"] is score["gen_ppl_without_loops"] is None
    assert score["auto_bleu"] == 0.0
    json.dumps(score, allow_nan=False)


def test_bootstrap_is_that_of_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    columns = np.stack([rng.exponential(size=30), rng.integers(1, 9, size=30)], axis=1).astype(float)
    low, high = interval(columns, lambda sums: sums[:, 0] / sums[:, 1], resamples=4000, seed=1)
    figures = []
    for _ in range(4000):
        drawn = columns[rng.integers(30, size=30)]
        figures.append(drawn[:, 0].sum() / drawn[:, 1].sum())
    np.testing.assert_allclose([low, high], np.percentile(figures, [2.5, 97.5]), rtol=0.03)
    assert (low, high) == interval(columns, lambda sums: sums[:, 0] / sums[:, 1], resamples=4000, seed=1)


def test_bootstrap_of_a_mean_is_near_the_textbook() -> None:
    values = np.random.default_rng(0).normal(size=400)
    columns = np.stack([values, np.ones(400)], axis=1)
    low, high = interval(columns, lambda sums: sums[:, 0] / sums[:, 1], resamples=5000)
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.015)


# The commands


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech, codebook, vocoder, a speech model and a text model, all tiny and random."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("generation")
    waves = {}
    for index in range(4):
        waves[f"s{index}.prompt"], waves[f"s{index}.ending"] = noise(index, 2.5), noise(index + 50, 1.0)
    write_speech(folder / "audio.parquet", waves)
    codebook().save(folder / "codebook.safetensors")
    torch.manual_seed(0)
    MelVocoder(new_network(UNITS, 16, 1, 25.0), 25.0).save_weights(folder / "vocoder" / "vocoder.safetensors")
    about = {"units": UNITS, "width": 16, "blocks": 1, "frame_rate_hz": 25.0}
    files.write_json(folder / "vocoder" / "vocoder.json", about)
    llama().save_pretrained(folder / "model")
    files.write_json(folder / "model/speech.json", speech_record(VOCABULARY))
    write_text_model(folder / "text", "<|endoftext|>")
    return folder


def run(workplace: Path, output: Path, name: str, *source: str, workers: int = 1) -> list[dict[str, Any]]:
    sampling = Sampling(prompts=3, prompt_seconds=1.5, max_new_tokens=30, temperature=1.2)
    settings = ContinueSpeech(model=name, corpus="stories/test", holds="stories", encoder=LOGMEL, sampling=sampling)
    continue_speech.main(
        [
            *("--settings", settings.model_dump_json(), "--prompts", f"{output}.prompts.json"),
            *(*source, "--audio", str(workplace / "audio.parquet"), "--workers", str(workers)),
            *("--codebook", str(workplace / "codebook.safetensors"), "--vocoder", str(workplace / "vocoder")),
            *("--output", str(output)),
        ]
    )
    model, rows = read_continuations(output)
    assert model == name
    return rows


@pytest.mark.slow
def test_continuations_of_a_model_and_of_the_baselines(workplace: Path, tmp_path: Path) -> None:
    model = run(workplace, tmp_path / "model", "small", "--model", str(workplace / "model"))
    truth = run(workplace, tmp_path / "truth", "truth")
    mixed = run(workplace, tmp_path / "mixed", "shuffled")
    for rows in (model, truth, mixed):
        assert [row["id"] for row in rows] == [row["id"] for row in model]
        assert [row["prompt"] for row in rows] == [row["prompt"] for row in model]
    for row, other in zip(truth, mixed, strict=True):
        assert set(other["continuation"]) == set(row["continuation"])
        assert other["continuation"] != row["continuation"]
        assert len(row["continuation"]) <= 30
    speaker = load_vocoder(workplace / "vocoder")
    for row in (*model, *truth):
        samples, rate = soundfile.read(io.BytesIO(row["audio"]), dtype="float32")
        expected = speaker(np.array(row["prompt"] + row["continuation"]))
        assert rate == SAMPLE_RATE
        np.testing.assert_allclose(samples, expected, atol=1e-4)
        assert row["seconds"] == pytest.approx(len(samples) / SAMPLE_RATE)
        rest = speaker.durations(row["prompt"] + row["continuation"])[len(row["prompt"]) :].sum() / 25
        assert row["prompt_seconds"] == pytest.approx(row["seconds"] - rest)


def test_a_model_without_a_folder_is_refused(workplace: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="small: give the folder of the model by --model; without one there are truth"):
        run(workplace, tmp_path / "x", "small")


def test_the_same_bytes_with_more_workers(workplace: Path, tmp_path: Path) -> None:
    run(workplace, tmp_path / "a", "small", "--model", str(workplace / "model"))
    run(workplace, tmp_path / "b", "small", "--model", str(workplace / "model"), workers=3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class Typist:
    """Hears a fixed text in each sound, nothing in the first."""

    asked: list[list[int]] = []

    def __init__(self, *_: Any) -> None:
        self.workers = 1

    def transcribe_all(self, waves: list[np.ndarray]) -> Iterator[str]:
        self.asked.append([len(wave) for wave in waves])
        yield from ["", "the dog ran", "the cat and the cat sat"][: len(waves)]


@pytest.mark.parametrize("apart", [False, True])
def test_scores_and_transcripts_are_written(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    monkeypatch.setattr(Typist, "asked", [])
    bootstrap = Bootstrap(resamples=300, seed=5)
    rows = run(workplace, tmp_path / "truth.parquet", "truth")
    monkeypatch.setattr(score_continuations, "WhisperRecognizer", Typist)
    score_continuations.main(
        [
            *("--settings", ScoreContinuations(bootstrap=bootstrap, apart=apart).model_dump_json()),
            *("--continuations", str(tmp_path / "truth.parquet"), "--recognizer", "unused"),
            *("--prompts", str(tmp_path / "truth.parquet.prompts.json")),
            *("--text-model", str(workplace / "text"), "--output", str(tmp_path / "score.json")),
            *("--transcripts", str(tmp_path / "transcripts.jsonl")),
        ]
    )
    score = json.loads((tmp_path / "score.json").read_text())
    items = files.read_jsonl(tmp_path / "transcripts.jsonl")
    assert [found["id"] for found in items] == [row["id"] for row in rows]
    assert (score["model"], score["n"], score["empty_transcripts"]) == ("truth", 3, 1)
    listed = files.read_json(tmp_path / "truth.parquet.prompts.json")
    assert [found["id"] for found in items] == [prompt["id"] for prompt in listed["prompts"]]
    assert score["prompts"]["sha256"] == listed["sha256"]
    assert items[0]["nll"] is None
    assert items[2]["auto_bleu"] == pytest.approx(2 / 5)
    assert {found["model"] for found in items} == {"truth"}
    assert items[0]["auto_bleu"] == 0
    assert all(("continuation_transcript" in found) == apart for found in items)
    whole = [round(row["seconds"] * SAMPLE_RATE) for row in rows]
    prompts = [round(row["prompt_seconds"] * SAMPLE_RATE) for row in rows]
    rests = [length - cut for length, cut in zip(whole, prompts, strict=True)]
    assert Typist.asked == ([whole, prompts, rests] if apart else [whole])
    # Whisper begins with a blank, and so does what is scored.
    nll = mean_nll(TextScorer(workplace / "text"), [" the dog ran", " the cat and the cat sat"])
    assert score["gen_ppl"] == pytest.approx(math.exp(nll.mean()))
    assert [items[1]["nll"], items[2]["nll"]] == pytest.approx(nll.tolist())


def test_a_file_without_continuations_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"x\.parquet: cannot be read"):
        read_continuations(tmp_path / "x.parquet")
    pq.write_table(pa.table({"id": ["a"], "text": ["b"]}), tmp_path / "y.parquet")
    with pytest.raises(InputError, match=r"y\.parquet: no column"):
        read_continuations(tmp_path / "y.parquet")
    with pytest.raises(InputError, match=r"y\.parquet: no continuations"):
        read_continuations(tmp_path / "y.parquet", ("id", "text"))
