"""Multinomial logistic regression in numpy, by limited-memory BFGS."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.metrics import Floats, Integers

Floats32 = npt.NDArray[np.float32]
MEMORY: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear:
    """Logits are `vectors @ weight + bias`; weight (width, labels), bias (labels,)."""

    weight: Floats32
    bias: Floats32

    def logits(self, vectors: Floats32) -> Floats:
        return np.asarray(vectors @ self.weight + self.bias, dtype=np.float64)


def softmax(logits: Floats) -> Floats:
    """Rows of probabilities."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def fit_linear(
    vectors: Floats32, truth: Integers, *, labels: int, ridge: float, steps: int, start: Linear | None = None
) -> Linear:
    """Least mean cross-entropy plus `ridge` times half the squared weights; rows of a label weigh alike.

    Small classes count as much as large ones: an operator with five examples of an intent means it.
    """
    rows, width = vectors.shape
    table = np.concatenate([vectors, np.ones((rows, 1), dtype=np.float32)], axis=1)
    counts = np.bincount(truth, minlength=labels)
    weights = (1.0 / np.sqrt(np.maximum(counts, 1)))[truth].astype(np.float32)
    weights /= weights.sum()
    point = np.zeros((width + 1, labels), dtype=np.float32)
    if start is not None:
        point = np.concatenate([start.weight, start.bias[None]]).astype(np.float32)

    def slope(at: Floats32) -> tuple[float, Floats32]:
        logits = table @ at
        logits -= logits.max(1, keepdims=True)
        powers = np.exp(logits)
        total = powers.sum(1, keepdims=True)
        loss = float((weights * (np.log(total[:, 0]) - logits[np.arange(rows), truth])).sum())
        powers /= total
        powers[np.arange(rows), truth] -= 1.0
        powers *= weights[:, None]
        gradient = table.T @ powers
        gradient[:-1] += ridge * at[:-1]
        return loss + ridge / 2 * float((at[:-1] ** 2).sum()), gradient

    point = _descend(point, slope, steps)
    return Linear(weight=point[:-1].copy(), bias=point[-1].copy())


def _descend(point: Floats32, slope: Callable[[Floats32], tuple[float, Floats32]], steps: int) -> Floats32:
    """Two-loop L-BFGS (Nocedal and Wright, algorithm 7.4) with a halving line search."""
    history: deque[tuple[Floats32, Floats32, float]] = deque(maxlen=MEMORY)
    loss, gradient = slope(point)
    for _ in range(steps):
        direction = -gradient
        taken = []
        for moved, bent, inverse in reversed(history):
            part = inverse * float((moved * direction).sum())
            direction = direction - part * bent
            taken.append(part)
        if history:
            moved, bent, inverse = history[-1]
            direction = direction / (inverse * float((bent * bent).sum()))
        for (moved, bent, inverse), part in zip(history, reversed(taken), strict=True):
            direction = direction + moved * (part - inverse * float((bent * direction).sum()))
        fall = float((direction * gradient).sum())
        length = 1.0 if history else min(1.0, 1.0 / float(np.abs(gradient).sum() + 1e-12)) * 50
        for _ in range(20):
            fresh = point + np.float32(length) * direction
            fresh_loss, fresh_gradient = slope(fresh)
            if fresh_loss <= loss + 1e-4 * length * fall:
                break
            length /= 2
        else:
            break
        moved, bent = fresh - point, fresh_gradient - gradient
        curve = float((moved * bent).sum())
        if curve > 1e-12:
            history.append((moved, bent, 1.0 / curve))
        done = loss - fresh_loss < 1e-7 * max(abs(loss), 1e-3)
        point, loss, gradient = fresh, fresh_loss, fresh_gradient
        if done:
            break
    return point
