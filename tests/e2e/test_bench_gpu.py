"""What measures a GPU, rehearsed on a CPU: it has to work the day that there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_what_needs_no_gpu_is_right_on_a_cpu(tmp_path: Path) -> None:
    parts = ("same_numbers", "exact_resume", "encoder", "scoring")
    output = tmp_path / "found.json"
    command = [sys.executable, str(ROOT / "benchmarks/gpu.py"), "--tiny", "--output", str(output), "--parts", *parts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text())
    assert float(found["same_numbers"]["fp32 sdpa"]["gradient_differs"]) < 1e-5
    assert found["exact_resume"] == {"two runs": True, "killed and resumed": True}
    assert found["encoder"]["bf16, units that differ"] < 0.1
    assert all(rate > 0 for rate in found["scoring"].values())
