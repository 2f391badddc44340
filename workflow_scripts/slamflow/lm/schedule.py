"""The learning rate, step by step or by the share of the time."""

from __future__ import annotations

import math

from slamflow.lm.objectives import TrainingSettings


def learning_rate(step: int, steps: int, settings: TrainingSettings) -> float:
    """Learning rate of step `step` (from 0) of `steps`.

    It rises in a line over the warm-up and reaches its peak in the warm-up's last step. Then `cosine` (Loshchilov and
    Hutter 2017) comes down to the floor in the very last step, `inverse_sqrt` (Vaswani et al. 2017) falls with the
    root of the steps counted from the start, and `constant` stays.
    """
    warmup = math.ceil(round(settings.warmup * steps, 6))  # 0.07 * 100 is a little more than 7
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.schedule == "cosine":
        progress = (step + 1 - warmup) / (steps - warmup)
        height = (1 + math.cos(math.pi * progress)) / 2
        return settings.min_learning_rate + (settings.learning_rate - settings.min_learning_rate) * height
    if settings.schedule == "inverse_sqrt":
        return settings.learning_rate * math.sqrt(max(warmup, 1) / (step + 1))
    return settings.learning_rate


def learning_rate_at(fraction: float, settings: TrainingSettings) -> float:
    """Learning rate of a step that ends when `fraction` (above 0, at most 1) of the time is used.

    The limit of `learning_rate` for many steps: step `s` of `n` ends at (s + 1) / n.
    """
    if fraction < settings.warmup:
        return settings.learning_rate * fraction / settings.warmup
    if settings.schedule == "cosine":
        height = (1 + math.cos(math.pi * (fraction - settings.warmup) / (1 - settings.warmup))) / 2
        return settings.min_learning_rate + (settings.learning_rate - settings.min_learning_rate) * height
    if settings.schedule == "inverse_sqrt":
        return settings.learning_rate * math.sqrt(settings.warmup / fraction)
    return settings.learning_rate
