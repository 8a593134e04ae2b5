"""Measures a head of a bundle on labelled rows, one pass a text as it is served."""

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from edge.adapters.onnx_encoder import Network, probabilities
from models.calibrate import KEPT
from models.metrics import (
    Floats,
    auroc,
    calibration_error,
    per_label,
    recall_at_kept,
    risk_coverage,
)
from models.noise import noisy
from models.progress import progress
from models.reading.bundle import Head
from models.rows import OUT_OF_SCOPE, IntentRow, refuse

COVERAGES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NOISE_SEED: Final = 20240
WARM_UP: Final = 20


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """Error rate when only the most confident share of rows is answered."""

    coverage: float
    risk: float


class HeadReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Figures of one head on one file; accuracy, F1 and calibration over in-scope rows."""

    n: int
    n_out_of_scope: int
    accuracy: float | None
    accuracy_with_alt: float | None
    """Counting a row's second label right too; equals `accuracy` where no row has one."""
    macro_f1: float | None
    oos_recall_at_95: float | None
    oos_auroc: float | None
    ece: float | None
    risk_coverage: tuple[Risk, ...]
    p50_ms: float
    p99_ms: float
    noise_accuracy: float | None
    noise_macro_f1: float | None
    noise_oos_recall_at_95: float | None
    noise_oos_auroc: float | None
    noise_ece: float | None
    predictions: tuple[str, ...] | None = None
    confidences: tuple[float, ...] | None = None
    out_of_scope: tuple[float, ...] | None = None


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What the head said of each text, in order."""

    labels: tuple[str, ...]
    confidence: npt.NDArray[np.float64]
    out_of_scope: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]


def evaluate(
    network: Network, head: Head, rows: Sequence[IntentRow], *, path: Path, with_predictions: bool = False
) -> HeadReport:
    """Runs every text twice, as it is and with typing noise.

    Raises `DataRefused` for an intent that the head does not have.
    """
    for line, row in enumerate(rows, start=1):
        if row.intent != OUT_OF_SCOPE and row.intent not in head.labels:
            refuse(path, line, f"intent {row.intent!r} is not a label of head {head.name!r}")
    for row in rows[:WARM_UP]:
        network.read(row.text)
    plain = ask(network, head, [row.text for row in rows], title="evaluate")
    rng = random.Random(NOISE_SEED)  # noqa: S311
    rough = ask(network, head, [noisy(row.text, rng) for row in rows], title="with noise")
    figures, noise = _figures(plain, rows), _figures(rough, rows)
    inside = np.array([row.intent != OUT_OF_SCOPE for row in rows])
    right = _right(plain, rows)
    with_alt = right | np.array(
        [row.alt == label for row, label in zip(rows, plain.labels, strict=True)], dtype=bool
    )
    points = (
        risk_coverage(plain.confidence[inside], right[inside], coverages=COVERAGES) if inside.any() else []
    )
    return HeadReport(
        n=len(rows),
        n_out_of_scope=int((~inside).sum()),
        accuracy_with_alt=float(with_alt[inside].mean()) if inside.any() else None,
        risk_coverage=tuple(Risk(coverage=coverage, risk=risk) for coverage, risk in points),
        p50_ms=float(np.quantile(plain.seconds, 0.5) * 1e3),
        p99_ms=float(np.quantile(plain.seconds, 0.99) * 1e3),
        **figures,
        **{f"noise_{name}": value for name, value in noise.items()},
        predictions=plain.labels if with_predictions else None,
        confidences=tuple(plain.confidence.tolist()) if with_predictions else None,
        out_of_scope=tuple(plain.out_of_scope.tolist()) if with_predictions else None,
    )


def ask(network: Network, head: Head, texts: Sequence[str], *, title: str) -> Answers:
    """One timed pass a text: dynamic quantization makes a text's answer depend on its batch."""
    scope = network.bundle.manifest.scope
    labels, confidence, outside, seconds = [], [], [], []
    for text in progress(texts, title):
        began = time.perf_counter()
        outputs = network.read(text).outputs
        seconds.append(time.perf_counter() - began)
        chances = probabilities(head, outputs[head.output])
        best = int(chances.argmax())
        labels.append(head.labels[best])
        confidence.append(float(chances[best]))
        outside.append(float(outputs[scope.output][0]) * scope.scale + scope.offset)
    return Answers(
        labels=tuple(labels),
        confidence=np.array(confidence),
        out_of_scope=1 / (1 + np.exp(-np.array(outside))),
        seconds=np.array(seconds),
    )


def _right(answers: Answers, rows: Sequence[IntentRow]) -> npt.NDArray[np.bool_]:
    return np.array(
        [row.intent == label for row, label in zip(rows, answers.labels, strict=True)], dtype=bool
    )


def _figures(answers: Answers, rows: Sequence[IntentRow]) -> dict[str, float | None]:
    inside = np.array([row.intent != OUT_OF_SCOPE for row in rows])
    known: Floats = answers.out_of_scope[inside]
    unknown: Floats = answers.out_of_scope[~inside]
    right = _right(answers, rows)[inside]
    scores = per_label(
        [row.intent for row, kept in zip(rows, inside, strict=True) if kept],
        [label for label, kept in zip(answers.labels, inside, strict=True) if kept],
    )
    both = len(known) > 0 and len(unknown) > 0
    return {
        "accuracy": float(right.mean()) if len(right) else None,
        "macro_f1": float(np.mean([score.f1 for score in scores])) if scores else None,
        "oos_recall_at_95": recall_at_kept(known, unknown, kept=KEPT) if both else None,
        "oos_auroc": auroc(known, unknown) if both else None,
        "ece": calibration_error(answers.confidence[inside], right) if len(right) else None,
    }
