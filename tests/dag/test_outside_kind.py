"""Kinds of an installed package: the workflow admits them, and one more makes nothing of a finished run due."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from .conftest import TARGETS, Checkout

MODULE = '''
"""Kinds that another package brings."""
from typing import ClassVar, Literal

from slamflow.adapters import SystemSettings
from slamflow.benchmarks import BenchmarkSettings
from slamflow.tokenizers import FrameTokenizerSettings


class OutsideBenchmark(BenchmarkSettings):
    """A benchmark of another package."""

    question: ClassVar[str] = "Which is right?"
    built_from: ClassVar[Literal["stories", "pairs"]] = "stories"
    kind: Literal["outside"]
    """A benchmark of another package."""


class OutsideTokenizer(FrameTokenizerSettings):
    """A tokenizer of another package."""

    about: ClassVar[str] = "units of another package."
    kind: Literal["outside"]
    """A tokenizer of another package."""


class OutsideSystem(SystemSettings):
    """A format of another package."""

    adapter: Literal["outside"]
    """A format of another package."""


def convert(source, output):
    raise NotImplementedError


def build(records, spoken, seed):
    return [], {}


def load_encoder(settings, model, device):
    raise NotImplementedError
'''
ENTRY_POINTS = """[slamflow.benchmarks]
outside = outside_kinds:OutsideBenchmark

[slamflow.tokenizers]
outside = outside_kinds:OutsideTokenizer

[slamflow.adapters]
outside = outside_kinds:OutsideSystem
"""
USED = {
    "encoders": {"other": {"kind": "outside", "clusters": 20, "fit": {"corpora": ["stories/validation"]}}},
    "benchmarks": {"other": {"kind": "outside", "corpus": "stories", "encoder": "whisper", "models": ["cold"]}},
    "datasets": {"other": {"encoder": "other", "context": 832, "train": ["stories/dev"]}},
    "models": {
        "other": {"init": "scratch", "architecture": {"model_type": "llama"}, "data": "other", "tokens": 1000},
        "published": {"adapter": "outside", "weights": ".", "encoder": "other"},
    },
}


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment in which Python finds the package, laid down as pip would."""
    root = tmp_path / "site"
    about = root / "outside_kinds-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-kinds\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (root / "outside_kinds.py").write_text(MODULE)
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{root}:{before}" if before else str(root)}


def due(checkout: Checkout, environment: dict[str, str]) -> Counter[str]:
    """The jobs that would run in an environment, by rule."""
    text = checkout.snakemake("--dry-run", "--configfile", "small.yaml", **environment).stdout
    jobs = re.findall(r"^(?:local)?rule (\w+):", text, flags=re.MULTILINE)
    return Counter(job for job in jobs if job not in TARGETS)


def test_a_kind_of_an_installed_package_makes_nothing_due(checkout: Checkout, installed: dict[str, str]) -> None:
    assert due(checkout, installed) == Counter()
    # Not because the package was not seen: a recipe may use its kinds there, and nowhere else.
    checkout.edit_recipe(**USED)
    used = due(checkout, installed)
    assert used["fit_units"] == 1
    assert used["build_benchmark"] == 2
    assert used["train"] == 1
    assert used["import_model"] == 1
    refused = checkout.snakemake("--dry-run", "--configfile", "small.yaml", check=False)
    assert refused.returncode != 0
    assert "kind must be one of" in refused.stdout + refused.stderr
