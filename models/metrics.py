"""Figures of merit in numpy: accuracy, F1, AUROC, calibration, risk, routing."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelScore:
    """How one label fared."""

    label: str
    rows: int
    precision: float
    recall: float
    f1: float


def per_label(truth: list[str], predicted: list[str]) -> list[LabelScore]:
    """Precision, recall and F1 of each label that occurs in the truth."""
    scores = []
    for label in sorted(set(truth)):
        rows = sum(one == label for one in truth)
        named = sum(one == label for one in predicted)
        right = sum(one == other == label for one, other in zip(truth, predicted, strict=True))
        precision = right / named if named else 0.0
        recall = right / rows
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        scores.append(LabelScore(label=label, rows=rows, precision=precision, recall=recall, f1=f1))
    return scores


def auroc(negatives: Floats, positives: Floats) -> float:
    """Probability that a positive scores above a negative, ties counted half."""
    scores = np.concatenate([negatives, positives])
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n = len(positives)
    return float((ranks[len(negatives) :].sum() - n * (n + 1) / 2) / (n * len(negatives)))


def recall_at_kept(in_scope: Floats, out_of_scope: Floats, *, kept: float) -> float:
    """Share of out-of-scope scores above the threshold that keeps `kept` of the in-scope ones."""
    return float(np.mean(out_of_scope > np.quantile(in_scope, kept)))


def calibration_error(confidence: Floats, right: npt.NDArray[np.bool_], *, bins: int = 15) -> float:
    """Expected calibration error over equal-width bins (Guo et al., 2017)."""
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            error += float(inside.mean() * abs(right[inside].mean() - confidence[inside].mean()))
    return error


def risk_coverage(
    confidence: Floats, right: npt.NDArray[np.bool_], *, coverages: tuple[float, ...]
) -> list[tuple[float, float]]:
    """Error rate among the most confident share of rows, as (coverage, risk) pairs."""
    order = np.argsort(-confidence, kind="stable")
    wrong = ~right[order]
    points = []
    for coverage in coverages:
        taken = max(1, round(coverage * len(order)))
        points.append((coverage, float(wrong[:taken].mean())))
    return points


def recovered_gap(scores: Floats, weak: Floats, strong: Floats) -> Floats:
    """Share of the strong model's lead recovered after each further prompt sent to it.

    Prompts go to the strong model from the highest score down. The result has n+1 values, from 0
    (none sent) to 1 (all sent); both models' `weak` and `strong` are 0 or 1 a prompt.
    """
    order = np.argsort(-scores, kind="stable")
    gains = np.concatenate([[0.0], np.cumsum((strong - weak)[order])])
    return np.asarray(gains / gains[-1])


def average_recovered_gap(scores: Floats, weak: Floats, strong: Floats) -> float:
    """APGR (RouteLLM, arXiv 2406.18665): area under the recovered gap over the share sent."""
    return float(np.trapezoid(recovered_gap(scores, weak, strong), dx=1.0 / len(scores)))


def calls_for(scores: Floats, weak: Floats, strong: Floats, *, gap: float) -> float:
    """CPT (RouteLLM): smallest share of prompts sent to the strong model that recovers `gap`."""
    recovered = recovered_gap(scores, weak, strong)
    return float(np.argmax(recovered >= gap) / len(scores))


def bootstrap_gap(
    scores: Floats, weak: Floats, strong: Floats, *, rounds: int, seed: int
) -> tuple[float, float]:
    """95 % percentile interval of APGR over resampled prompts."""
    rng = np.random.default_rng(seed)
    n = len(scores)
    values = []
    for _ in range(rounds):
        rows = rng.integers(0, n, n)
        if (strong[rows] - weak[rows]).sum() > 0:
            values.append(average_recovered_gap(scores[rows], weak[rows], strong[rows]))
    low, high = np.quantile(values, [0.025, 0.975]) if values else (float("nan"), float("nan"))
    return float(low), float(high)
