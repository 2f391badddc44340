"""The estimate: operations against a slow count, published sizes, and sums that say what is missing."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

import estimate as command
from slamflow.assets.asset import Asset
from slamflow.corpora.hub import HubAudio
from slamflow.errors import InputError
from slamflow.estimate import rates, table
from slamflow.estimate.estimate import Estimate, Sum, Training, add_up, estimate, validation
from slamflow.estimate.shapes import model_shapes
from slamflow.estimate.table import state_fits
from slamflow.lm.flops import Shape, forward_flops_per_token, shape_of, shape_of_config, training_flops_per_token
from slamflow.lm.objectives import Amount
from slamflow.lm.zero import layouts
from slamflow.recipe.recipe import Recipe
from slamflow.tokenizers import TOKENIZERS

ROOT = Path(__file__).parents[2]
QWEN = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
SMALL = {**QWEN, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
H100 = next(device for device in rates.DEVICES if device.name == "H100")


def config(keys: dict[str, Any], **changes: Any) -> Any:
    values = {**keys, **changes}
    return AutoConfig.for_model(values.pop("model_type"), **values)


def recipe(**changes: Any) -> Recipe:
    """A recipe in the manner of Slam."""
    base = {
        "recipe": "r",
        "corpora": {
            "books": {
                "kind": "hub",
                "repo": "a/b",
                "revision": "0" * 40,
                "splits": {"train": {"files": ["*.parquet"], "hours": 50_000, "bytes": 10**12}},
            },
            "stories": {"kind": "stories", "splits": {"preference": {"stories": 600}}},
        },
        "encoders": {"mhubert": {"kind": "hubert", "model": "hubert", "codebook": "asset:hubert/km"}},
        "datasets": {"speech": {"encoder": "mhubert", "train": ["books/train"]}},
        "preferences": {"endings": {"corpus": "stories", "encoder": "mhubert"}},
        "models": {
            "slam": {"init": "qwen", "data": "speech", "tokens": 1_400_000_000, "batch_tokens": 78 * 1024},
            "aligned": {"objective": "dpo", "init": "slam", "pairs": "endings", "hours": 0.5},
        },
    }
    return Recipe.model_validate({**base, **changes})


ASSETS = {
    "qwen": Asset.model_validate(
        {
            "licence": "x",
            "citation": "x",
            "architecture": QWEN,
            "files": {"model.safetensors": {"sources": ["https://x"], "sha256": "0" * 64, "bytes": 10**9}},
        }
    ),
    "hubert": Asset.model_validate(
        {"licence": "x", "citation": "x", "files": {"km": {"sources": ["https://x"], "sha256": "0" * 64}}}
    ),
}


def estimated(of: Recipe, assets: dict[str, Asset] = ASSETS, resources: Path = Path("nowhere")) -> Estimate:
    return estimate(of, assets, model_shapes(of, assets, resources))


# Operations


@pytest.mark.parametrize("tied", [True, False])
def test_the_formula_counts_what_torch_counts(tied: bool) -> None:
    model = AutoModelForCausalLM.from_config(config(SMALL, vocab_size=52, tie_word_embeddings=tied))
    model.set_attn_implementation("eager")
    context = 32
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.ones(1, context, dtype=torch.long), use_cache=False)
    shape = shape_of(model)
    # eager attention computes the masked half too; norms, biases and the rotary embedding are no products
    full = counter.get_total_flops() - 4 * 2 * 64 * context * (context - 1) / 2
    vectors = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim == 1)
    assert forward_flops_per_token(shape, context) == pytest.approx(full / context + 2 * vectors, rel=1e-3)


def test_slams_model_has_the_published_size() -> None:
    shape = shape_of_config(config(QWEN, vocab_size=502))
    assert shape.parameters == shape.without_embeddings == 358_347_904
    assert training_flops_per_token(shape, 1024) / 1e9 == pytest.approx(rates.SLAM_TOKEN_GFLOP, rel=1e-4)


def test_embeddings_that_are_only_looked_up_cost_nothing() -> None:
    tied, untied = (shape_of_config(config(SMALL, vocab_size=1000, tie_word_embeddings=tie)) for tie in (True, False))
    assert untied.parameters - tied.parameters == 64_000
    assert untied.without_embeddings == tied.without_embeddings == tied.parameters


def test_opts_positions_are_looked_up_too() -> None:
    keys = {"model_type": "opt", "hidden_size": 64, "ffn_dim": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    long, short = (shape_of_config(config(keys, max_position_embeddings=size)) for size in (512, 256))
    assert long.parameters - short.parameters == 256 * 64
    assert long.without_embeddings == short.without_embeddings


# A recipe


def test_hours_and_tokens_follow_from_each_other() -> None:
    slam, aligned = estimated(recipe()).trainings
    hours, tokens = slam.on(H100)
    # The published projection: 1.4e9 tokens at 173,000 a second are 2.2 h.
    assert hours == pytest.approx(1.4e9 / 173_000 / 3600, rel=0.01)
    assert tokens == pytest.approx(1.4e9, rel=1e-4)
    timed = recipe(models={"slam": {"init": "qwen", "data": "speech", "hours": 23.5}})
    hours, tokens = estimated(timed).trainings[0].on(H100)
    assert (hours, tokens) == (23.5, pytest.approx(23.5 * 3600 * 173_000, rel=0.01))
    assert aligned.on(H100)[0] == 0.5
    assert slam.state_gb() == pytest.approx(358_347_904 * 16 / 1e9)


def test_validation_is_counted() -> None:
    """35.85 million tokens of validation after each 1,000 of 17,529 steps, as Slam has it: a sixth of the training."""
    step = 78 * 1024
    amount = Amount(1024, 1_400_000_000.0, step, 35.85e6)
    share, last = validation(amount, 1000, 1.0)
    assert share * 1.4e9 == pytest.approx(17.5 * 35.85e6 / 3, rel=0.01)
    assert last == pytest.approx(35.85e6 / 3)
    assert validation(amount, 1000, 0.02) == (0.02, last)
    assert validation(amount._replace(validation_tokens=None), 1000, 0.02) == (0.02, 0.0)  # at most that
    assert validation(amount, 20_000, 0.02) == (0.0, last)  # none on the way
    assert validation(amount._replace(validation_tokens=0.0), 1000, 0.02) == (0.0, 0.0)
    rate = H100.tflops * 1e12 * 3600
    plain, counted = (Training("m", "x", None, 1024, 1e9, None, 2e9, step, *more) for more in ((), (0.02, 12e6)))
    assert plain.on(H100) == (pytest.approx(1e9 * 2e9 / rate), 1e9)
    assert counted.on(H100) == (pytest.approx((1.02e9 + 12e6) * 2e9 / rate), 1e9)
    timed = Training("m", "x", None, 1024, None, 10.0, 2e9, step, 0.02, 12e6)
    assert timed.on(H100) == (10.0, pytest.approx((10 * rate / 2e9 - 12e6) / 1.02))
    validated = {"speech": {"encoder": "mhubert", "train": ["books/train"], "validation": ["stories/preference"]}}
    slam = estimated(recipe(datasets=validated)).trainings[0]
    tokens = 600 * 14.19 * 0.78 * 25
    assert slam.last_validation == pytest.approx(tokens / 3)
    assert slam.validation_share == pytest.approx(min(0.02, tokens / 3 / (100 * step)))


def test_a_recipe_by_hand() -> None:
    found = estimated(recipe())
    books, preference = found.speech
    assert (books.hours, books.download, books.bytes) == (50_000, True, 10**12)
    assert books.tokens == pytest.approx(3.5e9, rel=0.01)  # as published
    assert preference.hours == pytest.approx(600 * 14.19 / 3600)
    assert (found.download_bytes, found.unknown_downloads) == (10**9, 1)
    assert found.disk["models"] == Sum(2 * 4 * 358_347_904)
    assert found.disk["audio"].value == pytest.approx(10**12, rel=1e-3)
    costs = {cost.rule: cost for cost in found.costs(recipe(), H100)}
    rate = H100.encoder_tflops["fp32"]
    assert costs["extract_units"].device_hours.value == pytest.approx(50_000 * 9.4 / 1e3 / rate, rel=1e-3)
    assert costs["train aligned"].device_hours == Sum(0.5)


def test_what_is_not_known_is_not_taken_for_nothing() -> None:
    corpora = {
        "books": {
            "kind": "hub",
            "repo": "a/b",
            "revision": "0" * 40,
            "splits": {"train": {"files": ["*.parquet"]}},
        }
    }
    models = {"slam": {"init": "qwen", "data": "speech"}}
    unknown = recipe(corpora=corpora, models=models, preferences={})
    found = estimated(unknown, {**ASSETS, "qwen": ASSETS["qwen"].model_copy(update={"architecture": None})})
    costs = {cost.rule: cost for cost in found.costs(unknown, H100)}
    assert not costs["extract_units"].device_hours.whole
    assert not costs["train slam"].device_hours.whole
    assert found.trainings[0].on(H100)[0] is None
    assert not found.disk["models"].whole
    assert add_up([1.0, None, 2.0]) == (3.0, False)
    assert add_up([]) == (0.0, True)


def test_a_downloaded_config_is_read_first(tmp_path: Path) -> None:
    folder = tmp_path / "assets" / "qwen"
    folder.mkdir(parents=True)
    config(SMALL).save_pretrained(folder)
    shapes = model_shapes(recipe(), ASSETS, tmp_path)
    assert shapes["slam"] == shapes["aligned"] == shape_of_config(config(SMALL, vocab_size=502))
    layered = recipe(models={"slam": {"init": "qwen", "data": "speech", "layers": 1}})
    assert model_shapes(layered, ASSETS, tmp_path)["slam"] == shape_of_config(
        config(SMALL, vocab_size=502, num_hidden_layers=1)
    )


def test_the_shape_of_a_published_model_is_known_where_transformers_reads_it(tmp_path: Path) -> None:
    models = {
        "theirs": {"adapter": "slamkit", "weights": str(tmp_path), "encoder": "mhubert"},
        "aligned": {"objective": "dpo", "init": "theirs", "pairs": "endings"},
    }
    (tmp_path / "config.json").write_text('{"model_type": "speech_language_model"}')
    [aligned] = estimated(recipe(models=models)).trainings
    assert (aligned.name, aligned.shape) == ("aligned", None)
    config(SMALL, vocab_size=502).save_pretrained(tmp_path)
    [aligned] = estimated(recipe(models=models)).trainings
    assert aligned.shape == shape_of_config(config(SMALL, vocab_size=502))


def test_keys_for_the_estimate_alone_rerun_nothing() -> None:
    values = {"kind": "hub", "repo": "a/b", "revision": "0" * 40}
    split = {"files": ["*.parquet"]}
    plain, told = (
        HubAudio.model_validate({**values, "splits": {"train": one}}).job("c", "train", "0000-of-0001")
        for one in (split, {**split, "hours": 3.0, "bytes": 5})
    )
    assert plain == told


def test_every_tokenizer_says_what_it_takes() -> None:
    for name in TOKENIZERS.names():
        values = {"kind": name, "fit": {"corpora": ["stories/train"]}, "model": "m"}
        kind = TOKENIZERS.settings(name)
        tokenizer = kind.model_validate({key: value for key, value in values.items() if key in kind.model_fields})
        known = [tokenizer.gflop_per_second(), tokenizer.seconds_per_core_second()]
        assert known.count(None) == 1, name
        assert tokenizer.units_per_second > 0


# The command


def test_the_pocket_has_an_estimate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    over = tmp_path / "over.yaml"
    over.write_text(yaml.safe_dump({"models": {"cold": {"tokens": None, "hours": 2.0}}}))
    options = ["--configfile", str(over), "--results", str(tmp_path), "--device", "H100", "A100"]
    command.main([*options, "--price", "2", "A100=1.5"])
    text = capsys.readouterr().out
    lines = {line.split("  ")[0]: line.split() for line in text.splitlines() if line}
    assert lines["cold"][-2] == "2.00"
    assert lines["H100"][-1] == pytest.approx("4.00")
    assert float(lines["A100"][-1]) == pytest.approx(3.0, abs=0.01)
    assert "train cold" in text


def test_the_last_run_is_in_units_of_its_summary() -> None:
    """Which counts disk in MiB: 100,000 of them are 104.9 GB."""
    stages = [{"rule": "train", "seconds": 60.0, "disk_mb": None}, {"rule": "rows", "seconds": 7200.0, "disk_mb": 1e5}]
    assert table.run_rows(stages) == [["rows", "2.00", "104.9 GB"], ["train", "0.02", "-"]]


def test_the_overview_has_a_line_for_each_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--configfile", str(ROOT / "config.yaml"), "--overview"])
    head, _, pocket = capsys.readouterr().out.splitlines()
    assert head.count("|") == pocket.count("|")
    assert pocket.startswith("| pocket |")


def test_bad_options_are_refused(tmp_path: Path) -> None:
    for options, message in (
        (["--device", "abacus"], "not in the table"),
        (["--price", "much"], "write an amount per hour"),
        (["--price", "abacus=1"], "no device 'abacus'"),
    ):
        with pytest.raises(InputError, match=message):
            command.main([*options, "--results", str(tmp_path)])


def test_rates_are_plausible() -> None:
    for device in rates.DEVICES:
        assert device.peak_tflops is None or 0.3 <= device.tflops / device.peak_tflops <= 0.45
    assert math.isclose(rates.slam_rate(16_500), 37.7, abs_tol=0.05)


def test_rates_of_encoders_are_below_the_peaks_and_by_precision() -> None:
    for device in rates.DEVICES:
        fp32, tf32, bf16 = (device.encoder_tflops[precision] for precision in ("fp32", "tf32", "bf16"))
        assert fp32 <= tf32 < bf16
        assert device.peak_tflops is None or bf16 < device.peak_tflops
    # By hand: 1 TFLOP takes 1 / (0.6 * 66.9) s of products and 0.0176 / (0.8 * 3.35) s of memory.
    assert H100.encoder_tflops["fp32"] == pytest.approx(1 / (0.02491 + 0.00657), rel=0.01)
    # A day of Slam's 81,035 hours on its plain cores, as the second look at the GPU path had it (at half the peak).
    assert 81_035 * 9.4 / 1e3 / H100.encoder_tflops["fp32"] == pytest.approx(23, rel=0.1)


def test_another_precision_is_estimated_at_its_rate() -> None:
    encoder = {"kind": "hubert", "model": "hubert", "codebook": "asset:hubert/km", "precision": "bf16"}
    of = recipe(encoders={"mhubert": encoder})
    costs = {cost.rule: cost for cost in estimated(of).costs(of, H100)}
    expected = 50_000 * 9.4 / 1e3 / H100.encoder_tflops["bf16"]
    assert costs["extract_units"].device_hours.value == pytest.approx(expected, rel=1e-3)


# Several GPUs

TWIST_7B = Shape(6_480_000_000, 6_480_000_000, 32, 4096)


def sized(shape: Shape) -> Training:
    return Training("model", "scratch", shape, 1024, 1e9, None, None, None)


@pytest.mark.parametrize(
    ("gpus", "memory_gb", "expected"),
    [
        # By hand, of 6.48e9 parameters: 103.68 GB whole; 8 of them: 51.84 + 9.72, 25.92 + 12.96, 16.2; offloaded 25.92.
        (1, 141, "yes"),
        (1, 80, "ZeRO 2, offload"),
        (1, 24, "no"),
        (8, 80, "ZeRO 1"),
        (8, 48, "ZeRO 2"),
        (8, 24, "ZeRO 3"),
        (8, 12, "ZeRO 3, offload"),
        (2, 80, "ZeRO 2"),
        (8, 3, "no"),
    ],
)
def test_how_a_model_of_7b_fits(gpus: int, memory_gb: float, expected: str) -> None:
    device = replace(H100, memory_gb=memory_gb)
    assert state_fits([sized(TWIST_7B), sized(Shape(10, 10, 1, 1))], device, gpus) == expected


def test_the_state_on_each_gpu_by_hand() -> None:
    training = sized(TWIST_7B)
    found = {layout: training.state_gb(layout, 8) for layout in layouts(8)}
    by_hand = [103.68, 61.56, 38.88, 16.2, 25.92, 3.24]
    assert list(found.values()) == pytest.approx(by_hand)


def test_hours_on_several_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--configfile", str(ROOT / "recipes/slam.yaml"), "--device", "H100", "--gpus", "8"])
    shown = capsys.readouterr().out.partition("\nDevices\n")[2]
    head, line = re.findall(r"^(device .*|H100 .*)$", shown, re.MULTILINE)[:2]
    columns, values = (re.split(r"  +", text.strip()) for text in (head, line))
    row = dict(zip(columns, values, strict=False))
    assert float(row["hours on 8"].rstrip("+")) == pytest.approx(float(row["device hours"].rstrip("+")) / 8, abs=0.05)
    with pytest.raises(InputError, match="--gpus 0: at least 1"):
        command.main(["--gpus", "0"])
