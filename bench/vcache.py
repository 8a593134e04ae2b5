"""A semantic cache that learns a threshold for each entry, after Schroeder et al., "vCache" (2025).

Each entry fits a logistic curve of "the answer would have been right" over similarity to what it has seen
itself, widens it by its own uncertainty, and asks the model with the probability that keeps the error rate
over all requests below `max_error_rate`. Written from the paper's description, for comparison.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_LEAST_OBSERVATIONS = 6
_PLACES = np.linspace(0.3, 1.1, 81)
_SLOPES = np.array([2.0, 5.0, 10.0, 20.0, 40.0, 80.0])
_DOUBTS = np.linspace(0.01, 0.5, 15)
_QUANTILES = np.array([2.326, 1.645, 1.282, 1.036, 0.842, 0.674, 0.524, 0.385, 0.253, 0.126, 0.0])
_TAILS = np.array([0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5])


@dataclass(kw_only=True)
class LearnedEntry:
    """One stored question and what became of those near it."""

    similarities: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)

    def observe(self, similarity: float, *, right: bool) -> None:
        self.similarities.append(similarity)
        self.right.append(right)

    def asks_with(self, similarity: float, *, max_error_rate: float) -> float:
        """Probability with which the model must be asked."""
        if len(self.right) < _LEAST_OBSERVATIONS:
            return 1.0
        seen, right = np.array(self.similarities), np.array(self.right)
        place, slope, spread = _fitted(seen, right)
        doubts = np.interp(_DOUBTS, _TAILS, _QUANTILES)
        lower = 1 / (1 + np.exp(-np.clip(slope * (similarity - place - doubts * spread), -60, 60)))
        sure = (1 - _DOUBTS) * lower
        asks = (1 - max_error_rate - sure) / np.maximum(1 - sure, 1e-9)
        return float(np.clip(asks, 0, 1).min())


def _fitted(seen: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    """The likeliest curve's place and slope, and the standard error of its place."""
    logits = _SLOPES[:, None, None] * (seen - _PLACES[:, None])
    signed = np.where(right, logits, -logits)
    likelihood = -np.logaddexp(0, -signed).sum(axis=2)
    slope_at, place_at = np.unravel_index(int(likelihood.argmax()), likelihood.shape)
    place, slope = float(_PLACES[place_at]), float(_SLOPES[slope_at])
    chance = 1 / (1 + np.exp(-np.clip(slope * (seen - place), -60, 60)))
    information = float((slope**2 * chance * (1 - chance)).sum())
    return place, slope, information**-0.5 if information > 1e-6 else 1.0
