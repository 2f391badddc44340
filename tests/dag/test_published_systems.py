"""Published models: scored and continued beside those that are trained, and never trained, calibrated or packaged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from .conftest import Checkout


def folder(checkout: Checkout) -> str:
    """A folder of weights, as far as Snakemake looks into it."""
    place = Path(checkout.work, "published_weights")
    place.mkdir()
    for name in ("config.json", "model.safetensors"):
        (place / name).write_text(name)
    return place.name


def test_a_published_model_is_imported_scored_and_continued(checkout: Checkout) -> None:
    published = {"adapter": "slamkit", "weights": folder(checkout), "encoder": "whisper"}
    checkout.edit_recipe(models={"slam": published}, generation={"models": ["slam"]})
    due = checkout.due()
    assert due == {
        "import_model": 1,
        "score_benchmarks": 1,
        "continue_speech": 1,
        "score_continuations": 1,
        "summarize": 1,
        "render_report": 1,
        "render_leaderboard": 1,
    }
    checkout.run()
    assert checkout.due() == Counter()
    assert (checkout.work / "results/models/pocket/slam/speech.json").is_file()
    assert not (checkout.work / "results/models/pocket/slam/package.json").exists()
    (checkout.work / "published_weights/model.safetensors").write_text("other weights")
    assert checkout.due() == due


def test_a_model_that_was_published_as_an_archive_is_imported(checkout: Checkout) -> None:
    archive = checkout.work / "gslm/hubert100_lm.tgz"
    archive.parent.mkdir()
    archive.write_text("weights")
    checkout.edit_recipe(models={"gslm": {"adapter": "gslm", "weights": "gslm", "encoder": "whisper"}})
    assert checkout.due("models") == {"import_model": 1}
    checkout.run("models")
    assert checkout.due("models") == Counter()
    archive.write_text("other weights")
    assert checkout.due("models") == {"import_model": 1}


def test_a_model_may_be_aligned_from_a_published_one(checkout: Checkout) -> None:
    published = {"adapter": "slamkit", "weights": folder(checkout), "encoder": "whisper"}
    aligned = {"objective": "dpo", "init": "slam", "pairs": "endings"}
    checkout.edit_recipe(models={"slam": published, "dpo": aligned})
    due = checkout.due("models")
    assert due == {"import_model": 1, "train": 1, "package_model": 1}


def test_published_models_alone_are_a_recipe(checkout: Checkout) -> None:
    weights = folder(checkout)
    (checkout.work / "alone.yaml").write_text(
        "\n".join(
            [
                "recipe: alone",
                "corpora: {stories: {kind: stories, splits: {test: {stories: 8}}, speech: {engine: hibari}}}",
                "encoders: {mel: {kind: logmel, clusters: 50, fit: {corpora: [stories/test]}}}",
                f"models: {{slam: {{adapter: slamkit, weights: {weights}, encoder: mel}}}}",
                "benchmarks: {tsc: {kind: tstorycloze, corpus: stories, encoder: mel}}",
                "evaluation: {baselines: [length]}",
            ]
        )
    )
    text = checkout.snakemake("--dry-run", "--configfile", "alone.yaml").stdout
    assert "rule import_model:" in text
    assert "rule train:" not in text
    estimated = checkout.snakemake("estimate", "--dry-run", "--configfile", "alone.yaml")
    assert estimated.returncode == 0
