"""Temperatures and offsets that make probabilities true, from validation data alone."""

from collections.abc import Callable
from typing import Final

import numpy as np

from models.metrics import Floats, Integers

KEPT: Final = 0.95
"""Share of in-scope texts that the out-of-scope threshold keeps."""


def fit_temperature(logits: Floats, truth: Integers) -> float:
    """The divisor of `logits` (rows, labels) that gives the truth the best likelihood (Guo et al., 2017)."""

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled = scaled - scaled.max(1, keepdims=True)
        chosen = scaled[np.arange(len(truth)), truth]
        return float(np.mean(np.log(np.exp(scaled).sum(1)) - chosen))

    return float(np.exp(_minimum(loss, low=-3.0, high=3.0)))


def fit_logistic(scores: Floats, truth: Floats, *, balanced: bool = False) -> tuple[float, float]:
    """Scale and offset of Platt's logistic map from scores to the probability of truth 1.

    `balanced` weighs both classes alike: for scores whose classes are not met in the proportion in
    which the validation data holds them.
    """
    weights = np.ones_like(truth)
    if balanced:
        weights = np.where(truth > 0.5, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    mean, spread = float(scores.mean()), float(scores.std()) or 1.0
    table = np.stack([(scores - mean) / spread, np.ones_like(scores)], axis=1)
    # Platt's smoothed targets keep the map finite where the classes do not overlap.
    positives, negatives = float(truth.sum()), float((1 - truth).sum())
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    target = low + truth * (high - low)
    weight = np.zeros(2)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(table @ weight, -30, 30)))
        gradient = table.T @ (weights * (chance - target)) + 1e-6 * weight
        curvature = (table * (weights * chance * (1 - chance) + 1e-9)[:, None]).T @ table + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weight -= step
        if float(np.abs(step).max()) < 1e-9:
            break
    scale = float(weight[0]) / spread
    return scale, float(weight[1]) - scale * mean


def threshold(in_scope: Floats) -> float:
    """The out-of-scope probability below which `KEPT` of the in-scope texts lie."""
    return float(np.quantile(in_scope, KEPT))


def _minimum(loss: Callable[[float], float], *, low: float, high: float) -> float:
    """Golden-section search for the lowest point of a loss with one valley."""
    golden = (np.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(60):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = loss(right)
    return float((low + high) / 2)
