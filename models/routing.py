"""Measures the complexity head as a router between a weak and a strong model."""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from edge.adapters.onnx_encoder import Network, probabilities
from models.metrics import Floats, average_recovered_gap, bootstrap_gap, calls_for
from models.progress import progress
from models.rows import RoutingRow, refuse
from models.tfidf import cross_validated

ROUNDS: Final = 1000
FOLDS: Final = 5
SEED: Final = 11


class Baselines(msgspec.Struct, frozen=True, kw_only=True):
    """APGR of routers that need no network."""

    random: float
    length: float
    """Longer prompts to the strong model."""
    tfidf: float
    """Fitted to four fifths of this very file, measured on the rest: it has seen the distribution."""


class RoutingReport(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of RouteLLM (arXiv 2406.18665) with a 95 % bootstrap interval."""

    n: int
    apgr: float
    apgr_low: float
    apgr_high: float
    cpt50: float
    cpt80: float
    weak_accuracy: float
    strong_accuracy: float
    baselines: Baselines


def evaluate_routing(network: Network, rows: list[RoutingRow], *, path: Path) -> RoutingReport:
    """Raises `DataRefused` when the strong model leads by nothing: there is no gap to recover."""
    weak = np.array([row.weak for row in rows], dtype=np.float64)
    strong = np.array([row.strong for row in rows], dtype=np.float64)
    if strong.sum() <= weak.sum():
        refuse(path, len(rows), "strong is right no more often than weak over the file")
    prompts = [row.prompt for row in rows]
    scores = complexities(network, prompts)
    low, high = bootstrap_gap(scores, weak, strong, rounds=ROUNDS, seed=SEED)
    return RoutingReport(
        n=len(rows),
        apgr=average_recovered_gap(scores, weak, strong),
        apgr_low=low,
        apgr_high=high,
        cpt50=calls_for(scores, weak, strong, gap=0.5),
        cpt80=calls_for(scores, weak, strong, gap=0.8),
        weak_accuracy=float(weak.mean()),
        strong_accuracy=float(strong.mean()),
        baselines=baselines(prompts, weak, strong),
    )


def complexities(network: Network, prompts: list[str]) -> Floats:
    """Probability that a strong model is needed, one pass a prompt."""
    head = network.bundle.manifest.head("complexity")
    outputs = (network.read(prompt).outputs for prompt in progress(prompts, "evaluate"))
    return np.array([probabilities(head, one[head.output])[1] for one in outputs])


def baselines(prompts: list[str], weak: Floats, strong: Floats) -> Baselines:
    """Random order, prompt length in characters, and TF-IDF cross-validated within the file."""
    rng = np.random.default_rng(SEED)
    tosses = [average_recovered_gap(rng.random(len(weak)), weak, strong) for _ in range(20)]
    lengths = np.array([len(prompt) for prompt in prompts], dtype=np.float64)
    folds = min(FOLDS, len(prompts))
    fitted = (
        cross_validated(prompts, strong - weak, folds=folds, seed=SEED)
        if folds > 1
        else np.zeros(len(prompts))
    )
    return Baselines(
        random=float(np.mean(tosses)),
        length=average_recovered_gap(lengths, weak, strong),
        tfidf=average_recovered_gap(fitted, weak, strong),
    )
