"""When a training validates, saves and ends: after a fixed number of steps, or when a fixed time budget is used.

With a time budget the learning rate follows the share of the time that is used, so no number of steps has to be
known: a slower device, or one that slows down half-way, makes fewer steps of the same schedule. Time counts from the
first step to the end of the last save. What a killed run spent counts too, also what it did after its last save
(`Clock` keeps it): the hours are a promise about the device. The schedule goes on where the save left it and is
annealed to its end in the time that is left. The pause between two runs, and starting up, do not count.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from slamflow.lm import state
from slamflow.lm.objectives import TrainingSettings
from slamflow.lm.schedule import learning_rate, learning_rate_at

REMEMBERED_STEPS = 9
SAVE_SHARE = 0.02
"""With a time budget, at most this share of it lies between two saves, so that is the most a kill can cost."""


class Step(NamedTuple):
    """What is decided before a step, by the main rank for all. Numbers only, so that ranks can share it."""

    learning_rate: float
    last: float
    validate: float
    """Whether a validation follows it."""
    save: float
    used: float
    """Share of the schedule that is used when the step ends."""


NOTHING = Step(0.0, 0.0, 0.0, 0.0, 0.0)
"""What the other ranks add to the main one's decision."""


class Pace(Protocol):
    """Decides about steps, from how long earlier ones took."""

    def decide(self, step: int) -> Step:
        """What to do in step `step` (from 0)."""

    def add(self, what: str, seconds: float) -> None:
        """Record how long a `step`, a `validation` or a `save` took."""

    def spent(self) -> float:
        """Seconds since the first step."""

    def steps(self, step: int) -> int:
        """About how many steps there will be in all; asked after `step` of them."""

    def seconds_left(self, step: int) -> float:
        """About how long it still takes; asked after `step` steps."""

    def record(self) -> dict[str, Any]:
        """What a resumed run has to know."""


class StepPace:
    """A training with a fixed number of steps."""

    def __init__(self, steps: int, settings: TrainingSettings, done: int = 0) -> None:
        self.total, self.settings, self.first = steps, settings, done
        self.started = time.monotonic()

    def decide(self, step: int) -> Step:
        last = step + 1 == self.total
        validate, save = ((step + 1) % every == 0 for every in (self.settings.validate_every, self.settings.save_every))
        rate = learning_rate(step, self.total, self.settings)
        return Step(rate, last, last or validate, last or save, (step + 1) / self.total)

    def add(self, what: str, seconds: float) -> None:
        pass

    def spent(self) -> float:
        return time.monotonic() - self.started

    def steps(self, step: int) -> int:  # noqa: ARG002
        return self.total

    def seconds_left(self, step: int) -> float:
        return (self.total - step) * self.spent() / max(step - self.first, 1)

    def record(self) -> dict[str, Any]:
        return {}


class TimePace:
    """A training with a fixed time budget.

    The schedule's share f that is used runs in a line from where it stands to 1 at the end E of the last step:
    1 - f falls as E - t does. E leaves room for the last validation and save. When a guess of their cost changes, f
    continues from where it is, so it never jumps, and it never falls.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        record: dict[str, Any] | None = None,
        spent: float = 0.0,
        validation_steps: float = 0.0,
        validation_part: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start now, or resume from the `record` of a save with at least `spent` seconds gone.

        `validation_steps` is a guess of the last validation's cost, in steps, for as long as none has been measured;
        one on the way takes `validation_part` of it.
        """
        assert settings.hours is not None
        record = record or {}
        self.seconds = settings.hours * 3600
        self.settings, self.clock = settings, clock
        self.validation_part = validation_part
        self.validation_steps: float = record.get("validation_steps", validation_steps)
        self.validated = "validation_steps" in record
        self.costs: dict[str, float] = dict(record.get("costs", {}))
        self.used: float = record.get("used", 0.0)
        self.reached: float = record.get("reached", 0.0)
        self.saved = self.used
        self.durations: deque[float] = deque([self.costs["step"]] if "step" in self.costs else [], REMEMBERED_STEPS)
        self.first = True
        self.start = clock() - max(spent, record.get("spent", 0.0))
        self.asked = self.spent()

    def spent(self) -> float:
        """Seconds since the first step, those of earlier runs included."""
        return self.clock() - self.start

    def _cost(self, what: str) -> float:
        # A validation slows down and speeds up with the steps, whatever it was when it was measured.
        if what == "validation":
            return self.validation_steps * self.costs.get("step", 0.0)
        return self.costs.get(what, 0.0)

    def _advance(self) -> float:
        """Bring `used` up to now; returns the seconds that are left for steps."""
        end = self.seconds - self._cost("validation") - self._cost("save")
        now = self.spent()
        left = end - now
        self.used = 1 - (1 - self.used) * max(left, 0.0) / (end - self.asked) if end > self.asked else 1.0
        self.asked = now
        return left

    def decide(self, step: int) -> Step:
        left = self._advance()
        takes = self.costs.get("step", 0.0)
        last = left < 1.5 * takes or left <= 0
        ends = 1.0 if last else 1 - (1 - self.used) * (1 - takes / left)
        self.reached = max(self.reached, ends)
        after = left - takes

        def room(what: str, part: float = 1.0) -> bool:
            return after - part * self._cost(what) > takes

        number = step + 1
        # One validation comes early, so that its cost is known.
        due = number % self.settings.validate_every == 0
        due = due or (not self.validated and self.reached >= SAVE_SHARE)
        validate = due and room("validation", self.validation_part)
        due = number % self.settings.save_every == 0 or self.reached - self.saved >= SAVE_SHARE
        save = due and room("save")
        if save:
            self.saved = self.reached
        rate = learning_rate_at(self.reached, self.settings)
        return Step(rate, last, last or validate, last or save, self.reached)

    def add(self, what: str, seconds: float) -> None:
        if what == "step":
            # The first step of a process may compile, and a stray slow one is no change of speed.
            if self.first:
                self.first = False
                return
            self.durations.append(seconds)
            seconds = statistics.median(self.durations)
        if what == "validation":
            if "step" in self.costs:
                self.validation_steps = seconds / self.costs["step"] / self.validation_part
                self.validated = True
            return
        self.costs[what] = seconds

    def steps(self, step: int) -> int:
        left = self.seconds - self._cost("validation") - self._cost("save") - self.spent()
        takes = self.costs.get("step", 0.0)
        return step + max(0, round(left / takes)) if takes else step

    def seconds_left(self, step: int) -> float:  # noqa: ARG002
        return max(0.0, self.seconds - self.spent())

    def record(self) -> dict[str, Any]:
        self._advance()
        return {
            "hours": self.settings.hours,
            "spent": round(self.spent(), 3),
            "used": self.used,
            "reached": self.reached,
            **({"validation_steps": self.validation_steps} if self.validated else {}),
            "costs": {name: round(seconds, 4) for name, seconds in self.costs.items()},
        }


class Clock:
    """What a training has spent, on disk once a second: so a kill at any moment is known to have cost time."""

    def __init__(self, folder: Path, run: str) -> None:
        """`run` tells one training in the folder from another."""
        self.path, self.run = folder / state.CLOCK, run
        self.written = -1.0

    def read(self) -> float:
        """Seconds that earlier processes of this training spent; 0 if there were none."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return float(found["seconds"]) if found["run"] == self.run else 0.0
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0

    def write(self, seconds: float) -> None:
        """Note what is spent, unless a moment ago it was nearly as much. Not synced: a power cut may lose some of it,
        and then the last save counts."""
        if 0 <= seconds - self.written < 1:
            return
        temporary = self.path.with_suffix(".part")
        temporary.write_text(json.dumps({"run": self.run, "seconds": round(seconds, 3)}), encoding="utf-8")
        os.replace(temporary, self.path)
        self.written = seconds
