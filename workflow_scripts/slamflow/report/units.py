"""The page's pictures of units: how long they last and how evenly they are used."""

from __future__ import annotations

from typing import Any

import numpy as np

from slamflow.evaluation.unit_usage import LONGEST
from slamflow.report import charts


def unit_statistics(told: dict[str, Any] | None) -> dict[str, Any] | None:
    """Pictures of how units are used and how long they last; `told` is what the summary says of them."""
    if told is None or not told["counts"]:
        return None
    counts, lasting = np.array(told["counts"]), np.array(told["durations"])
    shares = lasting / max(1, lasting.sum())
    used = np.sort(counts)[::-1] / max(1, counts.sum())
    return {
        "perplexity": 2 ** told["entropy_bits"],
        "frame_ms": 1000 / told["frame_rate_hz"],
        "durations": charts.bars(
            [float(share) for share in shares],
            [f"{index + 1}" if index + 1 < LONGEST else f"{LONGEST}+" for index in range(LONGEST)],
            "how many frames units last",
            [f"{100 * share:.0f} %" if share >= 0.005 else "" for share in shares],
        ),
        "profile": charts.profile([float(share) for share in used], "how often units occur", "commonest", "rarest"),
        "commonest": float(used[0]),
    }
