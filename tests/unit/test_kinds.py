"""Families of kinds: what a registry refuses, and kinds that another package brings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import ValidationError

from slamflow.adapters import ADAPTERS
from slamflow.benchmarks import BENCHMARKS
from slamflow.corpora import CORPORA
from slamflow.errors import InputError
from slamflow.kinds import Family
from slamflow.lm.objectives import OBJECTIVES
from slamflow.recipe.base import Settings, canonical
from slamflow.scorers import BASELINES
from slamflow.text import PAIR_SOURCES, PAIR_TEXTS, TEXT_SOURCES
from slamflow.tokenizers import TOKENIZERS
from slamflow.tts import ENGINES
from slamflow.vocoders import VOCODERS

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
FAMILIES = [
    ADAPTERS,
    BASELINES,
    BENCHMARKS,
    CORPORA,
    ENGINES,
    OBJECTIVES,
    PAIR_SOURCES,
    PAIR_TEXTS,
    TEXT_SOURCES,
    TOKENIZERS,
    VOCODERS,
]
HEAVY = [
    "datasets",
    "deepspeed",
    "hibari",
    "huggingface_hub",
    "numpy",
    "onnxruntime",
    "pyarrow",
    "safetensors",
    "scipy",
    "soundfile",
    "soxr",
    "torch",
    "transformers",
]

KIND = '''
"""A benchmark of another package."""
from typing import ClassVar, Literal
from slamflow.benchmarks import BenchmarkSettings

class Mine(BenchmarkSettings):
    """Mine."""
    question: ClassVar[str] = "Which is mine?"
    built_from: ClassVar[Literal["stories", "pairs"]] = "stories"
    kind: Literal["mine"]

def build(records, spoken, seed):
    return [], {}
'''


def installed(folder: Path, family: str, name: str, value: str, module: str) -> None:
    """A package as pip would lay it down: a module, and metadata with an entry point."""
    about = folder / "my_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[slamflow.{family}]\n{name} = {value}\n")
    (folder / "my_package.py").write_text(module)


def test_an_installed_package_adds_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "benchmarks", "mine", "my_package:Mine", KIND)
    monkeypatch.syspath_prepend(str(tmp_path))
    family = Family(BENCHMARKS.name, BENCHMARKS.kinds)
    assert family.names() == [*BENCHMARKS.kinds, "mine"]
    found = family.validate({"kind": "mine", "corpus": "c", "encoder": "e"})
    assert type(found).__name__ == "Mine"
    assert family.module("mine").build([], {}, 0) == ([], {})
    monkeypatch.delitem(sys.modules, "my_package")


def test_a_kind_cannot_be_given_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "benchmarks", "swuggy", "my_package:Mine", KIND)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"my_package:Mine gives slamflow\.benchmarks a second 'swuggy'"):
        Family(BENCHMARKS.name, BENCHMARKS.kinds).names()


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=f"kind must be one of {', '.join(TOKENIZERS.names())}"):
        TOKENIZERS.validate({"kind": "whsper"})
    with pytest.raises(InputError, match="'whsper': there are whisper"):
        TOKENIZERS.module("whsper")


class Numbers(Settings):
    """Settings whose JSON must not depend on how a recipe wrote them."""

    rate: float
    free: dict[str, object] = {}
    tokenizer: Annotated[object, TOKENIZERS] | None = None


def test_parameters_do_not_depend_on_the_order_of_keys_or_the_way_numbers_are_written() -> None:
    one = Numbers.model_validate({"rate": 1, "free": {"b": 1, "a": {"d": 2, "c": 3}}})
    other = Numbers.model_validate({"free": {"a": {"c": 3, "d": 2}, "b": 1}, "rate": 1.0})
    assert canonical(one) == canonical(other)
    assert canonical(Numbers(rate=1e-3)) == canonical(Numbers(rate=0.001))
    assert canonical(one) != canonical(Numbers(rate=2.0))


def test_a_field_of_a_family_keeps_all_keys_of_its_kind() -> None:
    settings = Numbers.model_validate({"rate": 1, "tokenizer": {"kind": "logmel", "frame_rate_hz": 50}})
    assert '"frame_rate_hz": 50.0' in canonical(settings)
    assert Numbers.model_validate_json(settings.model_dump_json()) == settings


def test_kinds_import_nothing_heavy() -> None:
    """In one process, which says what the first module to import something heavy is."""
    modules = [family.module_name(name) for family in FAMILIES for name in family.names()]
    code = (
        "import importlib, sys\n"
        f"for module in {modules}:\n"
        "    importlib.import_module(module)\n"
        f"    if heavy := sorted(set({HEAVY}) & set(sys.modules)):\n"
        "        sys.exit(f'{module} imports {heavy}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
