"""What a fit says about an operator's examples: scores, pairs to merge, likely mislabels."""

from typing import Final

import msgspec
import numpy as np

from models.metrics import Floats, Integers, per_label
from models.rows import IntentRow

MERGE_FROM: Final = 0.1
"""Share of a pair's examples taken for each other from which the pair is named."""
DOUBTED_BELOW: Final = 0.1
BELIEVED_ABOVE: Final = 0.7
LISTED: Final = 15


class IntentLine(msgspec.Struct, frozen=True, kw_only=True):
    """Held-out figures of one intent."""

    intent: str
    examples: int
    precision: float
    recall: float
    f1: float


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """Two intents whose examples are taken for each other."""

    first: str
    second: str
    share: float


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """An example that the rest of the examples would have labelled otherwise."""

    text: str
    labelled: str
    looks_like: str
    probability: float


class FitReport(msgspec.Struct, frozen=True, kw_only=True):
    """Each example judged by a head fitted without it."""

    examples: int
    accuracy: float
    macro_f1: float
    intents: tuple[IntentLine, ...]
    merge: tuple[Confusion, ...]
    doubts: tuple[Doubt, ...]


def fit_report(rows: list[IntentRow], labels: tuple[str, ...], chances: Floats) -> FitReport:
    """`chances` (rows, labels) are held-out probabilities."""
    places = {label: index for index, label in enumerate(labels)}
    truth = np.array([places[row.intent] for row in rows])
    best = chances.argmax(1)
    scores = per_label([row.intent for row in rows], [labels[index] for index in best])
    lines = tuple(
        IntentLine(intent=one.label, examples=one.rows, precision=one.precision, recall=one.recall, f1=one.f1)
        for one in scores
    )
    return FitReport(
        examples=len(rows),
        accuracy=float((best == truth).mean()),
        macro_f1=float(np.mean([line.f1 for line in lines])),
        intents=lines,
        merge=_confusions(labels, truth, best),
        doubts=_doubts(rows, labels, truth, best, chances),
    )


def render(report: FitReport) -> str:
    """The report as lines for a terminal."""
    lines = [
        f"{report.examples} examples of {len(report.intents)} intents,",
        "each judged by a head that has not seen it:",
        f"accuracy {report.accuracy:.3f}, macro-F1 {report.macro_f1:.3f}",
        "",
        f"{'intent':40} {'examples':>8} {'precision':>9} {'recall':>7} {'F1':>6}",
    ]
    for line in sorted(report.intents, key=lambda one: one.f1):
        figures = f"{line.precision:9.3f} {line.recall:7.3f} {line.f1:6.3f}"
        lines.append(f"{line.intent[:40]:40} {line.examples:8d} {figures}")
    if report.merge:
        lines += ["", "Taken for each other; consider merging, or examples that tell them apart:"]
        lines += [f"  {one.first} / {one.second}: {one.share:.0%}" for one in report.merge]
    if report.doubts:
        lines += ["", "Look mislabelled:"]
        lines += [
            f"  {one.text[:70]!r} is {one.labelled}, looks like {one.looks_like} ({one.probability:.0%})"
            for one in report.doubts
        ]
    return "\n".join(lines)


def _confusions(labels: tuple[str, ...], truth: Integers, best: Integers) -> tuple[Confusion, ...]:
    table = np.zeros((len(labels), len(labels)))
    np.add.at(table, (truth, best), 1)
    counts = table.sum(1)
    both = (table + table.T) / np.maximum(counts[:, None] + counts[None, :], 1)
    pairs = [
        Confusion(first=labels[one], second=labels[other], share=float(both[one, other]))
        for one in range(len(labels))
        for other in range(one + 1, len(labels))
        if both[one, other] >= MERGE_FROM
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.share)[:LISTED])


def _doubts(
    rows: list[IntentRow], labels: tuple[str, ...], truth: Integers, best: Integers, chances: Floats
) -> tuple[Doubt, ...]:
    found = []
    for row, example in enumerate(rows):
        other = float(chances[row, best[row]])
        if chances[row, truth[row]] < DOUBTED_BELOW and other > BELIEVED_ABOVE:
            found.append(
                Doubt(
                    text=example.text,
                    labelled=example.intent,
                    looks_like=labels[best[row]],
                    probability=other,
                )
            )
    return tuple(sorted(found, key=lambda doubt: -doubt.probability)[:LISTED])
